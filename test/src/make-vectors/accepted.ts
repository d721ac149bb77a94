/** Vouchers that are accepted. */
import { testOcsp } from '@mecai/voucher/testing';
import {
  after,
  chain,
  direct,
  leaf,
  producedAt,
  sha256,
  va,
  va384,
  vaStatus,
  webCa,
  webRoot,
} from './world.ts';
import { about, good, ipv6, ipv6Only, issue, seenOver, unnumbered, type Vector } from './base.ts';

export const accepted: readonly Vector[] = [
  ['good', good],
  ['good-p384', issue({}, va384)],
  [
    'good-extension-not-critical',
    issue({ extensions: [{ oid: '2.5.4.3', critical: false, value: Buffer.of(5, 0) }] }),
  ],
  [
    'good-dissenting-perspective',
    issue({
      perspectives: about().perspectives.map((one, i) => (i === 0 ? { ...one, ipv4: 'mismatch' } : one)),
    }),
  ],
  ['good-one-perspective', issue({ perspectives: about().perspectives.slice(0, 1) })],
  [
    'good-64-perspectives',
    issue({
      perspectives: Array.from({ length: 64 }, (_one, i) => ({ ...about().perspectives[0]!, asn: i + 1 })),
    }),
  ],
  [
    'good-32-trust-contexts',
    issue({ trustContexts: ['MOZ', ...Array.from({ length: 31 }, (_one, i) => `C-${i + 10}`)] }),
  ],
  ['good-status-absent', issue({ status: [] })],
  ['good-crl-without-number', issue({ status: [{ certificate: 0, crl: unnumbered }] })],
  [
    'good-status-ocsp',
    issue({
      status: [
        {
          certificate: 0,
          ocsp: testOcsp({ about: leaf, issuer: webCa, thisUpdate: after(-1), nextUpdate: after(24) }),
        },
      ],
    }),
  ],
].map(([name, voucher]) => ({ name, voucher, expected: [] }) as Vector);

export const acceptedOtherwise: readonly Vector[] = [
  {
    name: 'good-ipv6',
    voucher: va.issue(ipv6Only, undefined, vaStatus(va)),
    address: '2001:db8::1',
    expected: [],
  },
  { name: 'good-two-addresses', voucher: issue({ ipv6, perspectives: seenOver('both') }), expected: [] },
  {
    name: 'good-leaf-alone',
    voucher: issue({ intermediates: [], status: [] }),
    chain: [leaf.der],
    expected: [],
  },
  { name: 'good-at-its-last-second', voucher: issue({ notAfter: after(2) }), time: after(2), expected: [] },
  { name: 'good-as-old-as-may-be', voucher: issue({ notAfter: after(48) }), time: after(24), expected: [] },
  { name: 'good-clock-ahead', voucher: good, time: new Date(producedAt.getTime() - 300_000), expected: [] },
  { name: 'good-va-status-not-asked-for', voucher: issue({}, va, []), vaStatus: 'if-known', expected: [] },
  {
    name: 'good-quorum-as-wanted',
    voucher: good,
    quorum: { matches: 6, regions: 5, networks: 6 },
    expected: [],
  },
  {
    name: 'good-perspectives-as-wanted',
    voucher: good,
    perspectives: [
      { notIn: ['US'], atLeast: 5 },
      { in: ['CN'], atMost: 0 },
    ],
    expected: [],
  },
  {
    name: 'good-chain-longer',
    voucher: issue({ intermediates: [sha256(webCa.der), sha256(webRoot.der)] }),
    chain: [...chain, webRoot.der],
    expected: [],
  },
  {
    name: 'good-va-below-its-root',
    voucher: direct.issue(about(), undefined, []),
    vaStatus: 'if-known',
    expected: [],
  },
];
