/** The OCSP slot: genuine responses of the CA with vouchers appended, in a file or from a responder on loopback. */
import {
  type Certificate,
  constructed,
  DerReader,
  encodeOcspRequest,
  type Fetch,
  issuerHashes,
  ocspUris,
  parseCertificate,
  PkiError,
  verifyOcsp,
} from '@mecai/pki';
import { augmentOcspResponse, voucherContainer, VoucherError, vouchersInOcspResponse } from '@mecai/voucher';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { contentOf } from './files.ts';
import type { Target } from './targets.ts';

/** Octets of an OCSPResponse. */
const maxResponseOctets = 16_384;

interface Kept {
  readonly der: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** The CA's responses, fetched again at half of their life. */
export class OcspResponses {
  readonly #fetch: Fetch;
  readonly #kept = new Map<string, Kept>();
  readonly #retry = new Map<string, number>();

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** Verified and current; undefined and a word to `problem` if there is none. */
  async for(target: Target, now: Date, problem: (why: string) => void): Promise<Uint8Array | undefined> {
    const kept = this.#kept.get(target.id) ?? fromFile(target, now);
    if (kept) this.#kept.set(target.id, kept);
    const current = kept && kept.nextUpdate > now ? kept.der : undefined;
    const due = kept ? (kept.thisUpdate.getTime() + kept.nextUpdate.getTime()) / 2 : 0;
    if (now.getTime() < Math.max(due, this.#retry.get(target.id) ?? 0)) return current;
    try {
      const fetched = await this.#fetched(target, now);
      this.#kept.set(target.id, fetched);
      return fetched.der;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      this.#retry.set(target.id, now.getTime() + 600_000);
      problem(`no OCSP response to put vouchers in: ${error.message}`);
      return current;
    }
  }

  async #fetched({ chain }: Target, now: Date): Promise<Kept> {
    const [leaf, issuer] = chain.map(parseCertificate);
    if (!issuer) throw new PkiError('unsupported', 'the server sends no intermediate');
    const [url] = ocspUris(leaf!);
    if (url === undefined) throw new PkiError('unsupported', 'the CA answers no OCSP');
    const body = { type: 'application/ocsp-request', octets: encodeOcspRequest(leaf!, issuer) };
    return verified(await this.#fetch({ url, body, maxOctets: maxResponseOctets }), leaf!, issuer, now);
  }
}

/** Throws `PkiError`. */
function verified(der: Uint8Array, leaf: Certificate, issuer: Certificate, now: Date): Kept {
  const { status, thisUpdate, nextUpdate } = verifyOcsp(der, leaf, issuer, now);
  if (status !== 'good') throw new PkiError('unverified', `the certificate is ${status}`);
  return { der, thisUpdate, nextUpdate };
}

/** The one that was delivered before a restart, if it is still good. */
function fromFile({ chain, ocspFiles: [file] }: Target, now: Date): Kept | undefined {
  const content = file === undefined ? undefined : contentOf(file);
  const [leaf, issuer] = chain.map(parseCertificate);
  if (!content || !issuer) return undefined;
  try {
    return verified(augmentOcspResponse(content, []), leaf!, issuer, now);
  } catch (error) {
    if (error instanceof PkiError || error instanceof VoucherError) return undefined;
    throw error;
  }
}

/** Puts vouchers into a response; with what is there already unchanged if it says the same. */
export class OcspAugmenter {
  readonly #key: KeyObject = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

  /** Throws `VoucherError` `not-encodable` when it does not fit. */
  augmented(
    response: Uint8Array,
    vouchers: readonly Uint8Array[],
    existing: Uint8Array | undefined,
    now: Date,
  ): Uint8Array {
    if (existing && saysTheSame(existing, response, vouchers)) return existing;
    const notAfter = new Date(now.getTime() + 7 * 86_400_000);
    const containers = vouchers.map((voucher) => {
      const serial = randomBytes(16);
      serial[0]! &= 0x7f;
      return voucherContainer({ voucher, key: this.#key, notBefore: now, notAfter, serial });
    });
    return augmentOcspResponse(response, containers);
  }
}

function saysTheSame(existing: Uint8Array, response: Uint8Array, vouchers: readonly Uint8Array[]): boolean {
  try {
    const inside = vouchersInOcspResponse(existing);
    const base = (one: Uint8Array) => augmentOcspResponse(one, []);
    return (
      inside.length === vouchers.length &&
      inside.every((one, i) => Buffer.compare(one, vouchers[i]!) === 0) &&
      Buffer.compare(base(existing), base(response)) === 0
    );
  } catch (error) {
    if (error instanceof VoucherError) return false;
    throw error;
  }
}

/** What a responder is asked about, as text to look up: CertID with SHA-1, as servers send it. */
export function certIdKey({ chain }: Pick<Target, 'chain'>): string | undefined {
  const [leaf, issuer] = chain.map(parseCertificate);
  if (!issuer) return undefined;
  const { name, key } = issuerHashes(issuer, 'sha1');
  return [name, key, leaf!.serial].map(hex).join(' ');
}

/**
 * OCSPRequest ::= SEQUENCE { tbsRequest SEQUENCE { version [0] DEFAULT v1, requestorName [1] OPTIONAL,
 *   requestList SEQUENCE OF SEQUENCE { reqCert CertID, … }, … }, … }            (RFC 6960 section 4.1.1)
 *
 * The key of the first certificate asked about; undefined for what is no request.
 */
export function requestedCertId(bytes: Uint8Array): string | undefined {
  try {
    const tbs = DerReader.whole(bytes).sequence();
    tbs.optional(constructed(0));
    tbs.optional(constructed(1));
    const certId = tbs.sequence().sequence().sequence();
    certId.sequence();
    return [certId.octetString(), certId.octetString(), certId.integerBytes()].map(hex).join(' ');
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

/** unauthorized (RFC 6960 section 4.2.1): nothing is known about that certificate. */
export const unauthorizedResponse: Uint8Array = Uint8Array.of(0x30, 0x03, 0x0a, 0x01, 0x06);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
