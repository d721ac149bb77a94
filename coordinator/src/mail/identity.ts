/** The voice of the voucher authority: the certificate and key that its mails and webhook calls are signed with. */
import { type KeyObject, createPrivateKey, createPublicKey } from 'node:crypto';
import { type Certificate, alternativeNames, pemCertificates } from '@mecai/pki';
import { RuntimeError } from '@mecai/runtime';

export interface Identity {
  /** Leaf first, without the root. */
  readonly certificates: readonly Certificate[];
  readonly key: KeyObject;
}

/**
 * @param pem the leaf and what is between it and a root
 * @param from the address that mails are from: a certificate of another's proves nothing (RFC 8550 section 3)
 * @throws RuntimeError `bad-configuration`
 */
export function readIdentity(pem: string, keyPem: string, from: string): Identity {
  try {
    const certificates = pemCertificates(pem);
    const [leaf] = certificates;
    if (!leaf) throw new Error('no certificate');
    const key = createPrivateKey(keyPem);
    const spki = createPublicKey(keyPem).export({ format: 'der', type: 'spki' });
    if (!spki.equals(leaf.spki)) throw new Error('the key is not that of the first certificate');
    if (!isP256(key) && key.asymmetricKeyType !== 'rsa') throw new Error('the key is neither RSA nor P-256');
    const names = alternativeNames(leaf)?.email ?? [];
    if (!names.some((name) => name.toLowerCase() === from.toLowerCase())) {
      throw new Error(`the certificate is not for ${from}`);
    }
    return { certificates, key };
  } catch (cause) {
    throw new RuntimeError('bad-configuration', `notice.identity: ${(cause as Error).message}`, { cause });
  }
}

export const isP256 = (key: KeyObject): boolean => key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
