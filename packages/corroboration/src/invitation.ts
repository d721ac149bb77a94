/**
 * An operator invites an agent: a signed document says which, and a token goes to its machine. The token is the private
 * key of the invitation's public one. So who keeps invitations (a coordinator) knows no token, cannot join with one,
 * and cannot put other keys in the place of those that the token's holder signed.
 */
import { type KeyObject, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { CorroborationError } from './error.ts';
import { type Declared, parseDeclared } from './registry.ts';

/**
 * `{"tokenKey": Ed25519, base64; "expires": milliseconds since 1970; "agent": an entry of the registry without its
 * keys}`.
 */
export interface Invitation {
  readonly tokenKey: string;
  readonly expires: number;
  readonly agent: Declared;
}

export interface SignedInvitation {
  /** The exact octets that are signed. */
  readonly document: Uint8Array;
  /** By a registry key of the operator, ECDSA P-256 with SHA-256, DER. */
  readonly signature: Uint8Array;
}

const tokenPrefix = 'mecai-join-';
/** A PrivateKeyInfo of Ed25519 up to its 32 octets (RFC 8410 section 7). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** A SubjectPublicKeyInfo of Ed25519 up to its 32 octets (RFC 8410 section 4). */
const spki = Buffer.from('302a300506032b6570032100', 'hex');

// Keeps an invitation's signature from being one of anything else.
const domain = Buffer.from('MECAI-invitation-v1\0', 'latin1');
const signed = (document: Uint8Array) => Buffer.concat([domain, document]);

/** @param random 32 octets that nobody else knows */
export const newToken = (random: Uint8Array): string =>
  `${tokenPrefix}${Buffer.from(random).toString('base64url')}`;

/** @throws CorroborationError `bad-token` */
export function readToken(token: string): { readonly privateKey: KeyObject; readonly publicKey: string } {
  if (!/^mecai-join-[A-Za-z0-9_-]{43}$/.test(token)) {
    throw new CorroborationError('bad-token', `a join token is ${tokenPrefix} and 43 characters`);
  }
  const seed = Buffer.from(token.slice(tokenPrefix.length), 'base64url');
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey: der.subarray(spki.length).toString('base64') };
}

/** @param octets 32 */
export const ed25519PublicKey = (octets: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([spki, octets]), format: 'der', type: 'spki' });

export const isTokenKey = (value: unknown): value is string =>
  typeof value === 'string' && /^[A-Za-z0-9+/]{43}=$/.test(value);

/**
 * @param agent an entry of the registry without its keys
 * @throws CorroborationError `bad-invitation`
 */
export function signInvitation(
  { tokenKey, expires, agent }: { tokenKey: string; expires: number; agent: unknown },
  key: KeyObject,
): SignedInvitation {
  const document = Buffer.from(JSON.stringify({ tokenKey, expires, agent }));
  parseInvitation(document);
  return { document, signature: sign('sha256', signed(document), key) };
}

/** Whether one of these operators signed it. */
export const verifyInvitation = (
  { document, signature }: SignedInvitation,
  keys: readonly KeyObject[],
): boolean =>
  // 72 octets hold any DER signature of P-256.
  signature.length <= 72 && keys.some((key) => verify('sha256', signed(document), key, signature));

/** @throws CorroborationError `bad-invitation` */
export function parseInvitation(document: Uint8Array): Invitation {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(document));
    const { tokenKey, expires, agent, ...others }: Record<string, unknown> = Object(value);
    if (!isTokenKey(tokenKey)) throw new TypeError('tokenKey: 32 octets in base64');
    if (!Number.isSafeInteger(expires)) throw new TypeError('expires: milliseconds since 1970');
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) throw new TypeError(`unknown member ${JSON.stringify(unknown)}`);
    return { tokenKey, expires: expires as number, agent: parseDeclared(agent, 'agent') };
  } catch (cause) {
    throw new CorroborationError('bad-invitation', `invitation: ${(cause as Error).message}`, { cause });
  }
}
