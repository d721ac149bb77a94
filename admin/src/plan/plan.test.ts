import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runAdmin } from '../admin.ts';

const data = join(import.meta.dirname, '../../../packages/placement/data');
const graph = join(data, 'example.as-rel.txt');
const sites = join(data, 'example-sites.json');
const directory = mkdtempSync(join(tmpdir(), 'mecai-plan-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, content: unknown) => {
  const path = join(directory, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};

/** What the command prints, and its exit code. */
async function run(args: readonly string[]): Promise<{ out: string; err: string; code: number }> {
  const out = vi.spyOn(console, 'log').mockReturnValue();
  const err = vi.spyOn(console, 'error').mockReturnValue();
  try {
    const code = await runAdmin(['plan', ...args], {}, () => 0);
    const text = (spy: typeof out) => spy.mock.calls.map(([line]) => String(line)).join('\n');
    return { code, out: text(out), err: text(err) };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

async function admin(...args: string[]): Promise<string> {
  const { code, out, err } = await run(args);
  expect(code, err).toBe(0);
  return out;
}
const json = async (...args: string[]) => JSON.parse(await admin(...args, '--json')) as never;

describe('sheet', () => {
  interface Printed {
    readonly roles: { readonly role: string; readonly cores: number; readonly machines: number }[];
    readonly hsm: { readonly devices: number };
    readonly storage: { readonly observations: number; readonly certificateLog: number };
    readonly wal: number;
    readonly probeTraffic: { readonly received: number };
    readonly monthly: { readonly currency: string; readonly total: number };
    readonly vouchersPerSecond: { readonly peak: number };
  }
  const sheet = (...args: string[]): Promise<Printed> => json('sheet', '--endpoints', '700e6', ...args);
  let base: Printed;
  beforeAll(async () => {
    base = await sheet();
  });

  test('for the whole web, in words', async () => {
    const text = await admin('sheet', '--endpoints', '700e6');
    expect(text).toContain('700 000 000 endpoints');
    expect(text).toMatch(/vouchers +16 204 a second, 32 407 at the peak/);
    expect(text).toMatch(/coordinator +\d/);
    expect(text).toContain('Prices are examples');
  });

  const cores = ({ roles }: Printed) => roles.reduce((sum, role) => sum + role.cores, 0);
  test.each<[string, string, (printed: Printed) => number, 'more' | 'less']>([
    ['--vouchers-per-day', '4', ({ vouchersPerSecond }) => vouchersPerSecond.peak, 'more'],
    ['--chain-octets', '6000', ({ probeTraffic }) => probeTraffic.received, 'more'],
    ['--perspectives', '9', cores, 'more'],
    ['--peak', '3', ({ vouchersPerSecond }) => vouchersPerSecond.peak, 'more'],
    ['--utilization', '0.9', cores, 'less'],
    ['--cores-per-machine', '64', ({ roles }) => roles[2]!.machines, 'less'],
    ['--hsm-rate', '2000', ({ hsm }) => hsm.devices, 'less'],
    ['--retention-days', '180', ({ storage }) => storage.observations, 'more'],
    ['--certificate-days', '47', ({ wal }) => wal, 'more'],
    ['--expired-days', '30', ({ storage }) => storage.certificateLog, 'less'],
  ])('%s %s bites', async (option, value, of, direction) => {
    const changed = of(await sheet(option, value));
    if (direction === 'more') expect(changed).toBeGreaterThan(of(base));
    else expect(changed).toBeLessThan(of(base));
  });

  test('figures and prices of one’s own', async () => {
    const lines = readFileSync(join(import.meta.dirname, 'figures.jsonl'), 'utf8');
    const doubled = lines.replaceAll(
      /"value":([\d.]+)/g,
      (_, value: string) => `"value":${Number(value) * 2}`,
    );
    expect(cores(await sheet('--figures', file('figures', doubled)))).toBeGreaterThan(cores(base));
    const prices = { currency: 'EUR', coreHour: 0, hsmHour: 0, egressGigabyte: 0, storageGigabyteMonth: 0 };
    expect((await sheet('--prices', file('prices', prices))).monthly).toMatchObject({
      currency: 'EUR',
      total: 0,
    });
  });
});

describe('placement', () => {
  interface Printed {
    readonly ases: number;
    readonly kinds: readonly {
      readonly kind: string;
      readonly given: { readonly resisted: number; readonly sites: readonly string[] };
      readonly better?: { readonly resisted: number; readonly sites: readonly string[] };
    }[];
  }
  const place = (...args: string[]): Promise<Printed> =>
    json('placement', '--as-rel', graph, '--sites', sites, ...args);
  let base: Printed;
  beforeAll(async () => {
    base = await place('--attacks', '200');
  });

  test('the same seed, the same answer; another seed, another', async () => {
    expect(base.ases).toBeGreaterThan(500);
    expect(base.kinds.map(({ kind }) => kind)).toEqual(['equally-specific', 'forged-origin', 'sub-prefix']);
    expect(await place('--attacks', '200')).toEqual(base);
    expect((await place('--attacks', '200', '--seed', '2')).kinds).not.toEqual(base.kinds);
  });

  test('better sites are looked for', async () => {
    const [equallySpecific] = (await place('--attacks', '200', '--search', '6')).kinds;
    expect(equallySpecific!.better!.sites).toHaveLength(6);
    expect(equallySpecific!.better!.resisted).toBeGreaterThan(equallySpecific!.given.resisted);
  });

  test('route origin validation helps', async () => {
    const [equallySpecific] = (await place('--attacks', '200', '--rov', '0.5')).kinds;
    expect(equallySpecific!.given.resisted).toBeGreaterThan(base.kinds[0]!.given.resisted);
  });

  test('a synthetic internet of ten thousand: the same seed, the same answer; another seed, another', async () => {
    const synthetic = (seed: string): Promise<Printed> =>
      json('placement', '--synthetic', '10000', '--attacks', '100', '--seed', seed);
    const once = await synthetic('7');
    expect(once.ases).toBe(10_000);
    for (const { given } of once.kinds) expect(given.sites).toHaveLength(24);
    // Longer prefixes apart, against which no place helps, some are resisted and some are not.
    for (const { given } of once.kinds.slice(0, 2)) {
      expect(given.resisted).toBeGreaterThan(0);
      expect(given.resisted).toBeLessThan(1);
    }
    expect(await synthetic('7')).toEqual(once);
    expect((await synthetic('8')).kinds).not.toEqual(once.kinds);
  });

  test('a synthetic internet, in words', async () => {
    const text = await admin('placement', '--synthetic', '300', '--attacks', '20');
    expect(text).toContain('20 attacks of each kind on 300 ASes');
    expect(text).toMatch(/sub-prefix +[\d.]+ %/);
  });
});

test.each([
  [['sheet'], '--endpoints is missing'],
  [['sheet', '--endpoints', 'many'], '--endpoints: an integer from 1 to'],
  [['sheet', '--endpoints', '5', '--utilization', '2'], '--utilization: a number from 0.05 to 1'],
  [['sheet', '--endpoints', '5', '--prices', file('bad', '{')], 'not JSON'],
  [['sheet', '--endpoints', '5', '--prices', file('odd', { currency: 'EUR' })], 'coreHour'],
  [['sheet', '--endpoints', '5', '--figures', file('none', '')], 'does not tell'],
  [['placement', '--as-rel', graph], 'a real AS graph needs --sites'],
  [['placement', '--as-rel', graph, '--synthetic', '300'], 'not both'],
  [['placement', '--as-rel', file('graph', '1|2|5\n'), '--sites', sites], 'as-rel, line 1'],
  [['placement', '--sites', file('sites', '{}')], 'a list is expected'],
  [['placement', '--synthetic', '300', '--search', '5'], 'a set of 5 out of'],
  [['nothing'], 'plan sheet or plan placement'],
])('%j: wrong usage', async (args, message) => {
  const { code, err } = await run(args);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
