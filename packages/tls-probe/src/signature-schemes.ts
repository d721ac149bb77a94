import { constants, type KeyObject, verify } from 'node:crypto';
import { badSignature, illegal } from './failure.ts';
import type { LeafKey } from './leaf-key.ts';
import type { KeyType } from './prober.ts';

/** A SignatureScheme (RFC 8446 section 4.2.3). */
export interface SignatureScheme {
  readonly id: number;
  readonly family: 'ecdsa' | 'rsa-pss-rsae' | 'rsa-pss-pss' | 'rsa-pkcs1' | 'ed25519' | 'ed448';
  /** Absent where the signature algorithm brings its own. */
  readonly hash?: 'sha1' | 'sha256' | 'sha384' | 'sha512';
  /** Bytes of the hash: the salt of RSA-PSS is as long (RFC 8446 section 4.2.3). */
  readonly saltLength?: number;
  /** ECDSA in TLS 1.3 is bound to one curve; in 1.2 the same number names the hash alone. */
  readonly curve?: string;
  /** May stand in a CertificateVerify of TLS 1.3. */
  readonly tls13: boolean;
}

const scheme = (
  id: number,
  family: SignatureScheme['family'],
  hash?: SignatureScheme['hash'],
  saltLength?: number,
  curve?: string,
): SignatureScheme => ({
  id,
  family,
  ...(hash && { hash }),
  ...(saltLength !== undefined && { saltLength }),
  ...(curve && { curve }),
  tls13: family !== 'rsa-pkcs1' && hash !== 'sha1',
});

/** In order of preference: the ones that verify fastest first, SHA-1 last and for TLS 1.2 only. */
export const signatureSchemes: readonly SignatureScheme[] = [
  scheme(0x0403, 'ecdsa', 'sha256', undefined, 'prime256v1'),
  scheme(0x0804, 'rsa-pss-rsae', 'sha256', 32),
  scheme(0x0401, 'rsa-pkcs1', 'sha256'),
  scheme(0x0503, 'ecdsa', 'sha384', undefined, 'secp384r1'),
  scheme(0x0805, 'rsa-pss-rsae', 'sha384', 48),
  scheme(0x0501, 'rsa-pkcs1', 'sha384'),
  scheme(0x0807, 'ed25519'),
  scheme(0x0603, 'ecdsa', 'sha512', undefined, 'secp521r1'),
  scheme(0x0806, 'rsa-pss-rsae', 'sha512', 64),
  scheme(0x0601, 'rsa-pkcs1', 'sha512'),
  scheme(0x0808, 'ed448'),
  scheme(0x0809, 'rsa-pss-pss', 'sha256', 32),
  scheme(0x080a, 'rsa-pss-pss', 'sha384', 48),
  scheme(0x080b, 'rsa-pss-pss', 'sha512', 64),
  scheme(0x0201, 'rsa-pkcs1', 'sha1'),
  scheme(0x0203, 'ecdsa', 'sha1'),
];

const rsaFamilies = new Set<SignatureScheme['family']>(['rsa-pss-rsae', 'rsa-pss-pss', 'rsa-pkcs1']);

/** What is offered to see a certificate with this type of key. */
export const offeredSchemes: Record<KeyType, readonly SignatureScheme[]> = {
  any: signatureSchemes,
  rsa: signatureSchemes.filter(({ family }) => rsaFamilies.has(family)),
  ecdsa: signatureSchemes.filter(({ family }) => family === 'ecdsa'),
};

/** The key types, as node:crypto names them, that each family signs with. */
const keyTypes: Record<SignatureScheme['family'], string> = {
  ecdsa: 'ec',
  'rsa-pss-rsae': 'rsa',
  'rsa-pss-pss': 'rsa-pss',
  'rsa-pkcs1': 'rsa',
  ed25519: 'ed25519',
  ed448: 'ed448',
};

const matches = (scheme: SignatureScheme, key: KeyObject, signed: Buffer, signature: Buffer): boolean => {
  if (scheme.family === 'rsa-pss-rsae' || scheme.family === 'rsa-pss-pss') {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return verify(scheme.hash, signed, { key, padding, saltLength: scheme.saltLength! }, signature);
  }
  return verify(scheme.hash, signed, key, signature);
};

/**
 * Checks one handshake signature.
 * @param id SignatureScheme as the server sent it
 * @throws ProbeFailure `protocol-error` for a scheme not offered or not fit for the key and version,
 *   `bad-signature` when it does not verify
 */
export function verifySignature(
  id: number,
  key: LeafKey,
  signed: Buffer,
  signature: Buffer,
  offer: { readonly keyType: KeyType; readonly version: 0x0303 | 0x0304 },
): void {
  const name = `signature scheme 0x${id.toString(16).padStart(4, '0')}`;
  const scheme = offeredSchemes[offer.keyType].find((offered) => offered.id === id);
  if (!scheme) throw illegal(`${name} was not offered`);
  if (offer.version === 0x0304 && !scheme.tls13) throw illegal(`${name} has no place in TLS 1.3`);
  const boundCurve = offer.version === 0x0304 && scheme.curve !== undefined && key.curve !== scheme.curve;
  if (key.type !== keyTypes[scheme.family] || boundCurve) {
    throw illegal(`${name} does not fit a certificate with a key of type ${key.curve ?? key.type}`);
  }
  let valid: boolean;
  try {
    valid = matches(scheme, key.key, signed, signature);
  } catch (cause) {
    throw badSignature(`${name}: the signature cannot be checked`, cause);
  }
  if (!valid) throw badSignature(`${name}: the signature does not match the certificate's key`);
}
