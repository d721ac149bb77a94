import zlib from 'node:zlib';
import { badCertificate, illegal, malformed, tooLarge } from './failure.ts';
import { handshakeTypes, message, messageHeaderSize } from './handshake-messages.ts';
import { Reader } from './reader.ts';

// enum { zlib(1), brotli(2), zstd(3) } CertificateCompressionAlgorithm;
// struct {
//   CertificateCompressionAlgorithm algorithm;           uint16
//   uint24 uncompressed_length;
//   opaque compressed_certificate_message<1..2^24-1>;
// } CompressedCertificate;                               RFC 8879 section 4

interface DecompressOptions {
  readonly maxOutputLength: number;
  /** From Node 26 on; older runtimes take no notice. */
  readonly rejectGarbageAfterEnd: true;
}
type Decompress = (bytes: Buffer, options: DecompressOptions) => Buffer;

const decompressors = new Map<number, Decompress>([
  [2, zlib.brotliDecompressSync],
  [1, zlib.inflateSync],
]);
// From Node 22.15 on. A frame may ask for a window of 128 MB; who refuses more than 8 loses no real peer
// (RFC 8878 section 3.1.1.1.2).
if (typeof zlib.zstdDecompressSync === 'function') {
  const params = { [zlib.constants.ZSTD_d_windowLogMax]: 23 };
  decompressors.set(3, (bytes, options) => zlib.zstdDecompressSync(bytes, { ...options, params }));
}

/** Offered in compress_certificate, in order of preference. */
export const compressionAlgorithms: readonly number[] = [...decompressors.keys()];

/**
 * @param whole the CompressedCertificate message
 * @param limit bytes the certificate message may have
 * @returns the Certificate message it stands for, header included
 * @throws ProbeFailure `too-large`, `bad-certificate` or `protocol-error`
 */
export function decompressCertificate(whole: Buffer, limit: number): Buffer {
  const reader = new Reader(whole, 'CompressedCertificate', messageHeaderSize);
  const algorithm = reader.u16();
  const size = reader.u24();
  const compressed = reader.vector24(1);
  reader.end();
  const decompress = decompressors.get(algorithm);
  if (!decompress) throw illegal(`certificate compression ${algorithm} was not offered`);
  if (size === 0) throw malformed('a compressed certificate message of no length');
  if (size > limit) throw tooLarge(`a certificate message of ${size} bytes, compressed`);
  let body: Buffer;
  try {
    body = decompress(compressed, { maxOutputLength: size, rejectGarbageAfterEnd: true });
  } catch (cause) {
    throw badCertificate('the compressed certificate message does not decompress', cause);
  }
  if (body.length !== size) throw badCertificate('the compressed certificate message has another length');
  return message(handshakeTypes.certificate, body);
}
