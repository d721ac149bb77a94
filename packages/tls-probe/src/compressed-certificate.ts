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

type Decompress = (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;

const decompressors = new Map<number, Decompress>([
  [2, zlib.brotliDecompressSync],
  [1, zlib.inflateSync],
]);
// From Node 22.15 on.
if (typeof zlib.zstdDecompressSync === 'function') decompressors.set(3, zlib.zstdDecompressSync);

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
    body = decompress(compressed, { maxOutputLength: size });
  } catch (cause) {
    throw badCertificate('the compressed certificate message does not decompress', cause);
  }
  if (body.length !== size) throw badCertificate('the compressed certificate message has another length');
  return message(handshakeTypes.certificate, body);
}
