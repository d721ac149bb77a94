import { generateKeyPairSync } from 'node:crypto';
import { toPem } from '@mecai/pki';
import {
  type KeyPair,
  authority,
  emailName,
  ext,
  issue,
  keyOf,
  commonName,
  pairOf,
} from '@mecai/pki/testing';
import { type Identity, readIdentity } from '../mail/identity.ts';

/** id-kp-emailProtection (RFC 5280 section 4.2.1.12). */
const emailProtection = '1.3.6.1.5.5.7.3.4';
const years = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2036-01-01T00:00:00Z') };

export const mailRoot = authority('Mail Root', years);
export const mailIssuer = authority('Mail Issuer', { issuer: mailRoot, ...years });

export const rsaKey = (): KeyPair => pairOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);

/** PEM files of an e-mail certificate, its intermediate and its key. */
export function identityPem(
  address: string,
  key: KeyPair = keyOf('mail'),
): { certificate: string; key: string } {
  const leaf = issue({
    subject: commonName('Second Opinion VA'),
    issuer: mailIssuer,
    key,
    ...years,
    extensions: [
      ext.basicConstraints(false),
      ext.keyUsage(0),
      ext.extKeyUsage(emailProtection),
      ext.subjectAltName([emailName(address)]),
    ],
  });
  return {
    certificate: toPem(leaf.der, 'CERTIFICATE') + toPem(mailIssuer.der, 'CERTIFICATE'),
    key: key.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  };
}

export function testIdentity(address: string, key?: KeyPair): Identity {
  const pem = identityPem(address, key);
  return readIdentity(pem.certificate, pem.key, address);
}
