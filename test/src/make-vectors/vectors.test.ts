import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';

vi.setConfig({ testTimeout: 120_000 });
const vectors = join(import.meta.dirname, '..', '..', 'vectors');
const node = (...args: readonly string[]) => execFileSync(process.execPath, args, { encoding: 'utf8' });

it('the vectors are what their script makes, octet for octet', () => {
  node(join(import.meta.dirname, 'generate.ts'), '--check');
});

it('the library finds in each vector the codes that it is to find', () => {
  const { vectors: all } = JSON.parse(readFileSync(join(vectors, 'manifest.json'), 'utf8')) as {
    vectors: { expected: string[] }[];
  };
  expect(all.length).toBeGreaterThanOrEqual(60);
  const index = join(import.meta.dirname, '..', '..', '..', 'client', 'src', 'index.ts');
  expect(node(join(vectors, 'run.mjs'), index)).toBe(`${all.length} of ${all.length} vectors as expected\n`);
});
