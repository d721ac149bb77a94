import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const spec = read('docs/spec/mecai.md');
const words = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, word]) => word!).toSorted();
const table = (name: string) =>
  words(
    spec.split(`<!-- ${name}: begin -->`)[1]!.split('<!--')[0]!,
    /^\| ([a-z]+(?:-[a-z]+)+|malformed|expired) \|/gm,
  );
/** Members of a union of words in a source file. */
const union = (file: string, name: string) =>
  words(read(file).split(`export type ${name} =`)[1]!.split(/;\n\n/)[0]!, /^ {2}\| '([a-z-]+)'/gm);

it('the specification has the ASN.1 module as it is published', () => {
  execFileSync(process.execPath, [join(root, 'scripts', 'spec.mjs'), '--check'], { stdio: 'pipe' });
});

it('its codes are those of the library', () => {
  const voucher = union('packages/voucher/src/error.ts', 'VoucherErrorCode').filter(
    (code) => code !== 'not-encodable',
  );
  expect(table('codes')).toEqual([...voucher, ...union('client/src/check.ts', 'CheckCode')].toSorted());
  expect(table('connection codes')).toEqual(union('client/src/checker.ts', 'ServerCode'));
});

it('every code of a voucher has a vector', () => {
  const { vectors } = JSON.parse(read('test/vectors/manifest.json')) as { vectors: { expected: string[] }[] };
  expect([...new Set(vectors.flatMap(({ expected }) => expected))].toSorted()).toEqual(table('codes'));
});
