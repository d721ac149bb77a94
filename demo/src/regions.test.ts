import { describe, expect, it } from 'vitest';
import { type Step, runDemo } from './run-demo.ts';

describe('demo --regions 3', () => {
  it('comes up, issues, shows a trace, outlives a fault and loses nothing', {
    timeout: 400_000,
  }, async () => {
    const args = ['--regions', '3', '--exit', '--json', '--faults', '1', '--small'];
    const { code, lines, stderr } = await runDemo(args);
    const steps = lines.map((line) => JSON.parse(line) as Step);
    expect(stderr).toBe('');
    expect(steps.filter(({ ok }) => !ok)).toEqual([]);
    expect(code).toBe(0);
    const all = (step: string) => steps.filter((one) => one.step === step);
    const vouchers = all('voucher') as unknown as { coordinator: string; serial: string }[];
    expect(new Set(vouchers.map(({ coordinator }) => coordinator)).size).toBe(2);
    expect(all('trace')).toMatchObject([{ traceId: expect.stringMatching(/^[0-9a-f]{32}$/) }]);
    expect(all('fault')).toMatchObject([{ kind: 'nats', deed: 'killed' }]);
    expect(all('answers')).toMatchObject([{ unclear: [] }]);
    expect(all('accounts')).toMatchObject([{ wrong: [] }]);
    expect(all('memory')).toMatchObject([
      { processes: { nats: 3, leaf: 3, coordinator: 2, signer: 2, agent: 3 } },
    ]);
  });

  it.each([
    ['--regions', '2'],
    ['--regions', '3', '--faults', 'some'],
    ['--regions', '3', '--seed', 'x'],
  ])('says what it takes instead of %s %s', async (...args) => {
    const { code, stderr } = await runDemo(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--regions takes 3[\s\S]*--exit/);
  });
});
