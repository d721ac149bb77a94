/**
 * The list of voucher authorities that a client vendor ships: whom to ask, whom to believe, and by which TLS
 * extension each one's vouchers travel. The vendor signs it as a JWS (packages/voucher/src/jws.ts says why).
 */
import { parseCertificate } from '@mecai/pki';
import {
  type Jws,
  JsonReader,
  parseJson,
  parseJws,
  readTime,
  signJws,
  timeText,
  verifyJws,
  VoucherError,
} from '@mecai/voucher';
import type { KeyObject } from 'node:crypto';
import { ClientError } from '../error.ts';

export const vaStandings = ['active', 'retired', 'distrusted'] as const;
/**
 * `active`: chosen and believed. `retired`: no longer chosen, kept so that its name and codepoint are not given
 * to another. `distrusted`: likewise, and clients say why a voucher of its is refused.
 */
export type VaStanding = (typeof vaStandings)[number];

export interface VaEntry {
  /** Stable from list to list, `[a-z0-9-]{1,32}`. */
  readonly id: string;
  readonly name: string;
  /** The CA that runs it. */
  readonly operator: string;
  /** Where the operator is at home, ISO 3166-1 alpha-2. */
  readonly country: string;
  /** Where it takes voucher requests, https. */
  readonly vrp: string;
  /** DER of the roots that its VA certificate leads to, one to four. */
  readonly roots: readonly Uint8Array[];
  /** SHA-256 of the SubjectPublicKeyInfo of the operator's CA certificates, so that it never vouches for itself. */
  readonly caKeys: readonly Uint8Array[];
  readonly status: VaStanding;
  /** Private TLS extension in which its vouchers are stapled. */
  readonly codepoint: number;
}

export interface VaList {
  /** Rises with every change: a reader refuses a lower one than it has seen. */
  readonly version: number;
  /** The client vendor. */
  readonly issuer: string;
  readonly issuedAt: Date;
  /** After that the list counts for nothing. */
  readonly expires: Date;
  readonly vas: readonly VaEntry[];
}

export const vaListTyp = 'mecai-va-list+jws';
/** 256 VAs with two roots each stay well below. */
const maxOctets = 2 * 1024 * 1024;
const limits = { vas: 256, roots: 4, rootOctets: 16_384, caKeys: 256 } as const;
/** First octet 255: private use (RFC 8446 section 11); 65281 is renegotiation_info (RFC 5746). */
const codepoints = { least: 0xff00, most: 0xffff, taken: 0xff01 } as const;

/**
 * {
 *   "version": 7, "issuer": "Example Browser",
 *   "issuedAt": "2026-11-22T00:00:00Z", "expires": "2027-02-20T00:00:00Z",
 *   "vas": [{
 *     "id": "second-opinion", "name": "Second Opinion VA", "operator": "Example CA", "country": "DE",
 *     "vrp": "https://va.example/vrp", "roots": ["<base64 DER>"], "caKeys": ["<base64 SHA-256>"],
 *     "status": "active", "codepoint": 65300
 *   }]
 * }
 *
 * Names, URLs, roots and codepoints are each used once; `caKeys` may be left out.
 *
 * @throws ClientError `va-list-malformed`
 */
export function parseVaList(payload: Uint8Array): VaList {
  return asMalformed(() => {
    const root = new JsonReader(parseJson('VA list', payload, maxOctets), 'VA list');
    root.only('version', 'issuer', 'issuedAt', 'expires', 'vas');
    const issuedAt = readTime(root.member('issuedAt'));
    const expires = readTime(root.member('expires'));
    root.check(expires > issuedAt, 'expires before it is issued');
    const vas = root.member('vas').array(1, limits.vas).map(readVa);
    for (const unique of ['id', 'vrp', 'codepoint'] as const) {
      root.check(new Set(vas.map((va) => va[unique])).size === vas.length, `one ${unique} for two VAs`);
    }
    const roots = vas.flatMap((va) => va.roots.map(base64));
    root.check(new Set(roots).size === roots.length, 'one root twice: it would not tell which VA signed');
    return {
      version: root.member('version').integer(1, Number.MAX_SAFE_INTEGER),
      issuer: root.member('issuer').text(128),
      issuedAt,
      expires,
      vas,
    };
  });
}

function readVa(reader: JsonReader): VaEntry {
  reader.only('id', 'name', 'operator', 'country', 'vrp', 'roots', 'caKeys', 'status', 'codepoint');
  const vrp = reader.member('vrp');
  const url = vrp.text(1024);
  vrp.check(URL.canParse(url) && new URL(url).protocol === 'https:', 'no https URL');
  const codepoint = reader.member('codepoint');
  const type = codepoint.integer(codepoints.least, codepoints.most);
  codepoint.check(type !== codepoints.taken, 'taken by renegotiation_info');
  return {
    id: reader.member('id').matching(/^[a-z0-9-]{1,32}$/, 'name of a VA'),
    name: reader.member('name').text(128),
    operator: reader.member('operator').text(128),
    country: reader.member('country').matching(/^[A-Z]{2}$/, 'country code'),
    vrp: url,
    roots: reader
      .member('roots')
      .array(1, limits.roots)
      .map((one) => {
        const der = one.bytes(1, limits.rootOctets);
        one.check(isCertificate(der), 'no certificate');
        return der;
      }),
    caKeys: (reader.optional('caKeys')?.array(0, limits.caKeys) ?? []).map((one) => one.bytes(32, 32)),
    status: reader.member('status').word(vaStandings),
    codepoint: type,
  };
}

export const encodeVaList = ({ version, issuer, issuedAt, expires, vas }: VaList): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      version,
      issuer,
      issuedAt: timeText(issuedAt),
      expires: timeText(expires),
      vas: vas.map((va) => ({
        ...va,
        roots: va.roots.map(base64),
        caKeys: va.caKeys.map(base64),
      })),
    }),
  );

/**
 * For client vendors. What a reader would not take is not signed.
 * @throws ClientError `va-list-malformed`
 */
export function signVaList(list: VaList, kid: string, key: KeyObject): string {
  const payload = encodeVaList(list);
  parseVaList(payload);
  return signJws(payload, vaListTyp, key, { kid });
}

export interface VaListOptions {
  /** The vendor's keys, P-256 or P-384, by name. */
  readonly keys: Pick<ReadonlyMap<string, KeyObject>, 'get'>;
  readonly now: Date;
  /** The highest version seen so far. */
  readonly leastVersion?: number;
}

/** @throws ClientError `va-list-malformed`, `va-list-unsigned`, `va-list-expired`, `va-list-rolled-back` */
export function readVaList(bytes: Uint8Array, { keys, now, leastVersion = 0 }: VaListOptions): VaList {
  const jws = asMalformed(() => parseJws(bytes, vaListTyp, maxOctets));
  checkSignature(jws, keys);
  const list = parseVaList(jws.payload);
  if (list.version < leastVersion) {
    throw new ClientError('va-list-rolled-back', `VA list ${list.version}, where ${leastVersion} was seen`);
  }
  if (now >= list.expires) {
    throw new ClientError('va-list-expired', `the VA list expired at ${timeText(list.expires)}`);
  }
  return list;
}

function checkSignature(jws: Jws, keys: VaListOptions['keys']): void {
  const kid = 'kid' in jws.signer ? jws.signer.kid : undefined;
  const key = kid === undefined ? undefined : keys.get(kid);
  if (!key) throw new ClientError('va-list-unsigned', 'the VA list is not signed with a key of the vendor');
  try {
    verifyJws(jws, key);
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('va-list-unsigned', `VA list: ${cause.message}`, { cause });
  }
}

function asMalformed<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('va-list-malformed', cause.message, { cause });
  }
}

function isCertificate(der: Uint8Array): boolean {
  try {
    parseCertificate(der);
    return true;
  } catch {
    return false;
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
