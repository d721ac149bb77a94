import { constructed, der } from '@mecai/pki';
import * as asn1js from 'asn1js';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arbitraries from './arbitraries.ts';
import { changed, type DerNode, mutations, primitive, readTree, writeTree } from './der-tree.ts';
import { VoucherError, type VoucherErrorCode } from './error.ts';
import { testVoucher } from './testing.ts';
import { decodeVoucher } from './voucher-decoder.ts';
import { encodeVoucher } from './voucher-encoder.ts';
import type { CrlReference, Perspective, Voucher } from './voucher.ts';

const encoded = encodeVoucher(testVoucher);

/** The voucher with its lists in the order that the encoder gives them. */
const canonical = (voucher: Voucher): Voucher => ({
  ...voucher,
  status: voucher.status.toSorted((a, b) => a.certificate - b.certificate),
  trustContexts: voucher.trustContexts.toSorted((a, b) => (a < b ? -1 : 1)),
  perspectives: decodeVoucher(encodeVoucher(voucher)).perspectives,
});

const codeOf = (bytes: Uint8Array): VoucherErrorCode | undefined => {
  try {
    decodeVoucher(bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof VoucherError)) throw error;
    return error.code;
  }
};

describe('round trip', () => {
  test('every voucher within the bounds comes back', () => {
    fc.assert(
      fc.property(arbitraries.voucher, (voucher) => {
        const bytes = encodeVoucher(voucher);
        const decoded = decodeVoucher(bytes);
        expect(decoded).toEqual(canonical(voucher));
        expect(decoded.perspectives).toHaveLength(voucher.perspectives.length);
        expect(decoded.perspectives).toEqual(expect.arrayContaining([...voucher.perspectives]));
        expect(encodeVoucher(decoded)).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });

  test('the order of status, trust contexts and perspectives makes no difference', () => {
    const shuffled = {
      ...testVoucher,
      status: testVoucher.status.toReversed(),
      trustContexts: testVoucher.trustContexts.toReversed(),
      perspectives: testVoucher.perspectives.toReversed(),
    };
    expect(encodeVoucher(shuffled)).toEqual(encoded);
  });

  test('no extensions is an empty list of them', () => {
    expect(encodeVoucher({ ...testVoucher, extensions: [] })).toEqual(encoded);
  });

  test('a fraction of a second is cut off', () => {
    const later = { ...testVoucher, producedAt: new Date('2026-11-22T12:00:00.999Z') };
    expect(encodeVoucher(later)).toEqual(encoded);
  });
});

describe('asn1js reads the same', () => {
  const { result, offset } = asn1js.fromBER(encoded);
  const fields = partsOf(result);

  test('field by field', () => {
    expect(offset).toBe(encoded.length);
    expect(fields).toHaveLength(14);
    expect(numberOf(fields[0])).toBe(1);
    expect(hexOf(fields[1])).toBe('00112233445566778899aabbccddeeff');
    expect(fields[2]!.idBlock).toMatchObject({ tagClass: 3, tagNumber: 0, isConstructed: false });
    expect(hexOf(fields[2])).toBe('c0000201');
    expect(fields[3]!.idBlock).toMatchObject({ tagClass: 3, tagNumber: 1, isConstructed: false });
    expect(numberOf(fields[4])).toBe(443);
    expect(hexOf(fields[5])).toBe(Buffer.from(testVoucher.leaf).toString('hex'));
    expect(partsOf(fields[6]).map(hexOf)).toEqual(
      testVoucher.intermediates.map((one) => Buffer.from(one).toString('hex')),
    );
    expect(timeOf(fields[8])).toEqual(testVoucher.producedAt);
    expect(timeOf(fields[9])).toEqual(testVoucher.notAfter);
    expect(partsOf(fields[10]).map(textOfBlock)).toEqual(['CHROME', 'MOZ']);
    expect(partsOf(fields[11]).slice(0, 5).map(numberOf)).toEqual([6, 4, 2, 2, 500]);
    expect(hexOf(partsOf(fields[11])[5])).toBe('ff');
    expect(numberOf(fields[12])).toBe(12);
  });

  test('enumerations have the published numbers', () => {
    const rows = partsOf(fields[13]).map((perspective) => {
      const [place, rir, , ipv4, ipv6] = partsOf(perspective);
      expect(rir!.idBlock.tagNumber).toBe(10);
      expect([ipv4!.idBlock.tagNumber, ipv6!.idBlock.tagNumber]).toEqual([0, 1]);
      return [textOfBlock(place), hexOf(rir), hexOf(ipv4), hexOf(ipv6)];
    });
    expect(rows).toEqual([
      ['BR', '03', '00', '02'],
      ['DE', '04', '00', '00'],
      ['JP', '01', '00', '00'],
      ['SG', '01', '01', '00'],
      ['US', '02', '00', '00'],
      ['ZA', '00', '00', '00'],
    ]);
  });

  type Block = asn1js.AsnType | undefined;

  function partsOf(block: Block): asn1js.AsnType[] {
    if (!(block instanceof asn1js.Sequence)) throw new Error('no SEQUENCE');
    return block.valueBlock.value;
  }

  function numberOf(block: Block): number {
    if (!(block instanceof asn1js.Integer)) throw new Error('no INTEGER');
    return block.valueBlock.valueDec;
  }

  function timeOf(block: Block): Date {
    if (!(block instanceof asn1js.GeneralizedTime)) throw new Error('no GeneralizedTime');
    return block.toDate();
  }

  function textOfBlock(block: Block): string {
    if (!(block instanceof asn1js.PrintableString)) throw new Error('no PrintableString');
    return block.valueBlock.value;
  }
});

const hexOf = (block: asn1js.AsnType | undefined): string =>
  Buffer.from(
    block!.valueBeforeDecodeView.subarray(block!.blockLength - block!.valueBlock.blockLength),
  ).toString('hex');

describe('the decoder refuses', () => {
  const tree = readTree(encoded);
  const at = (path: readonly number[], change: (node: DerNode) => readonly DerNode[]) =>
    writeTree(changed(tree, path, change));
  const textOf = (text: string) => becomes(...Buffer.from(text, 'ascii'));
  const ipv4Only = changed(tree, [3], () => []);

  const cases: readonly [string, Uint8Array][] = [
    ['trailing octets', Uint8Array.of(...encoded, 0)],
    ['truncation', encoded.subarray(0, -1)],
    ['an indefinite length', Uint8Array.of(0x30, 0x80, ...encoded.subarray(4), 0, 0)],
    ['a length in more octets than needed', Uint8Array.of(0x30, 0x83, 0, ...encoded.subarray(2))],
    ['a SET in place of the SEQUENCE', Uint8Array.of(0x31, ...encoded.subarray(1))],
    ['a serial of 15 octets', at([1], (node) => [primitive(4, ...node.content!.subarray(1))])],
    ['an IPv4 address of 5 octets', at([2], becomes(192, 0, 2, 1, 1))],
    ['an IPv6 address of 4 octets', at([3], becomes(192, 0, 2, 1))],
    ['addresses in the wrong order', writeTree({ ...tree, children: swapped(tree.children!, 2, 3) })],
    ['no address', writeTree(changed(ipv4Only, [2], () => []))],
    ['an ipv6 verdict without an ipv6 address', writeTree(ipv4Only)],
    ['a missing ipv6 verdict', at([13, 0, 4], () => [])],
    ['port 0', at([4], becomes(0))],
    ['port 65536', at([4], becomes(1, 0, 0))],
    ['a negative port', at([4], becomes(0x80))],
    ['a leaf digest of 31 octets', at([5], (node) => [primitive(4, ...node.content!.subarray(1))])],
    ['status of a certificate that is not there', at([7, 1, 0], becomes(3))],
    ['two status entries for one certificate', at([7, 1, 0], becomes(0))],
    ['status out of order', at([7], (node) => [{ ...node, children: node.children!.toReversed() }])],
    ['an empty OCSP response', at([7, 0, 1], becomes())],
    ['an OCSP response of 16385 octets', at([7, 0, 1], becomes(...Array<number>(16_385).fill(0)))],
    ['a CRL number of 21 octets', at([7, 1, 1, 0], becomes(1, ...Array<number>(20).fill(0)))],
    ['a negative CRL number', at([7, 1, 1, 0], becomes(0xff))],
    ['a CRL whose nextUpdate is its thisUpdate', at([7, 1, 1, 2], textOf('20261121000000Z'))],
    ['times with a fraction', at([8], textOf('20261122120000.5Z'))],
    ['times with an offset', at([8], textOf('20261122120000+0000'))],
    ['31 November', at([8], textOf('20261131120000Z'))],
    ['notAfter at producedAt', at([9], textOf('20261122120000Z'))],
    ['no trust context', at([10], (node) => [{ ...node, children: [] }])],
    ['a lower-case trust context', at([10, 0], textOf('moz'))],
    ['an empty trust context', at([10, 0], becomes())],
    ['a trust context of 33 letters', at([10, 1], textOf('X'.repeat(33)))],
    ['trust contexts out of order', at([10, 0], textOf('ZZZ'))],
    ['a trust context twice', at([10, 0], textOf('MOZ'))],
    ['33 trust contexts', at([10], (node) => [{ ...node, children: manyContexts(33) }])],
    ['a quorum with more matches than asked', at([11, 1], becomes(7))],
    ['a quorum with more regions than matches', at([11, 2], becomes(5))],
    ['a quorum with more networks than matches', at([11, 3], becomes(5))],
    ['a quorum of nobody', at([11, 1], becomes(0))],
    ['a distance beyond the antipodes', at([11, 4], becomes(0x4e, 0x49))],
    ['a BOOLEAN of 1', at([11, 5], becomes(1))],
    ['no perspective', at([13], (node) => [{ ...node, children: [] }])],
    ['65 perspectives', at([13], (node) => [{ ...node, children: Array(65).fill(node.children![0]) }])],
    ['perspectives out of order', at([13], (node) => [{ ...node, children: swapped(node.children!, 0, 1) }])],
    ['a lower-case country', at([13, 0, 0], textOf('br'))],
    ['a country of three letters', at([13, 0, 0], textOf('BRA'))],
    ['a sixth RIR', at([13, 0, 1], becomes(5))],
    ['AS 0', at([13, 0, 2], becomes(0))],
    ['AS 4294967296', at([13, 5, 2], becomes(1, 0, 0, 0, 0))],
    ['a fourth verdict', at([13, 0, 3], becomes(3))],
    ['an INTEGER with a superfluous zero', at([12], becomes(0, 12))],
    ['a directory version of 2^32', at([12], becomes(1, 0, 0, 0, 0))],
    ['an empty list of extensions', withExtensions()],
    ['an extension twice', withExtensions(extension(false), extension(false))],
    ['critical FALSE written out', withExtensions(extension(undefined))],
    ['an extension of 4097 octets', withExtensions(extension(false, '1.3.6', 4097))],
    ['17 extensions', withExtensions(...Array.from({ length: 17 }, (_, i) => extension(false, `1.3.${i}`)))],
    ['10 intermediates', at([6], (node) => [{ ...node, children: Array(10).fill(node.children![0]) }])],
  ];

  test.each(cases)('%s', (_, bytes) => {
    expect(codeOf(bytes)).toBe('malformed');
  });

  test('another version', () => {
    expect(codeOf(at([0], becomes(2)))).toBe('unsupported-version');
    expect(codeOf(at([0], becomes(0)))).toBe('unsupported-version');
  });

  test('an unknown critical extension, but not one that is not critical', () => {
    expect(codeOf(withExtensions(extension(true)))).toBe('unknown-critical-extension');
    expect(decodeVoucher(withExtensions(extension(false))).extensions).toEqual([
      { oid: '1.3.6', critical: false, value: Uint8Array.of(1) },
    ]);
  });

  test('more octets than a TLS extension holds, before reading them', () => {
    expect(codeOf(new Uint8Array(70_000))).toBe('malformed');
  });

  function withExtensions(...list: readonly Uint8Array[]): Uint8Array {
    const { children } = tree;
    return der.sequence(...children!.map(writeTree), der.tlv(constructed(2), ...list));
  }
});

function becomes(...content: readonly number[]): (node: DerNode) => DerNode[] {
  return (node) => [primitive(node.tag, ...content)];
}

function extension(critical: boolean | undefined, oid = '1.3.6', octets = 1): Uint8Array {
  const flag = critical === undefined ? [der.boolean(false)] : critical ? [der.boolean(true)] : [];
  return der.sequence(der.oid(oid), ...flag, der.octetString(new Uint8Array(octets).fill(1)));
}

const swapped = (nodes: readonly DerNode[], a: number, b: number): DerNode[] =>
  nodes.map((node, i) => (i === a ? nodes[b]! : i === b ? nodes[a]! : node));

const manyContexts = (count: number): DerNode[] =>
  Array.from({ length: count }, (_, i) => primitive(0x13, 65 + Math.floor(i / 10), 48 + (i % 10)));

function isCanonicalOrRefused(bytes: Uint8Array): boolean {
  let decoded: Voucher;
  try {
    decoded = decodeVoucher(bytes);
  } catch (error) {
    if (!(error instanceof VoucherError)) throw error;
    return false;
  }
  if (Buffer.compare(encodeVoucher(decoded), bytes) !== 0)
    throw new Error(Buffer.from(bytes).toString('hex'));
  return true;
}

describe('whatever the decoder takes is what the encoder would write', () => {
  test('after every structural change', () => {
    let taken = 0;
    let total = 0;
    for (const { bytes } of mutations(encoded)) {
      total++;
      taken += Number(isCanonicalOrRefused(bytes));
    }
    expect(total).toBeGreaterThan(500);
    expect(taken).toBeLessThan(total / 10);
  });

  test('after every change of one bit', () => {
    for (let i = 0; i < encoded.length * 8; i++) {
      const bytes = encoded.slice();
      bytes[i >> 3]! ^= 1 << (i & 7);
      isCanonicalOrRefused(bytes);
    }
  });

  test('on noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void isCanonicalOrRefused(bytes)),
      { numRuns: 2000 },
    );
  });
});

describe('the encoder refuses', () => {
  const cases: readonly [string, Partial<Voucher>][] = [
    ['a short serial', { serial: new Uint8Array(8) }],
    ['an IPv4 address of 16 octets', { ipv4: new Uint8Array(16) }],
    ['port 0', { port: 0 }],
    ['a port that is no integer', { port: 443.5 }],
    ['a leaf digest of SHA-1', { leaf: new Uint8Array(20) }],
    ['ten intermediates', { intermediates: Array.from({ length: 10 }, () => new Uint8Array(32)) }],
    ['status twice', { status: [testVoucher.status[0]!, testVoucher.status[0]!] }],
    ['an OCSP response of no octets', { status: [{ certificate: 0, ocsp: new Uint8Array(0) }] }],
    ['an OCSP response of 16385 octets', { status: [{ certificate: 0, ocsp: new Uint8Array(16_385) }] }],
    ['a CRL number of 21 octets', withCrl({ number: 2n ** 159n })],
    ['a CRL whose nextUpdate is its thisUpdate', withCrl({ nextUpdate: new Date(0) })],
    ['a CRL digest of 20 octets', withCrl({ digest: new Uint8Array(20) })],
    ['AS 0', withPerspective({ asn: 0 })],
    ['AS 4294967296', withPerspective({ asn: 2 ** 32 })],
    ['a lower-case country', withPerspective({ country: 'de' })],
    ['65 perspectives', { perspectives: Array.from({ length: 65 }, () => testVoucher.perspectives[0]!) }],
    ['33 trust contexts', { trustContexts: Array.from({ length: 33 }, (_, i) => `C${i}`) }],
    ['a quorum of 65', { quorum: { ...testVoucher.quorum, asked: 65 } }],
    ['more regions than matches', { quorum: { ...testVoucher.quorum, regions: 5 } }],
    ['more networks than matches', { quorum: { ...testVoucher.quorum, networks: 5 } }],
    ['a distance beyond the antipodes', { quorum: { ...testVoucher.quorum, kilometres: 20_041 } }],
    [
      'an extension of 4097 octets',
      { extensions: [{ oid: '1.3.6', critical: false, value: new Uint8Array(4097) }] },
    ],
    [
      'an extension with an OID that no reader takes',
      { extensions: [{ oid: `1.3.${2n ** 450n}`, critical: false, value: new Uint8Array(1) }] },
    ],
    ['status of no certificate', { status: [{ certificate: 3, ocsp: new Uint8Array(1) }] }],
    ['notAfter at producedAt', { notAfter: testVoucher.producedAt }],
    ['an invalid Date', { notAfter: new Date(Number.NaN) }],
    ['no trust context', { trustContexts: [] }],
    ['a trust context twice', { trustContexts: ['MOZ', 'MOZ'] }],
    ['a trust context with a space', { trustContexts: ['M OZ'] }],
    ['more matches than asked', { quorum: { ...testVoucher.quorum, matches: 7 } }],
    ['no perspective', { perspectives: [] }],
    ['a perspective without a verdict', { perspectives: [{ country: 'DE', rir: 'ripencc', asn: 1 }] }],
    ['a directory version below zero', { directoryVersion: -1 }],
    [
      'an extension twice',
      {
        extensions: [
          { oid: '1.3.6', critical: false, value: new Uint8Array(0) },
          { oid: '1.3.6', critical: false, value: new Uint8Array(1) },
        ],
      },
    ],
  ];

  test.each(cases)('%s', (_, fields) => {
    expect(() => encodeVoucher({ ...testVoucher, ...fields })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
  });

  test('words that are in no enumeration', () => {
    const [first] = testVoucher.perspectives;
    for (const fields of [{ rir: 'ripe' }, { ipv4: 'MATCH' }]) {
      const perspectives = [Object.assign({}, first, fields)];
      expect(() => encodeVoucher({ ...testVoucher, perspectives })).toThrow(
        expect.objectContaining({ code: 'not-encodable' }),
      );
    }
  });

  test('a voucher without an address', () => {
    const { ipv4: _4, ipv6: _6, ...rest } = testVoucher;
    const perspectives = [{ country: 'DE', rir: 'ripencc', asn: 1 } as const];
    expect(() => encodeVoucher({ ...rest, perspectives })).toThrow(VoucherError);
  });
});

function withCrl(fields: Partial<CrlReference>): Partial<Voucher> {
  const crl = { thisUpdate: new Date(0), nextUpdate: new Date(1000), digest: new Uint8Array(32), ...fields };
  return { status: [{ certificate: 0, crl }] };
}

function withPerspective(fields: Partial<Perspective>): Partial<Voucher> {
  return { perspectives: [{ ...testVoucher.perspectives[0]!, ...fields }] };
}
