import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { Reader, type Response, open } from 'maxmind';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type MmdbEntry,
  type MmdbValue,
  double,
  encodeMmdb,
  float,
  int32,
  uint128,
  uint16,
  uint64,
  writeMmdb,
} from './mmdb-writer.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-mmdb-'));
afterAll(() => rmSync(directory, { recursive: true }));

const sizes = [24, 28, 32] as const;
const read = (entries: readonly MmdbEntry[], recordSize: (typeof sizes)[number] = 28) =>
  new Reader<Response>(encodeMmdb(entries, { databaseType: 'Test', recordSize }));
const ipv4Text = (bits: number) => [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
const ipv6Text = (bits: bigint) =>
  Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':');

interface Network {
  readonly bits: bigint;
  readonly length: number;
}
const networkOf = (width: number) =>
  fc
    .tuple(fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n }), fc.integer({ min: 1, max: width }))
    .map(([bits, length]): Network => {
      const rest = BigInt(width - length);
      return { bits: (bits >> rest) << rest, length };
    });
// Few distinct high bits, so that networks nest.
const ipv4 = fc.oneof(
  networkOf(32),
  networkOf(32).map(({ bits, length }) => ({
    bits: bits & (0xffffffffn << BigInt(32 - Math.min(length, 4))),
    length,
  })),
);
const covers = (network: Network, bits: bigint, width: number) =>
  bits >> BigInt(width - network.length) === network.bits >> BigInt(width - network.length);

function expected(networks: readonly Network[], bits: bigint, width: number): number | undefined {
  let best: number | undefined;
  for (const [i, network] of networks.entries()) {
    if (!covers(network, bits, width)) continue;
    if (best === undefined || network.length >= networks[best]!.length) best = i;
  }
  return best;
}

describe('search tree', () => {
  it.each(sizes)('finds the longest prefix, with records of %i bits', (recordSize) => {
    fc.assert(
      fc.property(
        fc.array(ipv4, { maxLength: 30 }),
        // Below 2000::/3, apart from IPv4 and from what leads to it.
        fc.array(
          networkOf(125).map(({ bits, length }) => ({ bits: (1n << 125n) | bits, length: length + 3 })),
          { maxLength: 10 },
        ),
        fc.array(fc.bigInt({ min: 0n, max: 0xffffffffn }), { minLength: 1, maxLength: 20 }),
        (four, six, probes) => {
          const unalias = six.filter(({ bits }) => bits >> 112n !== 0x2002n);
          const reader = read(
            [
              ...four.map(({ bits, length }, i) => ({
                prefix: `${ipv4Text(Number(bits))}/${length}`,
                record: { i },
              })),
              ...unalias.map(({ bits, length }, i) => ({
                prefix: `${ipv6Text(bits)}/${length}`,
                record: { six: i },
              })),
            ],
            recordSize,
          );
          for (const bits of [
            ...probes,
            ...four.flatMap((n) => [n.bits, n.bits ^ (1n << BigInt(32 - n.length))]),
          ]) {
            const found = expected(four, bits, 32);
            expect(reader.get(ipv4Text(Number(bits)))).toEqual(found === undefined ? null : { i: found });
          }
          for (const { bits } of unalias) {
            expect(reader.get(ipv6Text(bits))).toEqual({ six: expected(unalias, bits, 128) });
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('leads from mapped and 6to4 addresses to IPv4', () => {
    const reader = read([{ prefix: '127.1.0.0/16', record: { city: 'Lima' } }]);
    expect(reader.get('127.1.2.3')).toEqual({ city: 'Lima' });
    expect(reader.get('::ffff:127.1.2.3')).toEqual({ city: 'Lima' });
    expect(reader.get('2002:7f01:203::1')).toEqual({ city: 'Lima' });
    expect(reader.get('127.2.0.1')).toBe(null);
    expect(reader.get('2001:db8::1')).toBe(null);
  });

  it('takes prefixes in any order, and the last of equal ones', () => {
    const wide = { prefix: '10.0.0.0/8', record: { name: 'wide' } };
    const narrow = { prefix: '10.1.0.0/16', record: { name: 'narrow' } };
    for (const entries of [
      [wide, narrow],
      [narrow, wide],
      [narrow, { ...narrow, record: { name: 'earlier' } }, narrow, wide],
    ]) {
      const reader = read(entries);
      expect(reader.get('10.1.2.3')).toEqual({ name: 'narrow' });
      expect(reader.get('10.2.2.3')).toEqual({ name: 'wide' });
    }
    expect(read([]).get('10.1.2.3')).toBe(null);
  });

  it('refuses what is no prefix', () => {
    for (const prefix of [
      '10.0.0.0',
      '10.0.0.0/33',
      '10.0.0.1/24',
      'fe80::1%1/128',
      'x/8',
      '::/129',
      '1.2.3.4/',
      '::/0',
    ]) {
      expect(() => read([{ prefix, record: {} }]), prefix).toThrow(RangeError);
    }
  });
});

describe('data section', () => {
  const value = fc.letrec<{ any: MmdbValue }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.string({ unit: 'grapheme' }),
      fc.boolean(),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.double({ noNaN: true }).filter((n) => !Object.is(n, -0)),
      fc.array(tie('any'), { maxLength: 5 }),
      fc
        .dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          tie('any'),
          { maxKeys: 5 },
        )
        .map((map) => ({ ...map })),
    ),
  })).any;

  it('gives back what was put in', () => {
    fc.assert(
      fc.property(value, (content) => {
        expect(read([{ prefix: '192.0.2.0/24', record: { content } }]).get('192.0.2.77')).toEqual({
          content,
        });
      }),
      { numRuns: 500 },
    );
  });

  it.each([0, 28, 29, 284, 285, 65_820, 65_821, 100_000])('holds a text of %i octets', (length) => {
    const text = 'x'.repeat(length);
    const record = { text, next: 7 };
    expect(read([{ prefix: '192.0.2.0/24', record }]).get('192.0.2.1')).toEqual(record);
  });

  it('holds arrays and maps of any size', () => {
    const list = Array.from({ length: 300 }, (_, i) => i);
    const map = Object.fromEntries(list.map((i) => [`key ${i}`, i]));
    expect(read([{ prefix: '192.0.2.0/24', record: { list, map } }]).get('192.0.2.1')).toEqual({ list, map });
  });

  it('holds numbers of every type', () => {
    const record = {
      small: uint16(65_535),
      negative: int32(-2_000_000_000),
      long: uint64(2n ** 64n - 1n),
      longest: uint128(2n ** 128n - 1n),
      half: float(0.5),
      whole: double(3),
      zero: 0,
    };
    const found: unknown = read([{ prefix: '192.0.2.0/24', record }]).get('192.0.2.1');
    expect(found).toMatchObject({ small: 65_535, negative: -2_000_000_000, half: 0.5, whole: 3, zero: 0 });
    // The reader makes them bigint.
    expect(found).toMatchObject({ long: 2n ** 64n - 1n, longest: 2n ** 128n - 1n });
  });

  it('refuses numbers out of range', () => {
    for (const wrong of [
      uint16(65_536),
      uint64(-1n),
      uint64(2n ** 64n),
      uint128(2n ** 128n),
      int32(2 ** 31),
    ]) {
      expect(() => read([{ prefix: '192.0.2.0/24', record: { wrong } }])).toThrow(RangeError);
    }
  });

  it('keeps equal records once', () => {
    const record = { text: 'x'.repeat(1000) };
    const one = encodeMmdb([{ prefix: '10.0.0.0/32', record }], { databaseType: 'Test' });
    const two = encodeMmdb(
      [
        { prefix: '10.0.0.0/32', record },
        { prefix: '10.0.0.1/32', record: { ...record } },
      ],
      { databaseType: 'Test' },
    );
    expect(two.length).toBe(one.length);
  });
});

describe('metadata', () => {
  it('says what the options say', async () => {
    const file = join(directory, 'city.mmdb');
    writeMmdb(file, [{ prefix: '127.1.0.0/16', record: { country: { iso_code: 'PE' } } }], {
      databaseType: 'MECAI-Demo-City',
      description: { en: 'Made-up places' },
      languages: ['en', 'es'],
      buildEpoch: 1_700_000_000,
      recordSize: 24,
    });
    const reader = await open<Response>(file);
    expect(reader.metadata).toMatchObject({
      binaryFormatMajorVersion: 2,
      binaryFormatMinorVersion: 0,
      buildEpoch: new Date(1_700_000_000_000),
      databaseType: 'MECAI-Demo-City',
      description: { en: 'Made-up places' },
      ipVersion: 6,
      languages: ['en', 'es'],
      recordSize: 24,
    });
    expect(reader.get('127.1.9.9')).toEqual({ country: { iso_code: 'PE' } });
  });
});

const samples = join(import.meta.dirname, '../../../../shared/geo');
const sample = join(samples, 'GeoLite2-City-Test.mmdb');
if (!existsSync(sample)) console.log(`no sample files in ${samples}: comparison with them left out`);

it.runIf(existsSync(sample))('has the same layout as files of MaxMind', () => {
  const theirs = readFileSync(sample);
  const { metadata } = new Reader<Response>(theirs);
  const prefix = '2.125.160.216/29';
  const record = new Reader<Response>(theirs).get('2.125.160.216') as unknown as MmdbEntry['record'];
  const ours = encodeMmdb([{ prefix, record }], {
    databaseType: metadata.databaseType,
    recordSize: metadata.recordSize as 28,
    languages: metadata.languages,
    buildEpoch: metadata.buildEpoch.getTime() / 1000,
  });
  const reader = new Reader<Response>(ours);
  expect(reader.get('2.125.160.217')).toEqual(record);
  expect(reader.metadata).toMatchObject({
    binaryFormatMajorVersion: metadata.binaryFormatMajorVersion,
    ipVersion: metadata.ipVersion,
    recordSize: metadata.recordSize,
    treeDepth: metadata.treeDepth,
  });
  const { nodeCount, recordSize } = metadata;
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
  for (const [file, count] of [
    [theirs, nodeCount],
    [ours, reader.metadata.nodeCount],
  ] as const) {
    const treeEnd = (count * recordSize) / 4;
    expect(file.subarray(treeEnd, treeEnd + 16)).toEqual(Buffer.alloc(16));
    // The data section starts with a field, the metadata with a map.
    expect(file[file.lastIndexOf(marker) + marker.length]! >> 5).toBe(7);
  }
  for (const address of ['2.125.160.216', '::ffff:2.125.160.216', '2002:27d:a0d8::']) {
    expect(new Reader<Response>(theirs).get(address)).toEqual(record);
    expect(reader.get(address)).toEqual(record);
  }
});
