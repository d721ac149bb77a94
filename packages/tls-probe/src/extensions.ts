import { malformed, illegal, unsolicited } from './failure.ts';
import { Reader } from './reader.ts';

// struct { ExtensionType extension_type; opaque extension_data<0..2^16-1>; } Extension;
// Extension extensions<0..2^16-1>;      RFC 8446 section 4.2

export const extensionTypes = {
  serverName: 0,
  statusRequest: 5,
  supportedGroups: 10,
  ecPointFormats: 11,
  signatureAlgorithms: 13,
  alpn: 16,
  signedCertificateTimestamp: 18,
  padding: 21,
  extendedMasterSecret: 23,
  compressCertificate: 27,
  supportedVersions: 43,
  cookie: 44,
  certificateAuthorities: 47,
  signatureAlgorithmsCert: 50,
  keyShare: 51,
  renegotiationInfo: 0xff01,
} as const;

/** One extension, encoded. */
export function extension(type: number, ...data: readonly Buffer[]): Buffer {
  const size = data.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([type >> 8, type & 0xff, size >> 8, size & 0xff]), ...data]);
}

/** Every list a server sends has far fewer; each one offered can be answered at most once. */
const mostExtensions = 256;

/**
 * Walks an extension block, which must fill the reader.
 * @param take called for each; answers false for a type that has no place in this message
 * @throws ProbeFailure `protocol-error`: decode_error for the grammar or a type sent twice,
 *   unsupported_extension for one not offered, illegal_parameter for one out of place
 */
export function readExtensions(
  reader: Reader,
  message: string,
  offered: ReadonlySet<number>,
  take: (type: number, data: Buffer) => boolean,
): void {
  const block = new Reader(reader.vector16(), `extensions of ${message}`);
  const seen: number[] = [];
  while (block.left > 0) {
    const type = block.u16();
    const data = block.vector16();
    if (seen.includes(type)) throw malformed(`extension ${type} stands twice in ${message}`);
    if (seen.length >= mostExtensions)
      throw malformed(`${message} has more than ${mostExtensions} extensions`);
    seen.push(type);
    if (!offered.has(type)) throw unsolicited(`extension ${type} in ${message} was not asked for`);
    if (!take(type, data)) throw illegal(`extension ${type} has no place in ${message}`);
  }
}

/** ProtocolNameList with the one name the server chose (RFC 7301 section 3.1). */
export function readAlpn(data: Buffer, offered: readonly string[]): string {
  const outer = new Reader(data, 'the ALPN answer');
  const list = new Reader(outer.vector16(), 'the ALPN answer');
  outer.end();
  const name = list.vector8(1).toString('latin1');
  list.end();
  if (!offered.includes(name)) throw illegal('the server chose a protocol that ALPN did not offer');
  return name;
}

// ECPointFormat ec_point_format_list<1..2^8-1>;   RFC 8422 section 5.1.2
/** @throws ProbeFailure unless uncompressed(0) is among a server's point formats */
export function checkPointFormats(data: Buffer): void {
  const reader = new Reader(data, 'ec_point_formats');
  const formats = reader.vector8(1);
  reader.end();
  if (!formats.includes(0)) throw illegal('the server takes no uncompressed points');
}

/** @throws ProbeFailure where the extension must have no content */
export function expectNoData(type: number, data: Buffer): void {
  if (data.length > 0) throw malformed(`extension ${type} must be empty here`);
}

/**
 * CertificateStatus { CertificateStatusType status_type = ocsp(1); opaque OCSPResponse<1..2^24-1>; }
 * (RFC 6066 section 8)
 */
export function readOcspResponse(data: Buffer): Buffer {
  const reader = new Reader(data, 'the certificate status');
  if (reader.u8() !== 1) throw illegal('a certificate status that is not OCSP');
  const response = reader.vector24(1);
  reader.end();
  return response;
}
