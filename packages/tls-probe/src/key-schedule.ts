import { createHash, createHmac, hash as digest } from 'node:crypto';
import type { HashName } from './cipher-suites.ts';

// HKDF-Expand-Label(Secret, Label, Context, Length) = HKDF-Expand(Secret, HkdfLabel, Length)
//   struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel;
//
//              0 -> HKDF-Extract = Early Secret -> Derive-Secret(., "derived", "")
//        (EC)DHE -> HKDF-Extract = Handshake Secret
//                     +-> Derive-Secret(., "c hs traffic" | "s hs traffic", ClientHello...ServerHello)
//                     Derive-Secret(., "derived", "")
//              0 -> HKDF-Extract = Master Secret
//                     +-> Derive-Secret(., "c ap traffic" | "s ap traffic", ClientHello...server Finished)
// RFC 8446 section 7.1

export const hashSizes: Record<HashName, number> = { sha256: 32, sha384: 48 };

const blockSizes: Record<HashName, number> = { sha256: 64, sha384: 128 };
/** Filled and read within one call, since taking memory would cost as much as the digests. */
const inner = Buffer.alloc(1_024);
const outer = { sha256: Buffer.alloc(64 + 32), sha384: Buffer.alloc(128 + 48) };

/** A digest in Node's pool for small buffers: memory of its own costs as much as the digest, and is collected later. */
export const pooledDigest = (hash: HashName, data: Buffer): Buffer =>
  Buffer.from(digest(hash, data, 'latin1'), 'latin1');

/**
 * HMAC (RFC 2104) of two one-shot digests. A handshake makes sixteen; createHmac takes nearly twice as long, for its
 * objects have to be collected.
 */
export function hmac(hash: HashName, key: Buffer, data: Buffer): Buffer {
  const block = blockSizes[hash];
  if (key.length > block || block + data.length > inner.length) {
    return createHmac(hash, key).update(data).digest();
  }
  const end = outer[hash];
  inner.fill(0x36, 0, block);
  end.fill(0x5c, 0, block);
  for (let at = 0; at < key.length; at++) {
    inner[at]! ^= key[at]!;
    end[at]! ^= key[at]!;
  }
  data.copy(inner, block);
  end.write(digest(hash, inner.subarray(0, block + data.length), 'latin1'), block, 'latin1');
  return pooledDigest(hash, end);
}

/** By length, then label: the same dozen for ever. */
const labelPrefixes: Map<string, Buffer>[] = [];

/** length and label of the HkdfLabel */
function labelPrefix(label: string, length: number): Buffer {
  const ofLength = (labelPrefixes[length] ??= new Map<string, Buffer>());
  let prefix = ofLength.get(label);
  if (!prefix) {
    const header = Buffer.from([length >> 8, length & 0xff, label.length + 6]);
    prefix = Buffer.concat([header, Buffer.from(`tls13 ${label}`)]);
    ofLength.set(label, prefix);
  }
  return prefix;
}

/**
 * RFC 8446 section 7.1. One HMAC, since TLS never asks for more than one hash of output.
 * @param length bytes, at most the hash's size
 */
export function expandLabel(
  hash: HashName,
  secret: Buffer,
  label: string,
  context: Buffer,
  length: number,
): Buffer {
  const prefix = labelPrefix(label, length);
  const info = Buffer.allocUnsafe(prefix.length + 1 + context.length + 1);
  prefix.copy(info);
  info[prefix.length] = context.length;
  context.copy(info, prefix.length + 1);
  info[info.length - 1] = 1;
  const block = hmac(hash, secret, info);
  return length === block.length ? block : block.subarray(0, length);
}

const empty = Buffer.alloc(0);

const derivedFromNothing = (hash: HashName) => {
  const size = hashSizes[hash];
  const zeros = Buffer.alloc(size);
  const emptyHash = createHash(hash).digest();
  return {
    zeros,
    emptyHash,
    afterEarly: expandLabel(hash, hmac(hash, zeros, zeros), 'derived', emptyHash, size),
  };
};
const fixed = { sha256: derivedFromNothing('sha256'), sha384: derivedFromNothing('sha384') };

/** @param shared the (EC)DHE secret */
export const handshakeSecret = (hash: HashName, shared: Buffer): Buffer =>
  hmac(hash, fixed[hash].afterEarly, shared);

export const masterSecret = (hash: HashName, fromHandshake: Buffer): Buffer => {
  const { emptyHash, zeros } = fixed[hash];
  return hmac(hash, expandLabel(hash, fromHandshake, 'derived', emptyHash, hashSizes[hash]), zeros);
};

/** Derive-Secret, given the hash of the transcript. */
export const trafficSecret = (hash: HashName, secret: Buffer, label: string, transcript: Buffer): Buffer =>
  expandLabel(hash, secret, label, transcript, hashSizes[hash]);

/** RFC 8446 section 7.3 */
export const trafficKeys = (hash: HashName, secret: Buffer, keySize: number) => ({
  key: expandLabel(hash, secret, 'key', empty, keySize),
  iv: expandLabel(hash, secret, 'iv', empty, 12),
});

/** verify_data of a Finished (RFC 8446 section 4.4.4). */
export const finishedMac = (hash: HashName, secret: Buffer, transcript: Buffer): Buffer =>
  hmac(hash, expandLabel(hash, secret, 'finished', empty, hashSizes[hash]), transcript);

/**
 * PRF of TLS 1.2: P_hash(secret, label + seed) (RFC 5246 section 5).
 * @param length bytes wanted
 */
export function prf(hash: HashName, secret: Buffer, label: string, seed: Buffer, length: number): Buffer {
  const labelled = Buffer.concat([Buffer.from(label), seed]);
  const blocks: Buffer[] = [];
  let chained: Buffer = labelled;
  for (let size = 0; size < length; size += hashSizes[hash]) {
    chained = hmac(hash, secret, chained);
    blocks.push(hmac(hash, secret, Buffer.concat([chained, labelled])));
  }
  return Buffer.concat(blocks).subarray(0, length);
}
