/** The root README and the plan have their figures from one file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { runAdmin } from '../admin.ts';
import { parseFigures } from './figures.ts';

const readme = readFileSync(join(import.meta.dirname, '../../../README.md'), 'utf8');
const figures = parseFigures(readFileSync(join(import.meta.dirname, 'figures.jsonl'), 'utf8'));
const refresh = 'npm run plan-figures -- <output of the benches>';

afterEach(() => vi.restoreAllMocks());

test('the sheet of the README is what the command prints', async () => {
  const lines: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => lines.push(line));
  expect(await runAdmin(['plan', 'sheet', '--endpoints', '700e6'], {}, () => 0)).toBe(0);
  const [, shown] = /<!-- plan: begin -->\n```text\n([\s\S]*?)\n```\n<!-- plan: end -->/.exec(readme) ?? [];
  expect(shown, refresh).toBe(lines.join('\n'));
});

/** Numbers of the last cell of a row, which is that of six agents in six processes. */
const lastCell = (row: string) => {
  const line = readme.split('\n').find((one) => one.startsWith(`| ${row}`)) ?? '';
  return [
    ...line
      .split('|')
      .at(-2)!
      .matchAll(/[\d.]+/g),
  ].map(([number]) => number);
};

test.each([
  ['CPU per voucher: coordinator / signer', [figures.coordinatorMicros, figures.signerMicros]],
  ['CPU per voucher: six probes / NATS', [figures.sixProbesMicros, figures.natsMicros]],
])('%s: as the plan has it', (row, micros) => {
  const shown = lastCell(row);
  for (const [i, value] of micros.entries()) {
    const digits = shown[i]!.split('.')[1]?.length ?? 0;
    // To the digits that are shown, however halves are rounded.
    expect(Math.abs(Number(shown[i]) - value / 1000), refresh).toBeLessThanOrEqual(0.5001 * 10 ** -digits);
  }
});

test('ingest and octets on disk: as the plan has them', () => {
  const ingest = figures.ingestRate.toLocaleString('en-US');
  expect(readme, refresh).toMatch(
    new RegExp(`^\\| .analytics. \\| .*stored, per CPU second.*\\b${ingest}\\b`, 'm'),
  );
  const octets = Math.round(figures.storedObservationOctets);
  expect(readme, refresh).toContain(`with all tables made of it | ${octets} octets |`);
});
