/** JSON signed by an identity: JWS in compact form (RFC 7515), ES256 or PS256 (RFC 7518). */
import { type KeyObject, constants, createPublicKey, sign, verify } from 'node:crypto';
import { type Identity, isP256 } from './identity.ts';

/** RFC 7518 section 3.5: the salt is as long as the digest. */
const ps256 = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
const es256 = { dsaEncoding: 'ieee-p1363' } as const;
const algorithmOf = (key: KeyObject) =>
  isP256(key) ? { alg: 'ES256', options: es256 } : { alg: 'PS256', options: ps256 };

/** Octets. */
const maxJws = 262_144;

/**
 * @param type `typ` of the header: keeps a statement of one kind from being taken for one of another (RFC 8725
 *   section 3.11)
 */
export function signJws(type: string, payload: object, { certificates, key }: Identity): string {
  const { alg, options } = algorithmOf(key);
  const x5c = certificates.map(({ der }) => Buffer.from(der).toString('base64'));
  const covered = `${base64url(JSON.stringify({ alg, typ: type, x5c }))}.${base64url(JSON.stringify(payload))}`;
  return `${covered}.${sign('sha256', Buffer.from(covered), { key, ...options }).toString('base64url')}`;
}

/**
 * The payload, if it is of this type and one of the keys signed it; the certificates in it are not looked at. Never
 * throws.
 */
export function verifyJws(type: string, jws: string, keys: readonly KeyObject[]): unknown {
  const [protectedHeader = '', payload = '', signature = '', ...more] = jws.split('.');
  if (jws.length > maxJws || more.length > 0 || !/^[\w.-]+$/.test(jws)) return undefined;
  try {
    const { alg, typ, crit }: Record<string, unknown> = JSON.parse(fromBase64url(protectedHeader).toString());
    if (typ !== type || crit !== undefined) return undefined;
    const covered = Buffer.from(`${protectedHeader}.${payload}`);
    const good = keys.some((key) => {
      // The key says which algorithm it is for, the header does not (RFC 8725 section 3.1).
      const algorithm = algorithmOf(key);
      return (
        alg === algorithm.alg &&
        verify('sha256', covered, { key, ...algorithm.options }, fromBase64url(signature))
      );
    });
    return good ? JSON.parse(fromBase64url(payload).toString()) : undefined;
  } catch {
    return undefined;
  }
}

export const publicKeyOf = ({ certificates }: Identity): KeyObject =>
  createPublicKey({ key: Buffer.from(certificates[0]!.spki), format: 'der', type: 'spki' });

const base64url = (text: string) => Buffer.from(text).toString('base64url');
const fromBase64url = (text: string) => Buffer.from(text, 'base64url');
