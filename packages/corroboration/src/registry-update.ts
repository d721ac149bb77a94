import { type KeyObject, sign, verify } from 'node:crypto';

// Keeps an update's signature from being one of anything else.
const domain = Buffer.from('MECAI-registry-v1\0', 'latin1');
const signed = (registry: Uint8Array) => Buffer.concat([domain, registry]);

/**
 * By the operator, who decides who is a perspective: ECDSA P-256 with SHA-256, DER, over the domain separator and
 * the exact bytes of the registry file. The version inside makes a replay worthless.
 */
export const signRegistry = (registry: Uint8Array, key: KeyObject): Uint8Array =>
  sign('sha256', signed(registry), key);

/** @param keys of operators; any one of them may sign */
export function verifyRegistrySignature(
  registry: Uint8Array,
  signature: Uint8Array,
  keys: readonly KeyObject[],
): boolean {
  // 72 octets hold any DER signature of P-256.
  return signature.length <= 72 && keys.some((key) => verify('sha256', signed(registry), key, signature));
}
