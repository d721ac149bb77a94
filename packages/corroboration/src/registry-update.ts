import { type KeyObject, sign, verify } from 'node:crypto';
import { CorroborationError } from './error.ts';
import { type Registry, parseRegistry } from './registry.ts';

export interface RegistryUpdate {
  /** The file, UTF-8. */
  readonly registry: Uint8Array;
  readonly signature: Uint8Array;
}

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

/**
 * What an update puts in force, wherever it comes from: signed by an operator, and above what is in force.
 *
 * @param inForce where there is one
 * @throws CorroborationError `bad-registry`, saying why not
 */
export function updatedRegistry(
  { registry: bytes, signature }: RegistryUpdate,
  keys: readonly KeyObject[],
  inForce?: Registry,
): Registry {
  if (!verifyRegistrySignature(bytes, signature, keys))
    throw refused('not signed by one of the registry keys');
  const registry = parseRegistry(registryText(bytes));
  if (inForce && registry.version <= inForce.version) {
    throw refused(`version ${registry.version} is not above ${inForce.version}, which is in force`);
  }
  return registry;
}

/** @throws CorroborationError `bad-registry` for what is no UTF-8 */
export function registryText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refused('not UTF-8', cause);
  }
}

const refused = (why: string, cause?: unknown) =>
  new CorroborationError('bad-registry', `registry: ${why}`, { cause });
