/** What the last release sends and takes is still sent and taken: buf's rules for wire and JSON. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';

const proto = join(import.meta.dirname, '..');
const directory = mkdtempSync(join(tmpdir(), 'mecai-released-'));
afterAll(() => rmSync(directory, { recursive: true }));

vi.setConfig({ testTimeout: 90_000 });

const breaking = (input: string) =>
  new Promise<string>((resolve) => {
    const buf = join(proto, '../node_modules/.bin/buf');
    execFile(buf, ['breaking', input, '--against', join(proto, 'released')], (_, out, err) =>
      resolve(out + err),
    );
  });

it('nothing that was released has changed its meaning', async () => {
  expect(await breaking(proto)).toBe('');
});

it.each<[string, [string, RegExp, string], RegExp]>([
  ['a field with another number', ['signer', /bytes nonce = 1;/, 'bytes nonce = 91;'], /deleted|number/i],
  ['a field of another type', ['observation', /uint64 sent_at = 1;/, 'string sent_at = 1;'], /type/],
  ['a refusal that is gone', ['signer', / {2}REFUSAL_CODE_INTERNAL = 9;\n/, ''], /REFUSAL_CODE|value "9"/],
])('%s would be noticed', async (_, [file, from, to], message) => {
  const changed = join(directory, `${file}-${to.length}-${from.source.length}`);
  cpSync(join(proto, 'mecai'), join(changed, 'mecai'), { recursive: true });
  cpSync(join(proto, 'buf.yaml'), join(changed, 'buf.yaml'));
  const name = join(changed, `mecai/v1/${file}.proto`);
  const text = readFileSync(name, 'utf8');
  expect(text).toMatch(from);
  writeFileSync(name, text.replace(from, to));
  expect(await breaking(changed)).toMatch(message);
});
