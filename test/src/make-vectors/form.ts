/** What the grammar does not allow, and signatures that do not hold. */
import { encodeVoucher } from '@mecai/voucher';
import { primitive, readTree, testVa, writeTree } from '@mecai/voucher/testing';
import { der } from '@mecai/pki';
import {
  edited,
  inContent,
  inSignedData,
  inSignerInfo,
  resigned,
  signedData,
  withContent,
} from './cms-edit.ts';
import { unlisted, va } from './world.ts';
import { about, good, issue, type Vector } from './base.ts';

const [version, serial, ipv4, port, leafField] = [0, 1, 2, 3, 4];
const [status, produced, notAfter, contexts, quorum, , perspectives] = [6, 7, 8, 9, 10, 11, 12];
const inGood = (path: readonly (number | undefined)[], edit: Parameters<typeof inContent>[3]) =>
  inContent(good, va, path as number[], edit);
const asText = (tag: number, text: string) => primitive(tag, ...Buffer.from(text));
const withExtension = issue({ extensions: [{ oid: '2.5.4.3', critical: true, value: Buffer.of(5, 0) }] });
const reversed = ({ tag, children }: ReturnType<typeof readTree>) => [
  { tag, children: children!.toReversed() },
];
const longLength = Buffer.concat([good.subarray(0, 1), Uint8Array.of(0x83, 0), good.subarray(2)]);
const indefinite = Buffer.concat([Uint8Array.of(0x30, 0x80), good.subarray(4), Uint8Array.of(0, 0)]);

/** The grammar: under good signatures where they cover what is wrong. */
export const malformed: readonly Vector[] = [
  ['empty', new Uint8Array(0)],
  ['trailing-octet', Buffer.concat([good, Uint8Array.of(0)])],
  ['cut-off', good.subarray(0, -1)],
  ['length-not-minimal', longLength],
  ['length-indefinite', indefinite],
  [
    'not-signed-data',
    edited(good, [0], ({ tag }) => [{ tag, content: der.oid('1.2.840.113549.1.7.1').subarray(2) }]),
  ],
  ['signed-data-version-1', inSignedData(good, [0], () => [primitive(2, 1)])],
  ['two-digest-algorithms', inSignedData(good, [1, 0], (one) => [one, one])],
  [
    'another-content-type',
    inSignedData(good, [2, 0], ({ tag }) => [{ tag, content: der.oid('1.2.840.113549.1.7.1').subarray(2) }]),
  ],
  ['content-detached', inSignedData(good, [2, 1], () => [])],
  ['certificates-absent', inSignedData(good, [3], () => [])],
  ['certificates-not-ascending', inSignedData(good, [3], reversed)],
  [
    'certificate-of-the-signer-absent',
    inSignedData(good, [3], ({ tag, children }) => [
      { tag, children: children!.filter((one) => !Buffer.from(writeTree(one)).equals(va.certificate.der)) },
    ]),
  ],
  [
    'two-signers',
    inSignedData(good, [signedData(readTree(good)).children!.length - 1, 0], (one) => [one, one]),
  ],
  ['signer-version-3', inSignerInfo(good, [0], () => [primitive(2, 3)])],
  ['signed-attributes-absent', inSignerInfo(good, [3], () => [])],
  ['signed-attributes-not-ascending', resigned(good, va, (one) => [one], 'turned')],
  [
    'signing-time-absent',
    resigned(good, va, (one) => (one.children![1]!.children![0]!.tag === 0x17 ? [] : [one])),
  ],
  [
    'unknown-signed-attribute',
    resigned(good, va, (one) =>
      one.children![1]!.children![0]!.tag === 0x17
        ? [one, readTree(der.sequence(der.oid('1.2.3'), der.setOf(der.nullValue())))]
        : [one],
    ),
  ],
  ['unsigned-attributes', inSignerInfo(good, [5], (one) => [one, { tag: 0xa1, children: [] }])],
  [
    'content-trailing-octet',
    withContent(good, va, Buffer.concat([encodeVoucher(about()), Uint8Array.of(0)])),
  ],
  ['serial-of-15-octets', inGood([serial], ({ tag, content }) => [{ tag, content: content!.subarray(1) }])],
  ['no-address', inGood([ipv4], () => [])],
  ['address-of-5-octets', inGood([ipv4], () => [primitive(0x80, 192, 0, 2, 1, 1)])],
  ['port-0', inGood([port], () => [primitive(2, 0)])],
  ['port-with-leading-zero', inGood([port], () => [primitive(2, 0, 1)])],
  [
    'leaf-digest-of-20-octets',
    inGood([leafField], ({ tag, content }) => [{ tag, content: content!.subarray(12) }]),
  ],
  ['status-descending', inGood([status], reversed)],
  ['status-of-no-certificate', inGood([status, 1, 0], () => [primitive(2, 2)])],
  ['time-as-utctime', inGood([produced], () => [asText(0x17, '261122120000Z')])],
  ['time-with-fraction', inGood([produced], () => [asText(0x18, '20261122120000.5Z')])],
  ['ends-before-it-begins', inGood([notAfter], () => [asText(0x18, '20261122115959Z')])],
  ['trust-context-in-small-letters', inGood([contexts, 0], () => [asText(0x13, 'chrome')])],
  ['trust-contexts-not-ascending', inGood([contexts], reversed)],
  ['quorum-of-more-than-asked', inGood([quorum, 1], () => [primitive(2, 7)])],
  ['boolean-of-1', inGood([quorum, 5], () => [primitive(1, 1)])],
  ['perspectives-not-ascending', inGood([perspectives], reversed)],
  ['no-perspectives', inGood([perspectives], ({ tag }) => [{ tag, children: [] }])],
  ['verdict-unknown', inGood([perspectives, 0, 3], () => [primitive(0x80, 3)])],
  ['verdict-absent', inGood([perspectives, 0, 3], () => [])],
  ['extension-critical-false', inContent(withExtension, va, [13, 0, 1], () => [primitive(1, 0)])],
].map(
  ([name, voucher]) => ({ name: `malformed-${String(name)}`, voucher, expected: ['malformed'] }) as Vector,
);

const otherContent = encodeVoucher(about({ port: 8443 }));
const stranger = testVa();
export const signature: readonly Vector[] = [
  {
    name: 'version-2',
    voucher: inGood([version], () => [primitive(2, 2)]),
    expected: ['unsupported-version'],
  },
  { name: 'critical-extension', voucher: withExtension, expected: ['unknown-critical-extension'] },
  {
    name: 'content-of-another-voucher',
    voucher: inSignedData(good, [2, 1, 0], ({ tag }) => [{ tag, content: otherContent }]),
    expected: ['bad-digest'],
  },
  {
    name: 'signature-altered',
    voucher: inSignerInfo(good, [5], ({ tag, content }) => [
      { tag, content: content!.map((octet, i) => (i === 20 ? octet ^ 1 : octet)) },
    ]),
    expected: ['bad-signature'],
  },
  {
    name: 'signature-that-is-none',
    voucher: inSignerInfo(good, [5], () => [primitive(4, 0x30, 0)]),
    expected: ['bad-signature'],
  },
  {
    name: 'signature-of-another-key',
    voucher: resigned(good, { ...va, certificate: stranger.certificate }, (one) => [one]),
    expected: ['bad-signature'],
  },
  {
    name: 'intermediate-absent',
    voucher: inSignedData(good, [3], ({ tag, children }) => [
      { tag, children: children!.filter((one) => Buffer.from(writeTree(one)).equals(va.certificate.der)) },
    ]),
    expected: ['untrusted-va'],
  },
  { name: 'va-not-listed', voucher: issue({}, unlisted), expected: ['untrusted-va'] },
];
