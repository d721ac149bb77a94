import { createHash } from 'node:crypto';
import { type DistrustEntry, parseCertificate } from '@mecai/pki';
import { testCertificate, testKey } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { webIntermediate, webLeaf, webRoot } from '../testing/chains.ts';
import { earlyRefusal } from './early-refusal.ts';

const leaf = webLeaf();
const chain = [leaf.der, webIntermediate.der];
const now = new Date('2026-11-22T12:00:00Z');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const spki = (der: Uint8Array) => sha256(parseCertificate(der).spki);
const entry = (subject: DistrustEntry['subject'], more: Partial<DistrustEntry> = {}): DistrustEntry => ({
  id: '0123456789ab',
  subject,
  reason: 'key on sale',
  ...more,
});
const ofIssuer = entry({ kind: 'spki', sha256: spki(webIntermediate.der) });
const stray = testCertificate({ subject: 'Web Intermediate', issuer: webRoot, key: testKey() });

it.each([
  ['the leaf', entry({ kind: 'certificate', sha256: sha256(leaf.der) }), 'CN=www.example.org'],
  ['its key', entry({ kind: 'spki', sha256: spki(leaf.der) }), 'CN=www.example.org'],
  [
    'the name of its issuer',
    entry({ kind: 'issuer', name: parseCertificate(leaf.der).issuer }),
    'CN=www.example.org',
  ],
  ['the key of its issuer', ofIssuer, 'CN=Web Intermediate'],
])('%s: refused, with the reason', (_, one, whose) => {
  expect(earlyRefusal([one], chain, now)).toBe(`${whose}: distrusted by entry 0123456789ab: key on sale`);
});

it.each<[string, DistrustEntry, (readonly Uint8Array[])?]>([
  ['in one trust context only', { ...ofIssuer, tci: 'MOZ' }],
  ['in force later', { ...ofIssuer, from: new Date(now.getTime() + 1) }],
  ['for what is issued later', { ...ofIssuer, issuedAfter: now }],
  ['of another key', entry({ kind: 'spki', sha256: spki(stray.der) })],
  [
    'of a stray with the name of the issuer',
    entry({ kind: 'spki', sha256: spki(stray.der) }),
    [...chain, stray.der],
  ],
  [
    'of the certificate of the issuer, which may have another',
    entry({ kind: 'certificate', sha256: sha256(webIntermediate.der) }),
  ],
  [
    'of the key of the root, around which there may be a way',
    entry({ kind: 'spki', sha256: spki(webRoot.der) }),
    [...chain, webRoot.der],
  ],
  ['of a certificate that does not parse', ofIssuer, [leaf.der, Uint8Array.of(0x30, 0)]],
])('an entry %s: left to the signer', (_, one, der = chain) => {
  expect(earlyRefusal([one], der, now)).toBeUndefined();
});
