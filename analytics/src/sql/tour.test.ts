import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Served, serve } from '../testing/served.ts';
import { Sandbox } from './sandbox.ts';

const file = join(import.meta.dirname, '../../../docs/analytics-tour.md');
const step = /(```sql\n([\s\S]*?)```\n<!-- result -->\n)[\s\S]*?<!-- end -->/g;

let served: Served;
let sandbox: Sandbox;
beforeAll(async () => {
  served = await serve();
  const limits = { seconds: 10, rows: 10_000, resultBytes: 100_000, memoryBytes: 400_000_000 };
  sandbox = new Sandbox(() => served.store, limits, createLogger('tour', 'silent'));
});
afterAll(async () => {
  await sandbox.close();
  await served.close();
});

it('the tour shows what its queries give', async () => {
  const tour = readFileSync(file, 'utf8');
  const results: string[] = [];
  for (const [, , query = ''] of tour.matchAll(step)) {
    results.push(await text(await sandbox.run(query, 'Markdown')));
  }
  expect(results.length).toBeGreaterThan(10);
  const written = tour.replace(
    step,
    (_, head: string) => `${head}\n${results.shift()!.trimEnd()}\n<!-- end -->`,
  );
  await expect(written).toMatchFileSnapshot(file);
});
