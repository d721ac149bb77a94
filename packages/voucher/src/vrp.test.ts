import { constructed, der } from '@mecai/pki';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arbitraries from './arbitraries.ts';
import { changed, type DerNode, mutations, primitive, readTree, writeTree } from './der-tree.ts';
import { VoucherError } from './error.ts';
import {
  type ChainResult,
  isServerName,
  maxRequestOctets,
  maxResponseOctets,
  type VoucherRequest,
  type VoucherResponse,
} from './vrp.ts';
import { decodeVoucherRequest, decodeVoucherResponse } from './vrp-decoder.ts';
import { encodeTbsVoucherRequest, encodeVoucherRequest, encodeVoucherResponse } from './vrp-encoder.ts';

const certificate = (octet: number) => Uint8Array.of(0x30, 3, 0x04, 1, octet);

const request: VoucherRequest = {
  ipv4: Uint8Array.of(192, 0, 2, 1),
  ipv6: new Uint8Array(16).fill(0x20),
  port: 25,
  serverName: 'mail.example.org',
  startTls: 'smtp',
  chains: [[certificate(1), certificate(2)], [certificate(3)]],
  nonce: new Uint8Array(16).fill(7),
  extensions: [{ oid: '1.3.6', critical: false, value: Uint8Array.of(1) }],
  proofs: [
    { chain: 0, signature: Uint8Array.of(1) },
    { chain: 1, signature: Uint8Array.of(2) },
  ],
};

const response: VoucherResponse = {
  results: [
    {
      leaf: new Uint8Array(32).fill(1),
      status: 'issued',
      retryAfter: 43_200,
      detail: 'four of six agree',
      voucher: Uint8Array.of(0x30, 0),
      perspectives: [
        {
          country: 'DE',
          rir: 'ripencc',
          asn: 64_496,
          ipv4: { verdict: 'match' },
          ipv6: { verdict: 'pending' },
        },
        {
          country: 'US',
          rir: 'arin',
          asn: 64_498,
          ipv4: { verdict: 'inconclusive', code: 'timeout-connect' },
        },
      ],
    },
    { status: 'refused', reason: 'untrusted', perspectives: [] },
  ],
};

describe('round trip', () => {
  test('every request within the bounds comes back', () => {
    fc.assert(
      fc.property(arbitraries.request, (one) => {
        const bytes = encodeVoucherRequest(one);
        const { tbs, ...decoded } = decodeVoucherRequest(bytes);
        expect(decoded).toEqual(one);
        expect(encodeVoucherRequest(decoded)).toEqual(bytes);
        expect(tbs).toEqual(encodeTbsVoucherRequest(one));
      }),
      { numRuns: 300 },
    );
  });

  test('every response within the bounds comes back', () => {
    fc.assert(
      fc.property(arbitraries.response, (one) => {
        const bytes = encodeVoucherResponse(one);
        expect(decodeVoucherResponse(bytes)).toEqual(one);
      }),
      { numRuns: 300 },
    );
  });

  test('no extensions and no proofs are empty lists of them', () => {
    const { extensions: _extensions, proofs: _proofs, ...bare } = request;
    expect(encodeVoucherRequest({ ...bare, extensions: [], proofs: [] })).toEqual(encodeVoucherRequest(bare));
  });

  test('enumerations have the published numbers', () => {
    const { children } = readTree(encodeVoucherResponse(response));
    const [issued, refused] = children![1]!.children!;
    expect(issued!.children![1]).toEqual(primitive(0x0a, 0));
    expect(refused!.children!.slice(0, 2)).toEqual([primitive(0x0a, 4), primitive(0x81, 3)]);
    const [first] = issued!.children![5]!.children!;
    expect(first!.children![3]).toEqual({ tag: constructed(0), children: [primitive(0x0a, 0)] });
    expect(first!.children![4]).toEqual({ tag: constructed(1), children: [primitive(0x0a, 3)] });
  });
});

describe('the decoder of requests refuses', () => {
  const tree = readTree(encodeVoucherRequest(request));
  const at = (path: readonly number[], change: (node: DerNode) => readonly DerNode[]) =>
    writeTree(changed(tree, path, change));
  const children = (path: readonly number[], change: (list: readonly DerNode[]) => readonly DerNode[]) =>
    at(path, (node) => [{ tag: node.tag, children: change(node.children!) }]);
  const name = (text: string) => at([0, 4], () => [primitive(0x16, ...Buffer.from(text, 'latin1'))]);
  const noAddress = changed(
    changed(tree, [0, 2], () => []),
    [0, 1],
    () => [],
  );

  const cases: readonly [string, Uint8Array][] = [
    ['trailing octets', Uint8Array.of(...writeTree(tree), 0)],
    ['trailing octets in tbsRequest', children([0], (list) => [...list, primitive(5)])],
    ['trailing octets after the proofs', at([1], (node) => [node, primitive(5)])],
    ['no address', writeTree(noAddress)],
    ['an IPv4 address of 16 octets', at([0, 1], () => [primitive(0x80, ...new Uint8Array(16))])],
    ['port 0', at([0, 3], () => [primitive(2, 0)])],
    ['an upper-case server name', name('Mail.example.org')],
    ['an empty server name', name('')],
    ['an address for a server name', name('192.0.2.1')],
    ['a wildcard', name('*.example.org')],
    ['a final dot', name('mail.example.org.')],
    ['a server name with a zero octet', name('mail.example.org\0.example.com')],
    ['a server name that is not ASCII', name('m\u00e4il.example.org')],
    ['a server name of 254 octets', name(`${'a.'.repeat(126)}aa`)],
    ['a label of 64 octets', name(`${'a'.repeat(64)}.org`)],
    ['an unknown startTls protocol', at([0, 5], () => [primitive(0x82, ...Buffer.from('gopher'))])],
    ['startTls in upper case', at([0, 5], () => [primitive(0x82, ...Buffer.from('SMTP'))])],
    ['no chain', children([0, 6], () => [])],
    ['five chains', children([0, 6], (list) => Array.from({ length: 5 }, () => list[0]!))],
    ['an empty chain', children([0, 6, 1], () => [])],
    ['eleven certificates', children([0, 6, 1], (list) => Array.from({ length: 11 }, () => list[0]!))],
    ['a certificate that is an OCTET STRING', at([0, 6, 1, 0], () => [primitive(4, 0)])],
    ['a nonce of 15 octets', at([0, 7], () => [primitive(0x83, ...new Uint8Array(15))])],
    ['a nonce of 65 octets', at([0, 7], () => [primitive(0x83, ...new Uint8Array(65))])],
    ['an empty list of proofs', children([1], () => [])],
    ['a proof for a chain that is not there', at([1, 1, 0], () => [primitive(2, 2)])],
    ['two proofs for one chain', at([1, 1, 0], () => [primitive(2, 0)])],
    ['proofs out of order', children([1], (list) => list.toReversed())],
    ['an empty proof', at([1, 0, 1], () => [primitive(4)])],
    ['a proof of 1025 octets', at([1, 0, 1], () => [primitive(4, ...new Uint8Array(1025))])],
  ];

  test.each(cases)('%s', (_, bytes) => {
    expect(() => decodeVoucherRequest(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('another version', () => {
    expect(() => decodeVoucherRequest(at([0, 0], () => [primitive(2, 2)]))).toThrow(
      expect.objectContaining({ code: 'unsupported-version' }),
    );
  });

  test('an unknown critical extension', () => {
    const critical = readTree(
      der.sequence(der.oid('1.3.6'), der.boolean(true), der.octetString(new Uint8Array(0))),
    );
    expect(() => decodeVoucherRequest(children([0, 8], () => [critical]))).toThrow(
      expect.objectContaining({ code: 'unknown-critical-extension' }),
    );
  });

  test('65,537 octets, before reading them', () => {
    expect(() => decodeVoucherRequest(new Uint8Array(maxRequestOctets + 1))).toThrow('too long');
  });
});

describe('the decoder of responses refuses', () => {
  const tree = readTree(encodeVoucherResponse(response));
  const at = (path: readonly number[], change: (node: DerNode) => readonly DerNode[]) =>
    writeTree(changed(tree, path, change));
  const first = [1, 0];
  const perspective = [...first, 5, 0];

  const cases: readonly [string, Uint8Array][] = [
    ['trailing octets', Uint8Array.of(...writeTree(tree), 0)],
    ['no result', at([1], () => [{ tag: 0x30, children: [] }])],
    [
      'five results',
      at([1], (node) => [{ tag: 0x30, children: Array.from({ length: 5 }, () => node.children![1]!) }]),
    ],
    ['a leaf digest of 20 octets', at([...first, 0], () => [primitive(0x80, ...new Uint8Array(20))])],
    ['a sixth status', at([...first, 1], () => [primitive(0x0a, 5)])],
    ['issued without a voucher', at([...first, 4], () => [])],
    ['on hold with a voucher', at([...first, 1], () => [primitive(0x0a, 1)])],
    ['refused without a reason', at([1, 1, 1], () => [])],
    ['a reason without a refusal', at([1, 1, 0], () => [primitive(0x0a, 2)])],
    ['a tenth reason', at([1, 1, 1], () => [primitive(0x81, 9)])],
    ['an empty detail', at([...first, 3], () => [primitive(0x83)])],
    ['a detail of 1025 octets', at([...first, 3], () => [primitive(0x83, ...Buffer.alloc(1025, 'x'))])],
    ['a detail that is not UTF-8', at([...first, 3], () => [primitive(0x83, 0xff)])],
    ['a retryAfter below zero', at([...first, 2], () => [primitive(0x82, 0x80)])],
    ['an empty voucher', at([...first, 4], () => [primitive(0x84)])],
    ['a fifth verdict', at([...perspective, 3, 0], () => [primitive(0x0a, 4)])],
    ['a code of 65 octets', at([...first, 5, 1, 3, 1], () => [primitive(0x0c, ...Buffer.alloc(65, 'x'))])],
    ['an empty code', at([...first, 5, 1, 3, 1], () => [primitive(0x0c)])],
    [
      'outcomes in the wrong order',
      at(perspective, ({ tag, children }) => [{ tag, children: reordered(children!) }]),
    ],
  ];

  test.each(cases)('%s', (_, bytes) => {
    expect(() => decodeVoucherResponse(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('another version', () => {
    expect(() => decodeVoucherResponse(at([0], () => [primitive(2, 2)]))).toThrow(
      expect.objectContaining({ code: 'unsupported-version' }),
    );
  });

  test('too many octets, before reading them', () => {
    expect(() => decodeVoucherResponse(new Uint8Array(maxResponseOctets + 1))).toThrow('too long');
  });
});

const reordered = (list: readonly DerNode[]): DerNode[] => [...list.slice(0, 3), list[4]!, list[3]!];

describe('whatever a decoder takes is what the encoder would write', () => {
  const codecs = [
    [
      'requests',
      encodeVoucherRequest(request),
      (bytes: Uint8Array) => encodeVoucherRequest(decodeVoucherRequest(bytes)),
    ],
    [
      'responses',
      encodeVoucherResponse(response),
      (bytes: Uint8Array) => encodeVoucherResponse(decodeVoucherResponse(bytes)),
    ],
  ] as const;

  test.each(codecs)('%s', (_, encoded, again) => {
    let refused = 0;
    const attempt = (bytes: Uint8Array) => {
      let written: Uint8Array;
      try {
        written = again(bytes);
      } catch (error) {
        if (!(error instanceof VoucherError) || error.code === 'not-encodable') throw error;
        refused++;
        return;
      }
      expect(Buffer.from(written).equals(bytes)).toBe(true);
    };
    for (const { bytes } of mutations(encoded)) attempt(bytes);
    for (let i = 0; i < encoded.length * 8; i++) {
      const bytes = encoded.slice();
      bytes[i >> 3]! ^= 1 << (i & 7);
      attempt(bytes);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), attempt), { numRuns: 1000 });
    expect(refused).toBeGreaterThan(1500);
  });
});

describe('the encoder refuses', () => {
  const requests: readonly [string, Partial<VoucherRequest>][] = [
    ['a port above 65535', { port: 65_536 }],
    ['an upper-case server name', { serverName: 'Example.org' }],
    ['no chain', { chains: [] }],
    ['an empty chain', { chains: [[]] }],
    ['a short nonce', { nonce: new Uint8Array(8) }],
    ['a proof for no chain', { proofs: [{ chain: 2, signature: Uint8Array.of(1) }] }],
    ['two proofs for one chain', { proofs: [request.proofs![0]!, request.proofs![0]!] }],
    ['an empty proof', { proofs: [{ chain: 0, signature: new Uint8Array(0) }] }],
    ['a proof of 1025 octets', { proofs: [{ chain: 0, signature: new Uint8Array(1025) }] }],
    ['eleven certificates', { chains: [Array.from({ length: 11 }, () => certificate(1))] }],
    ['five chains', { chains: Array.from({ length: 5 }, () => [certificate(1)]) }],
    ['a nonce of 65 octets', { nonce: new Uint8Array(65) }],
    ['more than 64 KiB', { chains: [[der.sequence(new Uint8Array(maxRequestOctets))]] }],
    ['two certificates run together', { chains: [[Uint8Array.of(...certificate(1), ...certificate(2))]] }],
  ];
  test.each(requests)('%s', (_, fields) => {
    const { proofs: _proofs, ...unproven } = request;
    expect(() => encodeVoucherRequest({ ...unproven, ...fields })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
  });

  const results: readonly [string, ChainResult][] = [
    ['issued without a voucher', { status: 'issued', perspectives: [] }],
    ['refused without a reason', { status: 'refused', perspectives: [] }],
    ['a reason without a refusal', { status: 'mismatch', reason: 'revoked', perspectives: [] }],
    ['half a surrogate pair', { status: 'mismatch', detail: '\ud800', perspectives: [] }],
    ['an empty detail', { status: 'mismatch', detail: '', perspectives: [] }],
    ['a detail of 1025 octets', { status: 'mismatch', detail: '\u00e4'.repeat(513), perspectives: [] }],
    ['a retryAfter below zero', { status: 'mismatch', retryAfter: -1, perspectives: [] }],
    ['a leaf digest of 20 octets', { status: 'mismatch', leaf: new Uint8Array(20), perspectives: [] }],
    ['an empty voucher', { status: 'issued', voucher: new Uint8Array(0), perspectives: [] }],
    ['a voucher of 65501 octets', { status: 'issued', voucher: new Uint8Array(65_501), perspectives: [] }],
    [
      '65 perspectives',
      {
        status: 'mismatch',
        perspectives: Array.from({ length: 65 }, () => response.results[0]!.perspectives[0]!),
      },
    ],
  ];
  test.each(results)('%s', (_, result) => {
    expect(() => encodeVoucherResponse({ results: [result] })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
  });
});

test('server names', () => {
  for (const name of [
    'localhost',
    'a.b',
    'xn--bcher-kva.example',
    '1.example',
    'a--b.c',
    `${'a'.repeat(63)}.org`,
  ]) {
    expect(isServerName(name), name).toBe(true);
  }
  for (const name of [
    '',
    '.',
    'a..b',
    '-a.org',
    'a-.org',
    'a_b.org',
    '10.0.0.1',
    '0x7f.1',
    'a.123',
    'b\u00fccher.example',
  ]) {
    expect(isServerName(name), name).toBe(false);
  }
});
