import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type Step, runDemo } from './run-demo.ts';

const root = resolve(import.meta.dirname, '../..');

describe('demo', () => {
  it('tells its nine scenes, each as it should come out, and stays up for what it says to try', {
    timeout: 600_000,
  }, async () => {
    const tried: string[] = [];
    const { code, lines, stderr } = await runDemo(['--json'], async ({ commands }) => {
      for (const command of commands!) {
        const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: root });
        tried.push(stdout);
      }
    });
    const steps = lines.map((line) => JSON.parse(line) as Step);
    expect(stderr).toBe('');
    expect(steps.filter(({ ok }) => !ok)).toEqual([]);
    expect(code).toBe(0);
    const find = (step: string) => steps.find((one) => one.step === step);
    expect(find('voucher')).toMatchObject({ status: 'issued' });
    expect(find('client')).toMatchObject({ failures: [] });
    expect(find('openssl')).toMatchObject({ openssl: 'CMS Verification successful' });
    expect(find('regional-attack')).toMatchObject({ status: 'issued', mismatches: 2 });
    expect(find('regional-attacker')).toMatchObject({ status: 'mismatch' });
    expect(find('incident')).toMatchObject({ agents: ['singapore', 'sydney'] });
    expect(find('wide-attack')).toMatchObject({ status: 'mismatch', mismatches: 4 });
    expect(steps.filter(({ step }) => step === 'captured-coordinator')).toHaveLength(4);
    expect(find('revoked')).toMatchObject({ status: 'refused', reason: 'revoked' });
    expect(find('distrusted')).toMatchObject({
      status: 'refused',
      detail: expect.stringContaining('its key is on sale'),
    });
    expect(find('lifted')).toMatchObject({ status: 'issued' });
    expect(find('campaign')).toMatchObject({ summary: { served: 1, unreachable: 2 } });
    expect(find('stapled')).toMatchObject({ nginx: true, status: 'issued' });
    expect(find('middle-refused')).toMatchObject({ codes: expect.arrayContaining(['other-leaf']) });
    expect(find('on-hold')).toMatchObject({ status: 'on-hold' });
    expect(steps.filter(({ step }) => step === 'mail')).toHaveLength(2);
    expect(find('hold-ended')).toMatchObject({ status: 'issued' });
    expect(find('renewal')).toMatchObject({ status: 'issued' });
    expect(find('objection')).toMatchObject({ status: 'refused', reason: 'objected' });
    expect(find('cleared')).toMatchObject({ status: 'issued' });
    expect(find('reported')).toMatchObject({ codes: expect.arrayContaining(['no-voucher']) });
    expect(find('client-report')).toMatchObject({
      codes: expect.arrayContaining(['no-voucher']),
      checks: { accepted: 41, 'no-voucher': 1 },
    });
    expect(find('clickhouse')).toMatchObject({ counts: { mismatches: 10 } });
    expect(tried.join('\n')).toMatch(
      /issued[\s\S]+vouched by[\s\S]+OK as of [\s\S]+frankfurt[\s\S]+www\.shop\.test/,
    );
  });

  it('explains itself', async () => {
    const { code, lines } = await runDemo(['--help']);
    expect(code).toBe(0);
    expect(lines.join('\n')).toMatch(/--exit[\s\S]*--json/);
  });
});
