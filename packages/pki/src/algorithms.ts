/** Signature and key algorithms that a TLS server chain may use (BR 7.1.3, RFC 4055, RFC 5480, RFC 8410). */
import { constants, type KeyObject, verify } from 'node:crypto';
import { DerReader } from './der-reader.ts';
import { constructed, tags } from './der-tags.ts';
import { PkiError } from './error.ts';

export interface SignatureAlgorithm {
  readonly key: 'rsa' | 'ec' | 'ed25519';
  readonly hash: 'sha1' | 'sha256' | 'sha384' | 'sha512' | null;
  readonly pss: boolean;
}

const pkcs1: Readonly<Record<string, SignatureAlgorithm['hash']>> = {
  '1.2.840.113549.1.1.5': 'sha1',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};
const ecdsa: Readonly<Record<string, SignatureAlgorithm['hash']>> = {
  '1.2.840.10045.4.1': 'sha1',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const digests: Readonly<Record<string, SignatureAlgorithm['hash']>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const digestOctets = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const;

const oids = {
  rsaEncryption: '1.2.840.113549.1.1.1',
  rsassaPss: '1.2.840.113549.1.1.10',
  mgf1: '1.2.840.113549.1.1.8',
  ecPublicKey: '1.2.840.10045.2.1',
  ed25519: '1.3.101.112',
} as const;

/** Octets of an uncompressed point (SEC 1 section 2.3.3). */
const curves: Readonly<Record<string, { name: 'P-256' | 'P-384' | 'P-521'; point: number }>> = {
  '1.2.840.10045.3.1.7': { name: 'P-256', point: 65 },
  '1.3.132.0.34': { name: 'P-384', point: 97 },
  '1.3.132.0.35': { name: 'P-521', point: 133 },
};

/** An AlgorithmIdentifier that signs. Throws `unsupported` for one that is not listed above. */
export function readSignatureAlgorithm(identifier: Uint8Array): SignatureAlgorithm {
  const reader = DerReader.whole(identifier);
  const oid = reader.oid();
  const rsa = pkcs1[oid];
  if (rsa) {
    reader.null();
    reader.end();
    return { key: 'rsa', hash: rsa, pss: false };
  }
  const ec = ecdsa[oid];
  if (ec) {
    reader.end();
    return { key: 'ec', hash: ec, pss: false };
  }
  if (oid === oids.ed25519) {
    reader.end();
    return { key: 'ed25519', hash: null, pss: false };
  }
  if (oid === oids.rsassaPss) {
    const hash = readPssParameters(reader.sequence());
    reader.end();
    return { key: 'rsa', hash, pss: true };
  }
  throw new PkiError('unsupported', `signature algorithm ${oid}`);
}

function digest(reader: DerReader): SignatureAlgorithm['hash'] | undefined {
  const hash = digests[reader.oid()];
  if (!reader.atEnd) reader.null();
  reader.end();
  return hash;
}

/** Only what BR 7.1.3.2.1 lists: the same hash twice, MGF1, a salt as long as the hash. */
function readPssParameters(parameters: DerReader): 'sha256' | 'sha384' | 'sha512' {
  const hash = digest(parameters.enter(constructed(0)).sequence());
  const mask = parameters.enter(constructed(1)).sequence();
  const mgf = mask.oid();
  const maskHash = digest(mask.sequence());
  mask.end();
  const salt = parameters.enter(constructed(2)).integer();
  parameters.end();
  if (!hash || hash === 'sha1' || mgf !== oids.mgf1 || maskHash !== hash || salt !== digestOctets[hash]) {
    throw new PkiError('unsupported', 'RSASSA-PSS parameters');
  }
  return hash;
}

/** Whether `signature` over `data` is one of this key's. A key or signature of another kind is just false. */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (key.asymmetricKeyType !== algorithm.key) return false;
  try {
    if (algorithm.pss) {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return verify(algorithm.hash, data, { key, padding, saltLength }, signature);
    }
    return verify(algorithm.hash, data, key, signature);
  } catch {
    // OpenSSL throws on some hostile keys and signatures instead of answering no.
    return false;
  }
}

export type PublicKeyInfo =
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponent: number }
  | { readonly kind: 'ec'; readonly curve: 'P-256' | 'P-384' | 'P-521' }
  | { readonly kind: 'ed25519' };

/** A public exponent of more octets only serves to make verifying slow. */
const exponentOctets = 5;

/** SubjectPublicKeyInfo, read without importing the key. Throws `unsupported` for other kinds of key. */
export function readPublicKey(spki: Uint8Array): PublicKeyInfo {
  const outer = DerReader.whole(spki);
  const algorithm = outer.sequence();
  const oid = algorithm.oid();
  const bits = outer.bitString();
  outer.end();
  if (oid === oids.rsaEncryption) {
    algorithm.null();
    algorithm.end();
    const key = DerReader.whole(bits);
    const modulus = key.integerBytes();
    const exponent = key.integerBytes();
    key.end();
    if (modulus[0]! >= 0x80 || exponent[0]! >= 0x80) throw new PkiError('malformed', 'negative RSA key');
    if (exponent.length > exponentOctets) throw new PkiError('unsupported', 'RSA exponent too large');
    let value = 0;
    for (const octet of exponent) value = value * 256 + octet;
    return { kind: 'rsa', bits: bitLength(modulus), exponent: value };
  }
  if (oid === oids.ecPublicKey) {
    if (algorithm.peek() !== tags.oid) throw new PkiError('unsupported', 'EC curve not named');
    const curveOid = algorithm.oid();
    algorithm.end();
    const curve = curves[curveOid];
    if (!curve) throw new PkiError('unsupported', `EC curve ${curveOid}`);
    if (bits[0] !== 4 || bits.length !== curve.point) throw new PkiError('malformed', 'EC point');
    return { kind: 'ec', curve: curve.name };
  }
  if (oid === oids.ed25519) {
    algorithm.end();
    if (bits.length !== 32) throw new PkiError('malformed', 'Ed25519 key');
    return { kind: 'ed25519' };
  }
  throw new PkiError('unsupported', `public key algorithm ${oid}`);
}

function bitLength(integer: Uint8Array): number {
  const start = integer[0] === 0 ? 1 : 0;
  const first = integer[start];
  return first === undefined ? 0 : (integer.length - start) * 8 - (Math.clz32(first) - 24);
}
