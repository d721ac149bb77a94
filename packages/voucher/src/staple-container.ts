/**
 * Vouchers in the OCSP slot of a handshake, for clients that cannot send TLS extensions: a genuine OCSP
 * response whose list of certificates, which no signature covers, gets self-signed certificates appended that
 * carry a voucher each. What does not know them passes them over.
 */
import {
  constructed,
  der,
  DerReader,
  findExtension,
  ocspOctets,
  parseCertificate,
  parseOcspResponse,
  PkiError,
  tags,
} from '@mecai/pki';
import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { VoucherError } from './error.ts';
import { oids } from './oids.ts';
import { voucherLimits } from './voucher.ts';

/** What Firefox and GnuTLS still read was tried: ten containers are too many for the former. */
export const containerLimits = { containers: 3, responseOctets: 16_384 } as const;

export interface ContainerOptions {
  /** ContentInfo. */
  readonly voucher: Uint8Array;
  /** Of the container alone, P-256; it vouches for nothing, so any key will do, and one may serve for all. */
  readonly key: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Content octets of serialNumber, positive. */
  readonly serial: Uint8Array;
}

const name = der.sequence(
  der.setOf(der.sequence(der.oid('2.5.4.3'), der.utf8String('MECAI voucher container'))),
);
const ecdsaWithSha256 = der.sequence(der.oid(oids.ecdsaWithSha256));

/**
 * A self-signed certificate (RFC 5280 section 4.1) with one non-critical extension, id-mecai-ext-voucher,
 * whose value is the ContentInfo.
 */
export function voucherContainer({
  voucher,
  key,
  notBefore,
  notAfter,
  serial,
}: ContainerOptions): Uint8Array {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const extension = der.sequence(der.oid(oids.voucherContainer), der.octetString(voucher));
  const tbs = der.sequence(
    der.tlv(constructed(0), der.integer(2)),
    der.unsignedInteger(serial),
    ecdsaWithSha256,
    name,
    der.sequence(der.time(notBefore), der.time(notAfter)),
    name,
    spki,
    der.tlv(constructed(3), der.sequence(extension)),
  );
  return der.sequence(tbs, ecdsaWithSha256, der.bitString(sign('sha256', tbs, key)));
}

/**
 * The response with the containers behind whatever certificates it has; containers that are already in it are
 * dropped first.
 *
 * OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT SEQUENCE {
 *   responseType OBJECT IDENTIFIER, response OCTET STRING } }
 * BasicOCSPResponse ::= SEQUENCE { tbsResponseData, signatureAlgorithm, signature BIT STRING,
 *   certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }          (RFC 6960 section 4.2.1)
 *
 * @throws VoucherError `not-encodable` for too many or too large containers, or a response that is none
 */
export function augmentOcspResponse(response: Uint8Array, containers: readonly Uint8Array[]): Uint8Array {
  if (containers.length > containerLimits.containers) {
    throw new VoucherError('not-encodable', `more than ${containerLimits.containers} containers`);
  }
  let augmented: Uint8Array;
  try {
    const parsed = parseOcspResponse(response);
    const kept = parsed.certificates.filter((one) => voucherIn(one) === undefined);
    const { type, signature } = rawParts(response);
    const certificates = [...kept, ...containers];
    const certs = certificates.length > 0 ? [der.tlv(constructed(0), der.sequence(...certificates))] : [];
    const basic = der.sequence(parsed.tbs, parsed.signatureAlgorithm, signature, ...certs);
    const responseBytes = der.sequence(type, der.octetString(basic));
    augmented = der.sequence(der.enumerated(0), der.tlv(constructed(0), responseBytes));
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause;
    throw new VoucherError('not-encodable', `no OCSP response to add to: ${cause.message}`, { cause });
  }
  if (augmented.length > containerLimits.responseOctets) {
    throw new VoucherError('not-encodable', `an OCSP response of ${augmented.length} octets`);
  }
  return augmented;
}

/** What goes into the new response octet for octet. */
function rawParts(response: Uint8Array): { type: Uint8Array; signature: Uint8Array } {
  const outer = DerReader.whole(response);
  outer.enumerated();
  const responseBytes = outer.enter(constructed(0)).sequence();
  const type = responseBytes.raw(tags.oid);
  const basic = DerReader.whole(responseBytes.octetString());
  basic.raw(tags.sequence);
  basic.raw(tags.sequence);
  return { type, signature: basic.raw(tags.bitString) };
}

/**
 * The vouchers in a stapled OCSP response, unverified; the first three. What cannot be read holds none: the
 * response itself is for the TLS stack to judge.
 */
export function vouchersInOcspResponse(response: Uint8Array): Uint8Array[] {
  if (response.length > ocspOctets) return [];
  let certificates: readonly Uint8Array[];
  try {
    ({ certificates } = parseOcspResponse(response));
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
  return certificates.flatMap((one) => voucherIn(one) ?? []).slice(0, containerLimits.containers);
}

function voucherIn(certificate: Uint8Array): Uint8Array | undefined {
  try {
    const value = findExtension(parseCertificate(certificate), oids.voucherContainer)?.value;
    return value && value.length <= voucherLimits.signedOctets ? value : undefined;
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}
