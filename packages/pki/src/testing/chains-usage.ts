/** Chains about what certificates may be used for, and other extensions. */
import { der, keyPurposes } from '../index.ts';
import { below, br, chain, type GeneratedChain, refused, root } from './chain.ts';
import { ext, extension, keyOf } from './issue.ts';

export function usageChains(): GeneratedChain[] {
  const { serverAuth, any, ocspSigning } = keyPurposes;
  const client = '1.3.6.1.5.5.7.3.2';
  return [
    leaf('client EKU', 'extended-key-usage', eku(client)),
    leaf('OCSP signing EKU', 'extended-key-usage', eku(ocspSigning)),
    leaf('server and client EKU', 'trusted', eku(serverAuth, client)),
    leaf('any EKU', 'extended-key-usage', eku(any)),
    leaf('server and any EKU', 'extended-key-usage', eku(serverAuth, any), br),
    leaf('no EKU', 'extended-key-usage', { extKeyUsage: undefined }, br),
    leaf(
      'critical EKU',
      'extended-key-usage',
      { extKeyUsage: extension('2.5.29.37', der.sequence(der.oid(serverAuth)), true) },
      br,
    ),
    leaf('empty EKU', 'malformed', { extKeyUsage: extension('2.5.29.37', der.sequence()) }),
    ca('server EKU', 'trusted', eku(serverAuth)),
    ca('any EKU', 'trusted', eku(any), refused('BR 7.1.2.10.6 allows it to CAs of the same organization')),
    ca('client EKU', 'extended-key-usage', eku(client)),
    ca('server and client EKU', 'trusted', eku(client, serverAuth)),
    leaf('no key usage', 'trusted', { keyUsage: undefined }),
    leaf('key encipherment only', 'trusted', { keyUsage: ext.keyUsage(2) }),
    leaf('key agreement only', 'trusted', { keyUsage: ext.keyUsage(4) }),
    leaf('keyCertSign', 'key-usage', { keyUsage: ext.keyUsage(0, 5) }),
    leaf('non-repudiation only', 'key-usage', { keyUsage: ext.keyUsage(1) }),
    leaf('empty key usage', 'malformed', {
      keyUsage: extension('2.5.29.15', der.tlv(3, Uint8Array.of(0)), true),
    }),
    ca(
      'no key usage',
      'trusted',
      { keyUsage: undefined },
      refused('RFC 5280 6.1.4 (n) asks only if it is there'),
    ),
    ca('cRLSign only', 'key-usage', { keyUsage: ext.keyUsage(6) }),
    ca('keyCertSign only', 'trusted', { keyUsage: ext.keyUsage(5) }),
    ca('no basic constraints', 'not-a-ca', { basicConstraints: undefined }),
    ca('CA false', 'not-a-ca', { basicConstraints: ext.basicConstraints(false) }),
    ca('basic constraints not critical', 'profile', {
      basicConstraints: ext.basicConstraints(true, undefined, false),
    }),
    leaf('no basic constraints', 'trusted', { basicConstraints: undefined }),
    leaf('CA true', 'profile', { basicConstraints: ext.basicConstraints(true) }),
    ca('no subject key identifier', 'profile', { subjectKeyIdentifier: undefined }),
    ca('no authority key identifier', 'profile', { authorityKeyIdentifier: undefined }),
    leaf('no authority key identifier', 'profile', { authorityKeyIdentifier: undefined }),
    leaf(
      'authority key identifier of another key',
      'trusted',
      {
        authorityKeyIdentifier: ext.authorityKeyIdentifier(keyOf('x').spki),
      },
      refused('a hint for building, no condition of RFC 5280 6.1'),
    ),
    leaf('unknown critical extension', 'critical-extension', {
      other: extension('1.2.3.4', der.nullValue(), true),
    }),
    leaf('unknown extension', 'trusted', { other: extension('1.2.3.4', der.nullValue()) }),
    ca('unknown critical extension', 'critical-extension', {
      other: extension('1.2.3.4', der.nullValue(), true),
    }),
    ca('unknown extension', 'trusted', { other: extension('1.2.3.4', der.nullValue()) }),
    leaf(
      'precertificate poison',
      'critical-extension',
      { other: extension('1.3.6.1.4.1.11129.2.4.3', der.nullValue(), true) },
      {},
    ),
    leaf('critical key identifier', 'profile', {
      authorityKeyIdentifier: extension('2.5.29.35', der.sequence(der.tlv(0x80, new Uint8Array(20))), true),
    }),
  ];
}

const leaf = (
  id: string,
  expected: GeneratedChain['expected'],
  change: Record<string, Uint8Array | undefined>,
  rest = {},
) => chain(`leaf: ${id}`, expected, below(root, [{}], { change }), rest);
const ca = (
  id: string,
  expected: GeneratedChain['expected'],
  change: Record<string, Uint8Array | undefined>,
  rest = {},
) => chain(`CA: ${id}`, expected, below(root, [{ change }]), rest);
const eku = (...purposes: string[]) => ({ extKeyUsage: ext.extKeyUsage(...purposes) });
