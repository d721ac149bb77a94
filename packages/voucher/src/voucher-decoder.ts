/** DER to voucher content, strictly. Shares object identifiers, names and limits with the encoder. */
import { constructed, type DerReader, type Extension, implicit, tags } from '@mecai/pki';
import { readDer } from './der-input.ts';
import { VoucherError } from './error.ts';
import {
  type CertificateStatus,
  countryPattern,
  type CrlReference,
  type Perspective,
  type QuorumPolicy,
  type Rir,
  rirs,
  trustContextPattern,
  verdicts,
  type Voucher,
  voucherLimits as limits,
} from './voucher.ts';

/**
 * Voucher ::= SEQUENCE { version INTEGER { v1(1) }, serial OCTET STRING (SIZE (16)), ipv4 [0] IPv4Address
 *   OPTIONAL, ipv6 [1] IPv6Address OPTIONAL, port Port, leaf Digest, intermediates SEQUENCE SIZE (0..9) OF
 *   Digest, status SEQUENCE SIZE (0..10) OF CertificateStatus, producedAt GeneralizedTime, notAfter
 *   GeneralizedTime, trustContexts SEQUENCE SIZE (1..32) OF TrustContextIdentifier, quorum QuorumPolicy,
 *   directoryVersion INTEGER (0..4294967295), perspectives SEQUENCE SIZE (1..64) OF Perspective,
 *   extensions [2] Extensions OPTIONAL }
 *
 * Throws `VoucherError` with `malformed`, `unsupported-version` or `unknown-critical-extension`. Byte
 * fields are views into `content`.
 */
export function decodeVoucher(content: Uint8Array): Voucher {
  if (content.length > limits.signedOctets) throw new VoucherError('malformed', 'voucher: too long');
  return readDer('voucher', content, (reader) => {
    if (reader.integer() !== 1) throw new VoucherError('unsupported-version', 'voucher version');
    const serial = octets(reader, limits.serialOctets, 'serial');
    const ipv4 = optionalOctets(reader, implicit(0), 4, 'ipv4');
    const ipv6 = optionalOctets(reader, implicit(1), 16, 'ipv6');
    if (!ipv4 && !ipv6) throw malformed('no address');
    const port = integerIn(reader, 1, 65_535, 'port');
    const leaf = readDigest(reader);
    const intermediates = listOf(reader, 0, limits.intermediates, 'intermediates', readDigest);
    const status = readStatuses(reader, intermediates.length);
    const producedAt = reader.generalizedTime();
    const notAfter = reader.generalizedTime();
    if (notAfter <= producedAt) throw malformed('notAfter not after producedAt');
    const trustContexts = readTrustContexts(reader);
    const quorum = readQuorum(reader);
    const directoryVersion = integerIn(reader, 0, 2 ** 32 - 1, 'directoryVersion');
    const perspectives = readPerspectives(reader, ipv4 !== undefined, ipv6 !== undefined);
    const extensions = readExtensions(reader, constructed(2));
    return {
      serial,
      ...(ipv4 && { ipv4 }),
      ...(ipv6 && { ipv6 }),
      port,
      leaf,
      intermediates,
      status,
      producedAt,
      notAfter,
      trustContexts,
      quorum,
      directoryVersion,
      perspectives,
      ...(extensions && { extensions }),
    };
  });
}

/**
 * CertificateStatus ::= SEQUENCE { certificate INTEGER (0..9), source CHOICE {
 *   ocsp [0] OCTET STRING (SIZE (1..16384)), crl [1] CrlReference } }
 */
function readStatuses(reader: DerReader, intermediates: number): CertificateStatus[] {
  let previous = -1;
  return listOf(reader, 0, limits.intermediates + 1, 'status', (list) => {
    const one = list.sequence();
    const certificate = integerIn(one, 0, intermediates, 'status.certificate');
    if (certificate <= previous) throw malformed('status not ascending');
    previous = certificate;
    if (one.peek() === constructed(1)) {
      const crl = readCrl(one.enter(constructed(1)));
      one.end();
      return { certificate, crl };
    }
    const ocsp = one.octetString(implicit(0));
    one.end();
    if (ocsp.length === 0 || ocsp.length > limits.ocspOctets) throw malformed('size of status.ocsp');
    return { certificate, ocsp };
  });
}

/**
 * CrlReference ::= SEQUENCE { number INTEGER (0..MAX) OPTIONAL, thisUpdate GeneralizedTime,
 *   nextUpdate GeneralizedTime, digest Digest }
 */
function readCrl(reader: DerReader): CrlReference {
  const number = reader.peek() === tags.integer ? readCrlNumber(reader) : undefined;
  const thisUpdate = reader.generalizedTime();
  const nextUpdate = reader.generalizedTime();
  if (nextUpdate <= thisUpdate) throw malformed('nextUpdate not after thisUpdate');
  const digest = readDigest(reader);
  reader.end();
  return { ...(number !== undefined && { number }), thisUpdate, nextUpdate, digest };
}

function readCrlNumber(reader: DerReader): bigint {
  const content = reader.integerBytes();
  if (content[0]! >= 0x80 || content.length > limits.crlNumberOctets) throw malformed('CRL number');
  let number = 0n;
  for (const octet of content) number = (number << 8n) | BigInt(octet);
  return number;
}

/** TrustContextIdentifier ::= PrintableString (SIZE (1..32)) -- [A-Z0-9-] */
function readTrustContexts(reader: DerReader): string[] {
  let previous = '';
  return listOf(reader, 1, limits.trustContexts, 'trustContexts', (list) => {
    const one = list.ia5String(tags.printableString);
    if (!trustContextPattern.test(one)) throw malformed('trust context identifier');
    if (one <= previous) throw malformed('trustContexts not ascending');
    return (previous = one);
  });
}

/**
 * QuorumPolicy ::= SEQUENCE { asked INTEGER (1..64), matches INTEGER (1..64), regions INTEGER (1..5),
 *   networks INTEGER (1..64), kilometres INTEGER (0..20040), intermediates BOOLEAN }
 */
function readQuorum(reader: DerReader): QuorumPolicy {
  const quorum = reader.sequence();
  const asked = integerIn(quorum, 1, limits.perspectives, 'quorum.asked');
  const matches = integerIn(quorum, 1, asked, 'quorum.matches');
  const regions = integerIn(quorum, 1, Math.min(rirs.length, matches), 'quorum.regions');
  const networks = integerIn(quorum, 1, matches, 'quorum.networks');
  const kilometres = integerIn(quorum, 0, limits.kilometres, 'quorum.kilometres');
  const intermediates = quorum.boolean();
  quorum.end();
  return { asked, matches, regions, networks, kilometres, intermediates };
}

function readPerspectives(reader: DerReader, withIpv4: boolean, withIpv6: boolean): Perspective[] {
  let previous: Uint8Array = new Uint8Array(0);
  return listOf(reader, 1, limits.perspectives, 'perspectives', (list) => {
    const one = readPerspective(list.sequence(), withIpv4, withIpv6);
    const encoding = list.last();
    if (Buffer.compare(encoding, previous) < 0) throw malformed('perspectives not ascending');
    previous = encoding;
    return one;
  });
}

/**
 * Perspective ::= SEQUENCE { country Country, rir Rir, asn ASNumber, ipv4 [0] Verdict OPTIONAL,
 *   ipv6 [1] Verdict OPTIONAL }
 */
function readPerspective(reader: DerReader, withIpv4: boolean, withIpv6: boolean): Perspective {
  const place = readPlace(reader);
  const ipv4 = withIpv4 ? wordOf(reader, verdicts, implicit(0), 'verdict') : undefined;
  const ipv6 = withIpv6 ? wordOf(reader, verdicts, implicit(1), 'verdict') : undefined;
  reader.end();
  return { ...place, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** The fields that Perspective and PerspectiveOutcome have in common. */
export function readPlace(reader: DerReader): { country: string; rir: Rir; asn: number } {
  const country = reader.ia5String(tags.printableString);
  if (!countryPattern.test(country)) throw malformed('country');
  const rir = wordOf(reader, rirs, tags.enumerated, 'rir');
  const asn = integerIn(reader, 1, 2 ** 32 - 1, 'asn');
  return { country, rir, asn };
}

/**
 * Extensions ::= SEQUENCE SIZE (1..16) OF Extension
 * Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING
 *   (SIZE (0..4096)) }
 *
 * No extension is defined yet, so that every critical one is unknown.
 */
export function readExtensions(reader: DerReader, tag: number): Extension[] | undefined {
  if (reader.peek() !== tag) return undefined;
  const seen = new Set<string>();
  return listOf(reader, 1, limits.extensions, 'extensions', readExtension, tag);

  function readExtension(list: DerReader): Extension {
    const one = list.sequence();
    const oid = one.oid();
    if (seen.has(oid)) throw malformed(`extension ${oid} twice`);
    seen.add(oid);
    const critical = one.peek() === tags.boolean;
    // DER leaves a DEFAULT value out (X.690 11.5).
    if (critical && !one.boolean()) throw malformed('critical FALSE encoded');
    const value = one.octetString();
    one.end();
    if (value.length > limits.extensionOctets) throw malformed('size of an extension');
    if (critical) throw new VoucherError('unknown-critical-extension', `unknown critical extension ${oid}`);
    return { oid, critical, value };
  }
}

export function listOf<T>(
  reader: DerReader,
  least: number,
  most: number,
  what: string,
  read: (list: DerReader) => T,
  tag: number = tags.sequence,
): T[] {
  const list = reader.enter(tag);
  const items: T[] = [];
  while (!list.atEnd) {
    if (items.length === most) throw malformed(`more than ${most} ${what}`);
    items.push(read(list));
  }
  if (items.length < least) throw malformed(`fewer than ${least} ${what}`);
  return items;
}

export function integerIn(
  reader: DerReader,
  least: number,
  most: number,
  what: string,
  tag: number = tags.integer,
): number {
  const value = reader.integer(tag);
  if (value < least || value > most) throw malformed(`${what} ${value}`);
  return value;
}

export function octets(
  reader: DerReader,
  size: number,
  what: string,
  tag: number = tags.octetString,
): Uint8Array {
  const bytes = reader.octetString(tag);
  if (bytes.length !== size) throw malformed(`${what} of ${bytes.length} octets`);
  return bytes;
}

export const optionalOctets = (
  reader: DerReader,
  tag: number,
  size: number,
  what: string,
): Uint8Array | undefined => (reader.peek() === tag ? octets(reader, size, what, tag) : undefined);

export const readDigest = (reader: DerReader): Uint8Array => octets(reader, limits.digestOctets, 'digest');

/** An ENUMERATED value as its word. */
export function wordOf<T extends string>(
  reader: DerReader,
  words: readonly T[],
  tag: number,
  what: string,
): T {
  const word = words[reader.integer(tag)];
  if (word === undefined) throw malformed(what);
  return word;
}

export const malformed = (what: string): VoucherError => new VoucherError('malformed', what);
