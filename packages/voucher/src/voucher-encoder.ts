/** Voucher content to DER. Refuses with `not-encodable` what its own grammar would not allow. */
import { constructed, der, implicit, tags, type Extension } from '@mecai/pki';
import { VoucherError } from './error.ts';
import {
  type CertificateStatus,
  countryPattern,
  type CrlReference,
  type Perspective,
  type QuorumPolicy,
  rirs,
  trustContextPattern,
  verdicts,
  type Voucher,
  voucherLimits as limits,
  voucherVersion,
} from './voucher.ts';

const version = der.integer(voucherVersion);

/**
 * Voucher ::= SEQUENCE { version INTEGER { v1(1) }, serial OCTET STRING (SIZE (16)), ipv4 [0] IPv4Address
 *   OPTIONAL, ipv6 [1] IPv6Address OPTIONAL, port Port, leaf Digest, intermediates SEQUENCE SIZE (0..9) OF
 *   Digest, status SEQUENCE SIZE (0..10) OF CertificateStatus, producedAt GeneralizedTime, notAfter
 *   GeneralizedTime, trustContexts SEQUENCE SIZE (1..32) OF TrustContextIdentifier, quorum QuorumPolicy,
 *   directoryVersion INTEGER (0..4294967295), perspectives SEQUENCE SIZE (1..64) OF Perspective,
 *   extensions [2] Extensions OPTIONAL }
 *
 * Status, trust contexts and perspectives are put into their canonical order; fractions of a second are
 * cut off.
 */
export function encodeVoucher(voucher: Voucher): Uint8Array {
  const { ipv4, ipv6, extensions } = voucher;
  fits(ipv4 !== undefined || ipv6 !== undefined, 'an address');
  fits(voucher.serial.length === limits.serialOctets, 'serial');
  within(voucher.port, 1, 65_535, 'port');
  fits(voucher.intermediates.length <= limits.intermediates, 'intermediates');
  fits(wholeSeconds(voucher.notAfter) > wholeSeconds(voucher.producedAt), 'notAfter after producedAt');
  within(voucher.directoryVersion, 0, 2 ** 32 - 1, 'directoryVersion');
  within(voucher.perspectives.length, 1, limits.perspectives, 'number of perspectives');
  return der.sequence(
    version,
    der.octetString(voucher.serial),
    ipv4 ? der.tlv(implicit(0), sized(ipv4, 4, 'ipv4')) : none,
    ipv6 ? der.tlv(implicit(1), sized(ipv6, 16, 'ipv6')) : none,
    der.integer(voucher.port),
    digest(voucher.leaf, 'leaf'),
    der.sequence(...voucher.intermediates.map((one) => digest(one, 'intermediate'))),
    encodeStatus(voucher.status, voucher.intermediates.length),
    der.generalizedTime(voucher.producedAt),
    der.generalizedTime(voucher.notAfter),
    encodeTrustContexts(voucher.trustContexts),
    encodeQuorum(voucher.quorum),
    der.integer(voucher.directoryVersion),
    der.sequence(
      ...voucher.perspectives
        .map((one) => encodePerspective(one, ipv4 !== undefined, ipv6 !== undefined))
        .toSorted((a, b) => Buffer.compare(a, b)),
    ),
    extensions && extensions.length > 0 ? encodeExtensions(extensions, constructed(2)) : none,
  );
}

/**
 * CertificateStatus ::= SEQUENCE { certificate INTEGER (0..9), source CHOICE {
 *   ocsp [0] OCTET STRING (SIZE (1..16384)), crl [1] CrlReference } }
 */
function encodeStatus(status: readonly CertificateStatus[], intermediates: number): Uint8Array {
  const ascending = status.toSorted((a, b) => a.certificate - b.certificate);
  return der.sequence(
    ...ascending.map((one, i) => {
      within(one.certificate, 0, intermediates, 'status.certificate');
      fits(one.certificate !== ascending[i - 1]?.certificate, 'one status a certificate');
      if ('crl' in one) return der.sequence(der.integer(one.certificate), encodeCrl(one.crl));
      within(one.ocsp.length, 1, limits.ocspOctets, 'size of status.ocsp');
      return der.sequence(der.integer(one.certificate), der.tlv(implicit(0), one.ocsp));
    }),
  );
}

/**
 * CrlReference ::= SEQUENCE { number INTEGER (0..MAX) OPTIONAL, thisUpdate GeneralizedTime,
 *   nextUpdate GeneralizedTime, digest Digest }
 */
function encodeCrl(crl: CrlReference): Uint8Array {
  fits(wholeSeconds(crl.nextUpdate) > wholeSeconds(crl.thisUpdate), 'nextUpdate after thisUpdate');
  const number = crl.number === undefined ? none : der.integer(crl.number);
  fits(number.length <= 2 + limits.crlNumberOctets, 'CRL number');
  return der.tlv(
    constructed(1),
    number,
    der.generalizedTime(crl.thisUpdate),
    der.generalizedTime(crl.nextUpdate),
    digest(crl.digest, 'CRL digest'),
  );
}

/** TrustContextIdentifier ::= PrintableString (SIZE (1..32)) -- [A-Z0-9-] */
function encodeTrustContexts(trustContexts: readonly string[]): Uint8Array {
  within(trustContexts.length, 1, limits.trustContexts, 'number of trustContexts');
  const ascending = trustContexts.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return der.sequence(
    ...ascending.map((one, i) => {
      fits(trustContextPattern.test(one), 'trust context identifier');
      fits(one !== ascending[i - 1], 'each trust context once');
      return der.printableString(one);
    }),
  );
}

/**
 * QuorumPolicy ::= SEQUENCE { asked INTEGER (1..64), matches INTEGER (1..64), regions INTEGER (1..5),
 *   networks INTEGER (1..64), kilometres INTEGER (0..20040), intermediates BOOLEAN }
 */
function encodeQuorum(quorum: QuorumPolicy): Uint8Array {
  within(quorum.asked, 1, limits.perspectives, 'quorum.asked');
  within(quorum.matches, 1, quorum.asked, 'quorum.matches');
  within(quorum.regions, 1, Math.min(rirs.length, quorum.matches), 'quorum.regions');
  within(quorum.networks, 1, quorum.matches, 'quorum.networks');
  within(quorum.kilometres, 0, limits.kilometres, 'quorum.kilometres');
  return der.sequence(
    der.integer(quorum.asked),
    der.integer(quorum.matches),
    der.integer(quorum.regions),
    der.integer(quorum.networks),
    der.integer(quorum.kilometres),
    der.boolean(quorum.intermediates),
  );
}

/**
 * Perspective ::= SEQUENCE { country Country, rir Rir, asn ASNumber, ipv4 [0] Verdict OPTIONAL,
 *   ipv6 [1] Verdict OPTIONAL }
 */
function encodePerspective(perspective: Perspective, withIpv4: boolean, withIpv6: boolean): Uint8Array {
  const { ipv4, ipv6 } = perspective;
  fits((ipv4 !== undefined) === withIpv4, 'an ipv4 verdict exactly with an ipv4 address');
  fits((ipv6 !== undefined) === withIpv6, 'an ipv6 verdict exactly with an ipv6 address');
  return der.sequence(
    encodeCountry(perspective.country),
    ordinal(rirs, perspective.rir, tags.enumerated, 'rir'),
    encodeAsn(perspective.asn),
    ipv4 ? ordinal(verdicts, ipv4, implicit(0), 'verdict') : none,
    ipv6 ? ordinal(verdicts, ipv6, implicit(1), 'verdict') : none,
  );
}

/** Country ::= PrintableString (SIZE (2)) */
export function encodeCountry(country: string): Uint8Array {
  fits(countryPattern.test(country), 'country');
  return der.printableString(country);
}

/** ASNumber ::= INTEGER (1..4294967295) */
export function encodeAsn(asn: number): Uint8Array {
  within(asn, 1, 2 ** 32 - 1, 'asn');
  return der.integer(asn);
}

/**
 * Extensions ::= SEQUENCE SIZE (1..16) OF Extension
 * Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING
 *   (SIZE (0..4096)) }
 */
export function encodeExtensions(extensions: readonly Extension[], tag: number): Uint8Array {
  within(extensions.length, 1, limits.extensions, 'number of extensions');
  fits(new Set(extensions.map((one) => one.oid)).size === extensions.length, 'each extension once');
  return der.tlv(
    tag,
    ...extensions.map((one) => {
      fits(one.value.length <= limits.extensionOctets, 'size of an extension');
      const critical = one.critical ? der.boolean(true) : none;
      return der.sequence(encodeOid(one.oid), critical, der.octetString(one.value));
    }),
  );
}

function encodeOid(oid: string): Uint8Array {
  const encoded = der.oid(oid);
  // A reader takes 64 content octets at most.
  fits(encoded.length <= 66, 'extension OID');
  return encoded;
}

export const none = new Uint8Array(0);

export function fits(condition: boolean, what: string): void {
  if (!condition) throw new VoucherError('not-encodable', `cannot encode: ${what}`);
}

export function within(value: number, least: number, most: number, what: string): void {
  fits(Number.isSafeInteger(value) && value >= least && value <= most, `${what} (${value})`);
}

export function sized(bytes: Uint8Array, octets: number, what: string): Uint8Array {
  fits(bytes.length === octets, `${what} of ${bytes.length} octets`);
  return bytes;
}

export const digest = (bytes: Uint8Array, what: string): Uint8Array =>
  der.octetString(sized(bytes, limits.digestOctets, what));

/** The position of a word in its enumeration, under the given tag. */
export function ordinal(words: readonly string[], word: string, tag: number, what: string): Uint8Array {
  const value = words.indexOf(word);
  fits(value >= 0, `${what} (${word})`);
  return der.integer(value, tag);
}

const wholeSeconds = (time: Date): number => Math.floor(time.getTime() / 1000);
