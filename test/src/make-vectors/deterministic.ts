/**
 * Keys and ECDSA signatures that are the same in every run, in the place of node:crypto's: to be imported before
 * anything that makes test certificates. For vectors only: keys of known seeds protect nothing.
 */
import crypto, { type KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const curves = {
  'P-256': {
    openssl: 'prime256v1',
    octets: 32,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  'P-384': {
    openssl: 'secp384r1',
    octets: 48,
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
} as const;
type CurveName = keyof typeof curves;

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
const toOctets = (value: bigint, size: number): Buffer =>
  Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex');

let seeds = 0;

/** The nth key of the run. */
function generateKeyPairSync(_type: string, { namedCurve }: { namedCurve: CurveName }) {
  const { openssl, octets } = curves[namedCurve];
  const scalar = crypto
    .createHash('sha384')
    .update(`mecai vector key ${seeds++}`)
    .digest()
    .subarray(0, octets);
  // Below the order of the group, as nearly every hash is.
  scalar[0]! &= 0x7f;
  const ecdh = crypto.createECDH(openssl);
  ecdh.setPrivateKey(scalar);
  const point = ecdh.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: namedCurve,
    d: scalar.toString('base64url'),
    x: point.subarray(1, 1 + octets).toString('base64url'),
    y: point.subarray(1 + octets).toString('base64url'),
  };
  const privateKey = crypto.createPrivateKey({ key: jwk, format: 'jwk' });
  return { privateKey, publicKey: crypto.createPublicKey(privateKey) };
}

/** ECDSA as RFC 6979 section 3.2 has it; the point comes from ECDH. */
function sign(
  digestName: string,
  data: Uint8Array,
  given: KeyObject | { key: KeyObject; dsaEncoding?: string },
): Buffer {
  const key = 'key' in given ? given.key : given;
  const { crv, d } = key.export({ format: 'jwk' }) as { crv: CurveName; d: string };
  const { openssl, octets, order } = curves[crv];
  const scalar = toNumber(Buffer.from(d, 'base64url'));
  const bits = octets * 8;
  const leftmost = (bytes: Uint8Array) => toNumber(bytes) >> BigInt(Math.max(0, bytes.length * 8 - bits));
  const digest = crypto.createHash(digestName).update(data).digest();
  const z = leftmost(digest);
  const hmac = (k: Uint8Array, ...parts: Uint8Array[]) =>
    crypto.createHmac(digestName, k).update(Buffer.concat(parts)).digest();
  const seed = Buffer.concat([toOctets(scalar, octets), toOctets(z % order, octets)]);
  let k: Uint8Array = Buffer.alloc(digest.length, 0);
  let v: Uint8Array = Buffer.alloc(digest.length, 1);
  k = hmac(k, v, Uint8Array.of(0), seed);
  v = hmac(k, v);
  k = hmac(k, v, Uint8Array.of(1), seed);
  v = hmac(k, v);
  for (;;) {
    let t = Buffer.alloc(0);
    while (t.length < octets) {
      v = hmac(k, v);
      t = Buffer.concat([t, v]);
    }
    const nonce = leftmost(t.subarray(0, octets));
    if (nonce > 0n && nonce < order) {
      const ecdh = crypto.createECDH(openssl);
      ecdh.setPrivateKey(toOctets(nonce, octets));
      const r = toNumber(ecdh.getPublicKey().subarray(1, 1 + octets)) % order;
      const s = (inverse(nonce, order) * ((z + r * scalar) % order)) % order;
      return sequenceOf(r, s);
    }
    k = hmac(k, v, Uint8Array.of(0));
    v = hmac(k, v);
  }
}

/** By Fermat: the order is prime. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [result, base] = [1n, value % modulus];
  for (let exponent = modulus - 2n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return result;
}

/** Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279 section 2.2.3) */
function sequenceOf(...numbers: readonly bigint[]): Buffer {
  const integers = numbers.map((number) => {
    const hex = number.toString(16);
    const bytes = Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex');
    const content = bytes[0]! >= 0x80 ? Buffer.concat([Uint8Array.of(0), bytes]) : bytes;
    return Buffer.concat([Uint8Array.of(2, content.length), content]);
  });
  const content = Buffer.concat(integers);
  return Buffer.concat([Uint8Array.of(0x30, content.length), content]);
}

Object.assign(crypto, { generateKeyPairSync, sign });
syncBuiltinESMExports();
