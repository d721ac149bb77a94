/** Proof of the server key by a signature over the request, for those without TLS client authentication. */
import { parseCertificate } from '@mecai/pki';
import { constants, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { VoucherError } from './error.ts';
import type { KeyProof } from './vrp.ts';

/** Keeps the signature from being of use anywhere else, TLS included. */
const separator = Buffer.from('MECAI-VRP-key-proof-v1\0', 'ascii');

/**
 * Signs the request with the key of a chain's leaf. `tbs` is DER of TBSVoucherRequest. Throws
 * `not-encodable` for a key type that no grammar rule covers.
 */
export function signKeyProof(tbs: Uint8Array, chain: number, privateKey: KeyObject): KeyProof {
  const scheme = schemeFor(privateKey);
  if (!scheme) {
    throw new VoucherError(
      'not-encodable',
      `no key proof with a key of type ${privateKey.asymmetricKeyType}`,
    );
  }
  const { digest, ...options } = scheme;
  return { chain, signature: sign(digest, covered(tbs), { key: privateKey, ...options }) };
}

/** Whether the signature is that of the leaf's key over the request. Never throws. */
export function verifyKeyProof(tbs: Uint8Array, proof: KeyProof, leaf: Uint8Array): boolean {
  try {
    const spki = Buffer.from(parseCertificate(leaf).spki);
    if (spki.length > maxSpkiOctets) return false;
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const scheme = schemeFor(key);
    if (!scheme) return false;
    // OpenSSL takes an RSA signature without its leading zeros, which RFC 8017 section 8.1.2 does not allow.
    const bits = key.asymmetricKeyDetails?.modulusLength;
    if (bits !== undefined && proof.signature.length !== Math.ceil(bits / 8)) return false;
    const { digest, ...options } = scheme;
    return verify(digest, covered(tbs), { key, ...options }, proof.signature);
  } catch {
    return false;
  }
}

/** Room for RSA-8192. Node takes seconds to describe a key with an exponent of 100 KB. */
const maxSpkiOctets = 1_200;

interface Scheme {
  readonly digest: string | null;
  readonly padding?: number;
  readonly saltLength?: number;
}

const ecdsaDigests: Readonly<Record<string, string>> = {
  prime256v1: 'sha256',
  secp384r1: 'sha384',
  secp521r1: 'sha512',
};

/** The key's type fixes the rest; see KeyProof in mecai.asn1. */
function schemeFor(key: KeyObject): Scheme | undefined {
  switch (key.asymmetricKeyType) {
    case 'ec': {
      const digest = ecdsaDigests[key.asymmetricKeyDetails?.namedCurve ?? ''];
      return digest === undefined ? undefined : { digest };
    }
    case 'rsa':
      return { digest: 'sha256', padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    case 'ed25519':
      return { digest: null };
    default:
      return undefined;
  }
}

const covered = (tbs: Uint8Array): Buffer => Buffer.concat([separator, tbs]);
