/**
 * The perspective directory: where a VA looks from, by which rule, for which trust contexts. Each version is a
 * document that the VA key signs, as a JWS (jws.ts says why), and names the digest of the one before: whoever
 * has seen a version notices when the history is written anew.
 */
import type { Rir } from '@mecai/addresses';
import type { Certificate } from '@mecai/pki';
import { hash } from 'node:crypto';
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { JsonReader } from './json-reader.ts';
import { readTime, timeText } from './json-time.ts';
import { jwsAlgorithmOf, parseJws, type PreparedJws, prepareJws, verifyJws } from './jws.ts';
import { findVaPath, readCertificate, voucherKey } from './va-certificate.ts';
import { countryPattern, type QuorumPolicy, rirs, trustContextPattern, voucherLimits } from './voucher.ts';

export interface DirectoryPerspective {
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  readonly city: string;
  /** Whole degrees: less than 80 km off. */
  readonly latitude: number;
  readonly longitude: number;
  readonly rir: Rir;
  readonly asn: number;
}

export interface Directory {
  /** Vouchers name it as directoryVersion. Rises with every change, not always by one. */
  readonly version: number;
  readonly publishedAt: Date;
  /** Absent in the first. */
  readonly previous?: { readonly version: number; readonly digest: Uint8Array };
  readonly quorum: QuorumPolicy;
  readonly trustContexts: readonly string[];
  readonly perspectives: readonly DirectoryPerspective[];
}

export interface VerifiedDirectory {
  readonly directory: Directory;
  /** SHA-256 of the payload: what the next version names. */
  readonly digest: Uint8Array;
  /** From the VA certificate to the root. */
  readonly path: readonly Certificate[];
}

const directoryTyp = 'mecai-directory+jws';
export const directoryMediaType = 'application/jose';
const limits = { perspectives: 1_024, cityOctets: 128, octets: 524_288 } as const;
/** Of the document as it travels: payload and certificates in base64url. */
export const directoryOctets = 2 * limits.octets;

/** In one order, so that equal directories are equal octets; times in whole seconds. */
export function encodeDirectory(directory: Directory): Uint8Array {
  const { version, publishedAt, previous, quorum, trustContexts, perspectives } = directory;
  const { asked, matches, regions, networks, kilometres, intermediates } = quorum;
  const rows = perspectives.map(({ country, city, latitude, longitude, rir, asn }) =>
    // Negative zero is no zero to JSON's other readers.
    JSON.stringify({ country, city, latitude: latitude + 0, longitude: longitude + 0, rir, asn }),
  );
  const payload = Buffer.from(
    JSON.stringify({
      version,
      publishedAt: timeText(publishedAt),
      previous: previous && {
        version: previous.version,
        digest: Buffer.from(previous.digest).toString('base64'),
      },
      quorum: { asked, matches, regions, networks, kilometres, intermediates },
      trustContexts: trustContexts.toSorted(),
      perspectives: rows.toSorted().map((row) => JSON.parse(row) as unknown),
    }),
  );
  parseDirectory(payload);
  return payload;
}

/**
 * {
 *   "version": 12, "publishedAt": "2026-11-22T00:00:00Z",
 *   "previous": { "version": 11, "digest": "<base64 SHA-256>" },      absent in the first
 *   "quorum": { "asked": 6, "matches": 4, "regions": 2, "networks": 2, "kilometres": 500,
 *               "intermediates": true },                              as in vouchers
 *   "trustContexts": ["CHROME", "MOZ"],
 *   "perspectives": [{ "country": "DE", "city": "Frankfurt", "latitude": 50, "longitude": 9,
 *                      "rir": "ripencc", "asn": 64496 }]
 * }
 *
 * @throws VoucherError `malformed`
 */
export function parseDirectory(payload: Uint8Array): Directory {
  const root = new JsonReader(parseJson('directory', payload, limits.octets), 'directory');
  root.only('version', 'publishedAt', 'previous', 'quorum', 'trustContexts', 'perspectives');
  const version = root.member('version').integer(1, 2 ** 32 - 1);
  const previous = root.optional('previous')?.only('version', 'digest');
  const trustContexts = root
    .member('trustContexts')
    .array(1, voucherLimits.trustContexts)
    .map((one) => one.matching(trustContextPattern, 'trust context identifier'));
  root.check(new Set(trustContexts).size === trustContexts.length, 'a trust context twice');
  return {
    version,
    publishedAt: readTime(root.member('publishedAt')),
    ...(previous && {
      previous: {
        version: previous.member('version').integer(1, version - 1),
        digest: previous.member('digest').bytes(32, 32),
      },
    }),
    quorum: readQuorum(root.member('quorum')),
    trustContexts,
    perspectives: root.member('perspectives').array(1, limits.perspectives).map(readPerspective),
  };
}

function readQuorum(reader: JsonReader): QuorumPolicy {
  reader.only('asked', 'matches', 'regions', 'networks', 'kilometres', 'intermediates');
  const asked = reader.member('asked').integer(1, voucherLimits.perspectives);
  const matches = reader.member('matches').integer(1, asked);
  return {
    asked,
    matches,
    regions: reader.member('regions').integer(1, Math.min(rirs.length, matches)),
    networks: reader.member('networks').integer(1, matches),
    kilometres: reader.member('kilometres').integer(0, voucherLimits.kilometres),
    intermediates: reader.member('intermediates').boolean(),
  };
}

function readPerspective(reader: JsonReader): DirectoryPerspective {
  reader.only('country', 'city', 'latitude', 'longitude', 'rir', 'asn');
  return {
    country: reader.member('country').matching(countryPattern, 'country code'),
    city: reader.member('city').text(limits.cityOctets),
    latitude: reader.member('latitude').integer(-90, 90),
    longitude: reader.member('longitude').integer(-180, 180),
    rir: reader.member('rir').word(rirs),
    asn: reader.member('asn').integer(1, 2 ** 32 - 1),
  };
}

/** @param certificates DER: the VA certificate and those between it and the root */
export function prepareDirectory(payload: Uint8Array, certificates: readonly Uint8Array[]): PreparedJws {
  const { key } = voucherKey(readCertificate(certificates[0]!, 'VA certificate'));
  return prepareJws(payload, directoryTyp, jwsAlgorithmOf(key), { x5c: certificates });
}

/**
 * Under the same rules as a voucher: a VA certificate for vouchers, a path to one of the roots, valid now. The
 * octets that a VA key signs here cannot be taken for those of a voucher, which begin as a SET in DER.
 *
 * @throws VoucherError as `VoucherVerifier.verify`
 */
export function verifyDirectory(
  document: Uint8Array,
  { roots, now }: { readonly roots: readonly Uint8Array[]; readonly now: Date },
): VerifiedDirectory {
  const jws = parseJws(document, directoryTyp, limits.octets);
  if (!('x5c' in jws.signer)) throw new VoucherError('malformed', 'directory: without certificates');
  const [certificate, ...included] = jws.signer.x5c.map((one) => readCertificate(one, 'VA certificate'));
  const { key } = voucherKey(certificate!);
  const trusted = roots.map((root, i) => readCertificate(root, `VA root ${i}`));
  const { certificates } = findVaPath(certificate!, included, trusted, now);
  verifyJws(jws, key);
  return {
    directory: parseDirectory(jws.payload),
    digest: hash('sha256', jws.payload, 'buffer'),
    path: certificates,
  };
}
