import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createChdbConnection } from 'chdb/connection';
import * as fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { type Columns, NativeBlock } from './native-block.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-native-'));
const engine = createChdbConnection({ path: ':memory:' });
afterAll(async () => {
  await engine.close();
  rmSync(directory, { recursive: true });
});

interface Row {
  readonly text: string;
  readonly word: string;
  readonly list: readonly string[];
  readonly yes: boolean;
  readonly maybe: number | null;
  readonly small: number;
  readonly large: number;
  readonly at: number;
  readonly address: string;
}

const columns: Columns<Row> = {
  text: ['String', (one) => one.text],
  word: ['LowCardinality(String)', (one) => one.word],
  list: ['Array(String)', (one) => one.list],
  yes: ['Bool', (one) => one.yes],
  maybe: ['Nullable(UInt8)', (one) => one.maybe],
  small: ['UInt16', (one) => one.small],
  large: ['UInt32', (one) => one.large],
  at: ["DateTime64(3, 'UTC')", (one) => one.at],
  address: ['IPv6', (one) => one.address],
};

/** The same columns, with values that rows have in common. */
const renamed = Object.entries(columns).map(([name, column]) => [`common_${name}`, column]);
const commonColumns = Object.fromEntries(renamed) as unknown as Columns<Row>;
const reused = new NativeBlock(columns, commonColumns);

/** Of a block that had other rows before. */
function blockOf(rows: readonly (readonly [own: Row, common: Row])[]): Buffer {
  reused.clear();
  for (const [own, common] of rows) reused.add(own, common);
  return reused.octets();
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  // Around the lengths where the octets or their number take more room.
  fc
    .tuple(fc.integer({ min: 40, max: 400 }), fc.constantFrom('x', 'é', '☃'))
    .map(([n, one]) => one.repeat(n)),
);
const row: fc.Arbitrary<Row> = fc.record({
  text,
  word: fc.oneof(fc.constantFrom('', 'a', 'b'), text),
  list: fc.array(text, { maxLength: 3 }),
  yes: fc.boolean(),
  maybe: fc.option(fc.nat(255)),
  small: fc.nat(0xffff),
  large: fc.integer({ min: 0, max: 0xffff_ffff }),
  at: fc.integer({ min: 0, max: Date.UTC(2299, 0) }),
  address: fc.constantFrom('::ffff:192.0.2.1', '2001:db8:0:0:0:0:0:1', '0:0:0:0:0:0:0:0'),
});

// Many blocks have rows of these in common, so that a block is written from what an earlier one has left.
const commons = fc.sample(row, 6);
// What comes several times in a row is written from what is there.
const repeated = fc
  .tuple(row, fc.constantFrom(...commons), fc.integer({ min: 1, max: 3 }))
  .map(([own, common, n]) => Array.from({ length: n }, () => [own, common] as const));

const readable = (one: Row): Row => ({
  ...one,
  address: one.address.replace('0:0:0:0:0:0:0:0', '::').replace(':0:0:0:0:0:', '::'),
});
const prefixed = (one: Row) =>
  Object.fromEntries(
    Object.entries(one).map(([name, value]): [string, unknown] => [`common_${name}`, value]),
  );

it('is read by the engine as the same rows', async () => {
  const file = join(directory, 'block');
  await fc.assert(
    fc.asyncProperty(
      fc.array(repeated, { minLength: 1, maxLength: 40 }).map((lists) => [lists, lists].flat(2)),
      async (rows) => {
        writeFileSync(file, blockOf(rows));
        const result = await engine.chdb.queryAsync(
          `SELECT * REPLACE (toUnixTimestamp64Milli(at) AS at, toUnixTimestamp64Milli(common_at) AS common_at)
         FROM file('${file}', Native) SETTINGS output_format_json_quote_64bit_integers = 0`,
          { format: 'JSONEachRow' },
        );
        const read = result
          .text()
          .trimEnd()
          .split('\n')
          .map((line): unknown => JSON.parse(line));
        expect(read).toEqual(
          rows.map(([own, common]) => ({ ...readable(own), ...prefixed(readable(common)) })),
        );
      },
    ),
    { numRuns: 40 },
  );
});

it('takes along what rows had in common only into blocks of as many', () => {
  const block = new NativeBlock<object, { word: string }>(
    {},
    { word: ['LowCardinality(String)', (one) => one.word] },
  );
  const add = (word: string, rows: number) => {
    const common = { word };
    for (let i = 0; i < rows; i++) block.add({}, common);
  };
  for (const word of ['one', 'two']) add(word, 10);
  block.clear();
  add('three', 2);
  expect(block.octets().includes('one')).toBe(true);
  block.clear();
  add('four', 1);
  expect(block.octets().includes('one')).toBe(false);
});

it('writes U+FFFD for half a surrogate pair, which is no text', async () => {
  const file = join(directory, 'surrogate');
  const block = new NativeBlock<{ text: string }, object>({ text: ['String', (one) => one.text] }, {});
  for (const text of ['a\uD800', '\uDC00'.repeat(90)]) block.add({ text }, {});
  writeFileSync(file, block.octets());
  const result = await engine.chdb.queryAsync(`SELECT text FROM file('${file}', Native)`, {
    format: 'JSONEachRow',
  });
  expect(result.text()).toContain('"a\uFFFD"');
  expect(result.text()).toContain('\uFFFD'.repeat(90));
});
