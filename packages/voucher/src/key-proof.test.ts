import { DerReader, tags } from '@mecai/pki';
import { constants, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { signKeyProof, verifyKeyProof } from './key-proof.ts';
import { testCertificate } from './testing.ts';
import { decodeVoucherRequest } from './vrp-decoder.ts';
import { encodeTbsVoucherRequest, encodeVoucherRequest } from './vrp-encoder.ts';

const pair = (type: 'rsa' | 'ed25519' | 'ed448' | 'P-256' | 'P-384' | 'P-521' | 'secp256k1') => {
  if (type === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (type === 'ed25519') return generateKeyPairSync('ed25519');
  if (type === 'ed448') return generateKeyPairSync('ed448');
  return generateKeyPairSync('ec', { namedCurve: type });
};

const issuer = testCertificate({ subject: 'CA', ca: true });
const leafOf = (key: { publicKey: KeyObject; privateKey: KeyObject }) =>
  testCertificate({ subject: 'leaf', issuer, key }).der;

const tbsOf = (leaf: Uint8Array, nonce = new Uint8Array(16)) =>
  encodeTbsVoucherRequest({
    ipv4: Uint8Array.of(192, 0, 2, 1),
    port: 443,
    serverName: 'www.example.org',
    chains: [[leaf]],
    nonce,
  });

describe.each(['P-256', 'P-384', 'P-521', 'rsa', 'ed25519'] as const)('a proof by %s', (type) => {
  const key = pair(type);
  const leaf = leafOf(key);
  const tbs = tbsOf(leaf);
  const proof = signKeyProof(tbs, 0, key.privateKey);

  test('holds for the leaf and the request it was made for, only', () => {
    expect(verifyKeyProof(tbs, proof, leaf)).toBe(true);
    expect(verifyKeyProof(tbsOf(leaf, new Uint8Array(16).fill(1)), proof, leaf)).toBe(false);
    expect(verifyKeyProof(tbs, proof, leafOf(pair(type)))).toBe(false);
    expect(verifyKeyProof(tbs, { ...proof, signature: proof.signature.slice(1) }, leaf)).toBe(false);
    expect(verifyKeyProof(tbs, { ...proof, signature: new Uint8Array(0) }, leaf)).toBe(false);
  });

  test('survives the way to the VA', () => {
    const request = {
      ipv4: Uint8Array.of(192, 0, 2, 1),
      port: 443,
      serverName: 'a.example',
      chains: [[leaf]],
    };
    const made = signKeyProof(encodeTbsVoucherRequest(request), 0, key.privateKey);
    const received = decodeVoucherRequest(encodeVoucherRequest({ ...request, proofs: [made] }));
    expect(verifyKeyProof(received.tbs, received.proofs![0]!, received.chains[0]![0]!)).toBe(true);
  });

  test('covers the published octets, with the published hash', () => {
    const covered = Buffer.concat([Buffer.from('MECAI-VRP-key-proof-v1'), Buffer.of(0), tbs]);
    const digest = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512', rsa: 'sha256', ed25519: null }[
      type
    ];
    const options = type === 'rsa' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : {};
    expect(
      verify(digest, covered, { key: createPublicKey(key.privateKey), ...options }, proof.signature),
    ).toBe(true);
    if (type.startsWith('P-')) {
      const value = DerReader.whole(proof.signature);
      value.content(tags.integer);
      value.content(tags.integer);
      value.end();
    }
    // Without the separator it would be good for other protocols as well.
    const bare = sign(digest, tbs, { key: key.privateKey, ...options });
    expect(verifyKeyProof(tbs, { chain: 0, signature: bare }, leaf)).toBe(false);
  });
});

test('PKCS #1 v1.5 and another salt length are not taken from RSA keys', () => {
  const key = pair('rsa');
  const leaf = leafOf(key);
  const tbs = tbsOf(leaf);
  const covered = Buffer.concat([Buffer.from('MECAI-VRP-key-proof-v1\0'), tbs]);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  for (const options of [{}, { padding, saltLength: 20 }, { padding, saltLength: 0 }]) {
    const signature = sign('sha256', covered, { key: key.privateKey, ...options });
    expect(verifyKeyProof(tbs, { chain: 0, signature }, leaf)).toBe(false);
  }
});

test('an RSA signature keeps its leading zeros', () => {
  const key = pair('rsa');
  const leaf = leafOf(key);
  const tbs = tbsOf(leaf);
  // One in 256 begins with a zero; the salt makes each another.
  let proof = signKeyProof(tbs, 0, key.privateKey);
  while (proof.signature[0] !== 0) proof = signKeyProof(tbs, 0, key.privateKey);
  expect(verifyKeyProof(tbs, proof, leaf)).toBe(true);
  expect(verifyKeyProof(tbs, { ...proof, signature: proof.signature.subarray(1) }, leaf)).toBe(false);
});

test.each(['ed448', 'secp256k1'] as const)('%s keys can prove nothing', (type) => {
  const key = pair(type);
  const leaf = leafOf(key);
  const tbs = tbsOf(leaf);
  expect(() => signKeyProof(tbs, 0, key.privateKey)).toThrow(
    expect.objectContaining({ code: 'not-encodable' }),
  );
  expect(verifyKeyProof(tbs, { chain: 0, signature: new Uint8Array(64) }, leaf)).toBe(false);
});

test('a leaf that is no certificate proves nothing', () => {
  const proof = { chain: 0, signature: new Uint8Array(64) };
  expect(verifyKeyProof(new Uint8Array(10), proof, new Uint8Array(10))).toBe(false);
});
