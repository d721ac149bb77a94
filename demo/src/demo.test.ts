import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, 'main.ts');

function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

describe('demo', () => {
  it('tells its nine scenes, each as it should come out', { timeout: 600_000 }, async () => {
    const { code, stdout, stderr } = await run('--exit', '--json');
    const steps = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { step: string; ok: boolean; status?: string; mismatches?: number });
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
  });

  it('explains itself', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    expect(stdout).toMatch(/--exit[\s\S]*--json/);
  });
});
