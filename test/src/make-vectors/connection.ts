/** Vouchers that hold, and do not speak for the connection at hand. */
import { testCertificate } from '@mecai/voucher/testing';
import {
  after,
  ca,
  chain,
  distrusted,
  leaf,
  notChosen,
  otherLeaf,
  producedAt,
  sha256,
  va,
  vas,
  vaStatus,
  webCa,
  webRoot,
} from './world.ts';
import { about, good, issue, type Vector } from './base.ts';

export const vaRevocation: readonly Vector[] = [
  {
    name: 'va-certificate-revoked',
    voucher: issue({}, va, vaStatus(va, { status: 'revoked' })),
    expected: ['va-certificate-revoked'],
  },
  {
    name: 'va-certificate-revoked-where-not-asked-for',
    voucher: issue({}, va, vaStatus(va, { status: 'revoked' })),
    vaStatus: 'if-known',
    expected: ['va-certificate-revoked'],
  },
  {
    name: 'va-intermediate-revoked',
    voucher: issue({}, va, vaStatus(va, { revokedIntermediate: true })),
    expected: ['va-certificate-revoked'],
  },
  { name: 'va-status-absent', voucher: issue({}, va, []), expected: ['va-status-unknown'] },
  {
    name: 'va-status-of-its-intermediate-absent',
    voucher: issue({}, va, vaStatus(va).slice(0, 1)),
    expected: ['va-status-unknown'],
  },
  {
    name: 'va-status-out-of-date',
    voucher: issue({}, va, vaStatus(va, { at: after(-48) })),
    expected: ['va-status-unknown'],
  },
  {
    name: 'va-status-of-another-va',
    voucher: issue({}, va, vaStatus(vas[2])),
    expected: ['va-status-unknown'],
  },
];

export const time: readonly Vector[] = [
  { name: 'expired', voucher: good, time: new Date(after(24).getTime() + 1_000), expected: ['expired'] },
  {
    name: 'too-old',
    voucher: issue({ notAfter: after(48) }),
    time: new Date(after(24).getTime() + 1_000),
    expected: ['expired'],
  },
  { name: 'older-than-wanted', voucher: good, maxAgeSeconds: 3_600, time: after(2), expected: ['expired'] },
  {
    name: 'from-the-future',
    voucher: good,
    time: new Date(producedAt.getTime() - 301_000),
    expected: ['not-yet-valid'],
  },
];

const own = testCertificate({ subject: 'server', issuer: va.intermediate, dnsNames: ['www.example.org'] });
export const listedKey = testCertificate({ subject: 'Listed CA', issuer: webRoot, ...ca });
const underListed = testCertificate({ subject: 'server', issuer: listedKey, dnsNames: ['www.example.org'] });
const forChain = (certificateChain: readonly Uint8Array[]) =>
  issue({
    leaf: sha256(certificateChain[0]!),
    intermediates: certificateChain.slice(1).map(sha256),
    status: [],
  });
const unreadable = [Uint8Array.of(0x30, 0), webCa.der];
export const connection: readonly Vector[] = [
  { name: 'other-leaf', voucher: good, chain: [otherLeaf.der, webCa.der], expected: ['other-leaf'] },
  { name: 'other-intermediates', voucher: good, chain: [leaf.der], expected: ['other-intermediates'] },
  {
    name: 'other-intermediates-root-sent',
    voucher: good,
    chain: [...chain, webRoot.der],
    expected: ['other-intermediates'],
  },
  {
    name: 'other-intermediates-in-another-order',
    voucher: issue({ intermediates: [sha256(webRoot.der), sha256(webCa.der)] }),
    chain: [...chain, webRoot.der],
    expected: ['other-intermediates'],
  },
  {
    name: 'chain-that-cannot-be-read',
    voucher: forChain(unreadable),
    chain: unreadable,
    expected: ['bad-chain'],
  },
  { name: 'other-address', voucher: good, address: '192.0.2.2', expected: ['other-address'] },
  {
    name: 'other-address-of-the-other-family',
    voucher: good,
    address: '2001:db8::1',
    expected: ['other-address'],
  },
  { name: 'other-port', voucher: good, port: 8443, expected: ['other-port'] },
  { name: 'same-ca-by-signature', voucher: forChain([own.der]), chain: [own.der], expected: ['same-ca'] },
  {
    name: 'same-ca-by-key-in-the-chain',
    voucher: forChain([own.der, va.intermediate.der]),
    chain: [own.der, va.intermediate.der],
    expected: ['same-ca'],
  },
  {
    name: 'same-ca-by-key-in-the-list',
    voucher: forChain([underListed.der, listedKey.der]),
    chain: [underListed.der, listedKey.der],
    expected: ['same-ca'],
  },
  {
    name: 'trust-context-missing',
    voucher: good,
    trustContext: 'APPLE',
    expected: ['trust-context-missing'],
  },
  {
    name: 'trust-context-by-a-part-of-its-name',
    voucher: good,
    trustContext: 'MO',
    expected: ['trust-context-missing'],
  },
  { name: 'weak-quorum-matches', voucher: good, quorum: { matches: 7 }, expected: ['weak-quorum'] },
  {
    name: 'weak-quorum-regions',
    voucher: issue({ perspectives: about().perspectives.slice(2, 4) }),
    quorum: { regions: 2 },
    expected: ['weak-quorum'],
  },
  {
    name: 'weak-quorum-networks',
    voucher: issue({ perspectives: about().perspectives.map((one) => ({ ...one, asn: 7 })) }),
    quorum: { networks: 2 },
    expected: ['weak-quorum'],
  },
  {
    name: 'weak-quorum-dissent-does-not-count',
    voucher: issue({
      perspectives: about().perspectives.map((one, i) => (i === 0 ? { ...one, ipv4: 'mismatch' } : one)),
    }),
    quorum: { matches: 6 },
    expected: ['weak-quorum'],
  },
  {
    name: 'perspectives-too-few-outside',
    voucher: good,
    perspectives: [{ notIn: ['DE', 'US', 'JP'], atLeast: 4 }],
    expected: ['wrong-perspectives'],
  },
  {
    name: 'perspectives-where-none-may-be',
    voucher: good,
    perspectives: [{ in: ['DE'], atMost: 0 }],
    expected: ['wrong-perspectives'],
  },
  { name: 'va-not-chosen', voucher: issue({}, notChosen), expected: ['va-not-chosen'] },
  { name: 'va-distrusted', voucher: issue({}, distrusted), expected: ['va-distrusted'] },
  {
    name: 'everything-else-at-once',
    voucher: issue({}, notChosen, []),
    chain: [otherLeaf.der],
    address: '192.0.2.9',
    port: 1,
    trustContext: 'X',
    quorum: { matches: 9 },
    perspectives: [{ in: ['FR'], atLeast: 1 }],
    expected: [
      'va-not-chosen',
      'wrong-perspectives',
      'va-status-unknown',
      'other-leaf',
      'other-intermediates',
      'other-address',
      'other-port',
      'trust-context-missing',
      'weak-quorum',
    ],
  },
];
