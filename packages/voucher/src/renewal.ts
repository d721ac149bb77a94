/**
 * Renewal information: by which a VA tells requesters to renew vouchers earlier than they would, as ACME does for
 * certificates (RFC 9773). One document for all, so that it can be cached anywhere and nobody says what he has.
 */
import { type Certificate, parseCertificate } from '@mecai/pki';
import { hash } from 'node:crypto';
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { JsonReader } from './json-reader.ts';
import { readTime, timeText } from './json-time.ts';

export const renewalSelectors = ['certificate', 'spki', 'issuer'] as const;
/**
 * Which vouchers: those about a chain with this `certificate`, or a certificate with this `spki`
 * (SubjectPublicKeyInfo), or one issued in this name (`issuer`, the DER Name); by its SHA-256.
 */
export type RenewalSelector = (typeof renewalSelectors)[number];

export interface RenewalEntry {
  /** Of the vouchers produced before this time … */
  readonly producedBefore: Date;
  /** … and about these certificates, all if absent … */
  readonly about?: { readonly selector: RenewalSelector; readonly sha256: Uint8Array };
  /** … each is to be renewed at a random moment of this window. */
  readonly start: Date;
  readonly end: Date;
}

export interface RenewalInformation {
  readonly entries: readonly RenewalEntry[];
}

export const renewalLimits = { entries: 1_000, octets: 524_288 } as const;

/** Path of the document, from the VA's URL: `<url>/renewal`, next to `<url>/nonce`. */
export const renewalPath = 'renewal';

/**
 * {
 *   "version": 1,
 *   "renew": [{
 *     "producedBefore": "2026-11-22T12:00:00Z",
 *     "issuer": "<hex SHA-256>",        or "certificate" or "spki", or none of them: all vouchers
 *     "start": "2026-11-22T12:00:00Z", "end": "2026-11-22T13:00:00Z"
 *   }]
 * }
 */
export const encodeRenewalInformation = ({ entries }: RenewalInformation): string =>
  JSON.stringify({
    version: 1,
    renew: entries.map(({ producedBefore, about, start, end }) => ({
      producedBefore: timeText(producedBefore),
      ...(about && { [about.selector]: Buffer.from(about.sha256).toString('hex') }),
      start: timeText(start),
      end: timeText(end),
    })),
  });

/** Throws `VoucherError` `malformed` or `unsupported-version`. */
export function decodeRenewalInformation(bytes: Uint8Array): RenewalInformation {
  const root = new JsonReader(
    parseJson('renewal information', bytes, renewalLimits.octets),
    'renewal information',
  );
  root.only('version', 'renew');
  if (root.member('version').integer(0, 2 ** 31) !== 1) {
    throw new VoucherError('unsupported-version', 'renewal information: version');
  }
  return { entries: root.member('renew').array(0, renewalLimits.entries).map(readEntry) };
}

function readEntry(reader: JsonReader): RenewalEntry {
  reader.only('producedBefore', 'start', 'end', ...renewalSelectors);
  const given = renewalSelectors.filter((selector) => reader.optional(selector));
  reader.check(given.length <= 1, 'one selector at most');
  const [selector] = given;
  const start = readTime(reader.member('start'));
  const end = readTime(reader.member('end'));
  reader.check(end >= start, 'the window ends before it starts');
  return {
    producedBefore: readTime(reader.member('producedBefore')),
    ...(selector && {
      about: {
        selector,
        sha256: Buffer.from(reader.member(selector).matching(/^[0-9a-f]{64}$/, 'SHA-256 in hex'), 'hex'),
      },
    }),
    start,
    end,
  };
}

/**
 * When the voucher is to be renewed by this information; undefined: no earlier than it would be anyway.
 *
 * @param chain DER, leaf first, as the voucher is about
 * @param lot in [0, 1), drawn once for the voucher, so that asking often does not move it
 */
export function earlyRenewal(
  { entries }: RenewalInformation,
  producedAt: Date,
  chain: readonly Uint8Array[],
  lot: number,
): Date | undefined {
  const concerned = entries.filter((entry) => producedAt < entry.producedBefore);
  if (concerned.length === 0) return undefined;
  const digests = digestsOf(chain.map(parseCertificate));
  const times = concerned
    .filter(
      ({ about }) => !about || digests[about.selector].includes(Buffer.from(about.sha256).toString('hex')),
    )
    .map(({ start, end }) => start.getTime() + lot * (end.getTime() - start.getTime()));
  return times.length === 0 ? undefined : new Date(Math.min(...times));
}

const digestsOf = (chain: readonly Certificate[]): Readonly<Record<RenewalSelector, readonly string[]>> => ({
  certificate: chain.map(({ der }) => hash('sha256', der)),
  spki: chain.map(({ spki }) => hash('sha256', spki)),
  issuer: chain.map(({ issuer }) => hash('sha256', issuer)),
});
