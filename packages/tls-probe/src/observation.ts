import { expectNoData, extensionTypes, readAlpn, readExtensions, readOcspResponse } from './extensions.ts';
import { malformed, tooLarge, unexpected } from './failure.ts';
import { messageHeaderSize } from './handshake-messages.ts';
import { Reader } from './reader.ts';

/** What has been seen so far; each field means the one of the same name in `ProbeResult`. */
export class Observation {
  readonly chain: Uint8Array[] = [];
  possessionProven = false;
  version: number | undefined;
  cipherSuite: number | undefined;
  group: number | undefined;
  signatureScheme: number | undefined;
  alpn: string | undefined;
  readonly ocspResponses: { readonly certificate: number; readonly der: Uint8Array }[] = [];
  /** By certificate position; `sctListsOf` adds those inside certificates and OCSP responses. */
  readonly tlsSctLists: { readonly certificate: number; readonly list: Uint8Array }[] = [];
  readonly extensions = new Map<number, Uint8Array>();
}

/** Bytes of their own, as long as they need to be: results outlive the buffers they were read from. */
const owned = (view: Buffer): Uint8Array => new Uint8Array(view);

/** @returns whether the type is one of the private ones */
export function recordPrivate(
  seen: Observation,
  custom: readonly number[],
  type: number,
  data: Buffer,
): boolean {
  if (!custom.includes(type)) return false;
  seen.extensions.set(type, owned(data));
  return true;
}

// opaque SerializedSCT<1..2^16-1>;
// struct { SerializedSCT sct_list<1..2^16-1>; } SignedCertificateTimestampList;   RFC 6962 section 3.3
function recordSctList(seen: Observation, certificate: number, data: Buffer): void {
  const outer = new Reader(data, 'the SCT list');
  const list = new Reader(outer.vector16(1), 'the SCT list');
  outer.end();
  while (list.left > 0) list.vector16(1);
  seen.tlsSctLists.push({ certificate, list: owned(data) });
}

/** Answers that a TLS 1.2 ServerHello carries. */
export function recordHelloExtensions(
  seen: Observation,
  extensions: ReadonlyMap<number, Buffer>,
  custom: readonly number[],
  alpnOffered: readonly string[],
): void {
  for (const [type, data] of extensions) {
    if (type === extensionTypes.alpn) seen.alpn = readAlpn(data, alpnOffered);
    else if (type === extensionTypes.signedCertificateTimestamp) recordSctList(seen, 0, data);
    else if (type === extensionTypes.serverName || type === extensionTypes.statusRequest) {
      expectNoData(type, data);
    } else recordPrivate(seen, custom, type, data);
  }
}

// struct { opaque OCSP or SCT … } as CertificateEntry extensions   RFC 8446 section 4.4.2
function recordEntryExtensions(
  seen: Observation,
  reader: Reader,
  position: number,
  offered: ReadonlySet<number>,
  custom: readonly number[],
): void {
  readExtensions(reader, `the entry of certificate ${position}`, offered, (type, data) => {
    if (type === extensionTypes.statusRequest) {
      seen.ocspResponses.push({ certificate: position, der: owned(readOcspResponse(data)) });
      return true;
    }
    if (type === extensionTypes.signedCertificateTimestamp) {
      recordSctList(seen, position, data);
      return true;
    }
    // What is stapled belongs to the end entity; on an issuer's entry it would overwrite that.
    if (position > 0) return custom.includes(type);
    return recordPrivate(seen, custom, type, data);
  });
}

// struct {
//   opaque certificate_request_context<0..2^8-1>;   empty from a server     (TLS 1.3 only)
//   CertificateEntry certificate_list<0..2^24-1>;
// } Certificate;
// struct {
//   opaque cert_data<1..2^24-1>;
//   Extension extensions<0..2^16-1>;                                        (TLS 1.3 only)
// } CertificateEntry;           RFC 8446 section 4.4.2, RFC 5246 section 7.4.2

/**
 * Reads the server's Certificate message into `seen`. What was read before a failure stays.
 * @param limit certificates
 */
export function recordCertificates(
  seen: Observation,
  whole: Buffer,
  version: 0x0303 | 0x0304,
  limit: number,
  offered: ReadonlySet<number>,
  custom: readonly number[],
): void {
  const reader = new Reader(whole, 'Certificate', messageHeaderSize);
  if (version === 0x0304 && reader.vector8().length > 0) {
    throw unexpected('a certificate_request_context that nobody asked for');
  }
  const list = new Reader(reader.vector24(), 'the certificate list');
  reader.end();
  while (list.left > 0) {
    const position = seen.chain.length;
    if (position >= limit) throw tooLarge(`more than ${limit} certificates`);
    seen.chain.push(owned(list.vector24(1)));
    if (version === 0x0304) recordEntryExtensions(seen, list, position, offered, custom);
  }
  if (seen.chain.length === 0) throw malformed('the server sent no certificate');
}

/** CertificateStatus of TLS 1.2 (RFC 6066 section 8): for the end entity only. */
export function recordCertificateStatus(seen: Observation, whole: Buffer): void {
  seen.ocspResponses.push({
    certificate: 0,
    der: owned(readOcspResponse(whole.subarray(messageHeaderSize))),
  });
}
