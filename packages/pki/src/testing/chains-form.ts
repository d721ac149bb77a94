/** Chains about keys, signatures and the fields outside the extensions. */
import { generateKeyPairSync } from 'node:crypto';
import { der } from '../index.ts';
import { accepted, below, br, chain, type GeneratedChain, host, root } from './chain.ts';
import { authority, ecdsaWithSha256, emptyName, type Issued, keyOf, pairOf, server } from './issue.ts';

export function formChains(): GeneratedChain[] {
  const ed25519 = pairOf(generateKeyPairSync('ed25519').privateKey);
  const rsa2048 = rsa(2048);
  const weakRsa = rsa(1024);
  const sha1 = { signatureAlgorithm: der.sequence(der.oid('1.2.840.10045.4.1')), hash: 'sha1' };
  const ca = authority('Signed', { issuer: root });
  const good = server(host, ca);
  return [
    leaf('serial zero', 'profile', serial([0]), br),
    leaf('negative serial', 'profile', serial([0x80]), br),
    leaf('serial of 20 octets', 'trusted', serial([0x7f, ...Array<number>(19).fill(1)])),
    leaf('serial of 21 octets', 'profile', serial([0x7f, ...Array<number>(20).fill(1)]), br),
    leaf('version 1', 'profile', { version: 1, change: none }, br),
    leaf('RSA 2048', 'trusted', { key: rsa2048 }),
    leaf('RSA 1024', 'weak-key', { key: weakRsa }, br),
    leaf('RSA 2044', 'weak-key', { key: rsa(2044) }, br),
    leaf('P-384', 'trusted', { key: ec('secp384r1') }),
    leaf('P-521', 'trusted', { key: ec('secp521r1') }),
    leaf('secp256k1', 'weak-key', { key: ec('secp256k1') }, br),
    leaf('P-224', 'weak-key', { key: ec('secp224r1') }, br),
    leaf('Ed25519', 'weak-key', { key: ed25519 }, br),
    chain('form: RSA 2048 issuer', 'trusted', below(root, [{ key: rsa2048 }])),
    chain('form: RSA 1024 issuer', 'weak-key', below(root, [{ key: weakRsa }]), br),
    leaf('SHA-1 signature', 'weak-signature', sha1, accepted('not at its default security level')),
    leaf('signed by another key', 'bad-signature', { signer: keyOf('mallory') }),
    leaf('algorithm of another key type', 'bad-signature', {
      signatureAlgorithm: der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nullValue()),
    }),
    leaf('unknown signature algorithm', 'weak-signature', {
      signatureAlgorithm: der.sequence(der.oid('1.2.3.4')),
    }),
    leaf('empty issuer', 'profile', { issuerName: emptyName }),
    chain('form: signature changed', 'bad-signature', [flipped(good), ca]),
    chain('form: intermediate signature changed', 'bad-signature', [good, flipped(ca)]),
    leaf('right algorithm named', 'trusted', { signatureAlgorithm: ecdsaWithSha256 }),
  ];
}

/** No extension at all. */
const none = {
  basicConstraints: undefined,
  keyUsage: undefined,
  extKeyUsage: undefined,
  authorityKeyIdentifier: undefined,
  subjectAltName: undefined,
};
const serial = (octets: number[]) => ({ serial: der.tlv(2, Uint8Array.from(octets)) });
const rsa = (bits: number) => pairOf(generateKeyPairSync('rsa', { modulusLength: bits }).privateKey);
const ec = (namedCurve: string) => pairOf(generateKeyPairSync('ec', { namedCurve }).privateKey);

/** The last bit of the signature is another. */
function flipped(issued: Issued): Issued {
  const bytes = Uint8Array.from(issued.der);
  bytes[bytes.length - 1]! ^= 1;
  return { ...issued, der: bytes };
}

const leaf = (
  id: string,
  expected: GeneratedChain['expected'],
  change: Parameters<typeof server>[2],
  rest = {},
) => chain(`form: ${id}`, expected, below(root, [{}], change), rest);
