/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { brotliCompressSync, deflateSync, zstdCompressSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { decompressCertificate } from './compressed-certificate.ts';
import { ProbeFailure } from './failure.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import { TestCertificates } from './testing/certificates.ts';
import { fails, run } from './testing/run13.ts';
import { certificateMessage, type Script, vector24 } from './testing/scripted-server.ts';

const certificates = new TestCertificates();
afterAll(() => certificates.remove());
const leaf = certificates.issue('leaf', 'p256');
const other = certificates.issue('other', 'p256');
const chain = [leaf.der, other.der];
const plain = certificateMessage(chain, Buffer.alloc(0));
const body = plain.subarray(4);

const length24 = (size: number) => Buffer.from([size >> 16, (size >> 8) & 0xff, size & 0xff]);
/** @param announced uncompressed_length */
const compressed = (algorithm: number, bytes: Buffer, announced: number) =>
  message(
    handshakeTypes.compressedCertificate,
    Buffer.from([algorithm >> 8, algorithm & 0xff]),
    length24(announced),
    vector24(bytes),
  );

function failure(whole: Buffer): ProbeFailure {
  try {
    decompressCertificate(whole, 65_536);
  } catch (error) {
    if (error instanceof ProbeFailure) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe.each([
  ['zlib', 1, deflateSync],
  ['brotli', 2, brotliCompressSync],
  ['zstd', 3, zstdCompressSync],
] as const)('a certificate message compressed with %s', (_, algorithm, compress) => {
  it('is taken, and proves what the plain one would', () => {
    const rewrite: Script['rewrite'] = (name, whole) =>
      name === 'certificate' ? compressed(algorithm, compress(whole.subarray(4)), whole.length - 4) : whole;
    const { seen } = run({ chain, key: leaf.key, rewrite });
    expect(seen.possessionProven).toBe(true);
    expect(seen.chain.map((der) => Buffer.from(der))).toEqual(chain);
  });

  it('is of the length announced, to the byte', () => {
    const bytes = compress(body);
    expect(decompressCertificate(compressed(algorithm, bytes, body.length), 65_536)).toEqual(plain);
    for (const announced of [1, body.length - 1, body.length + 1]) {
      expect(failure(compressed(algorithm, bytes, announced)), `${announced}`).toEqual(
        fails('bad-certificate', 42),
      );
    }
    expect(failure(compressed(algorithm, bytes, 0))).toEqual(fails('protocol-error', 50));
  });

  it('is followed by nothing, not even itself', () => {
    const bytes = compress(body);
    for (const behind of [Buffer.from([0]), Buffer.from('behind it'), bytes]) {
      expect(failure(compressed(algorithm, Buffer.concat([bytes, behind]), body.length))).toEqual(
        fails('bad-certificate', 42),
      );
    }
  });

  it('is whole', () => {
    const bytes = compress(body);
    for (const size of [1, bytes.length >> 1, bytes.length - 1]) {
      expect(failure(compressed(algorithm, bytes.subarray(0, size), body.length))).toEqual(
        fails('bad-certificate', 42),
      );
    }
    expect(failure(compressed(algorithm, Buffer.alloc(0), body.length))).toEqual(fails('protocol-error', 50));
  });

  it('is no bomb', () => {
    const bomb = compress(Buffer.alloc(10_000_000));
    expect(failure(compressed(algorithm, bomb, 10_000_000))).toEqual(fails('too-large', 80));
    const small = failure(compressed(algorithm, bomb, 10_000));
    expect(small).toEqual(fails('bad-certificate', 42));
    // Stopped at the announced size, not after all of it was there.
    expect(small.cause).toMatchObject({ code: 'ERR_BUFFER_TOO_LARGE' });
  });
});

it('a zstd frame that wants a window of 128 MB is refused', () => {
  // Magic number; no single segment; window descriptor 2^27; one raw last block (RFC 8878 section 3.1.1).
  const block = Buffer.alloc(3);
  block.writeUIntLE((body.length << 3) | 1, 0, 3);
  const frame = (exponent: number) =>
    Buffer.concat([Buffer.from('28b52ffd00', 'hex'), Buffer.from([(exponent - 10) << 3]), block, body]);
  expect(decompressCertificate(compressed(3, frame(23), body.length), 65_536)).toEqual(plain);
  expect(failure(compressed(3, frame(27), body.length))).toEqual(fails('bad-certificate', 42));
});

it('an algorithm that was not offered is refused', () => {
  for (const algorithm of [0, 4, 0x4001]) {
    expect(failure(compressed(algorithm, deflateSync(body), body.length))).toEqual(
      fails('protocol-error', 47),
    );
  }
});
