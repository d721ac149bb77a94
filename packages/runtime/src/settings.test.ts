import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { Settings, createLogger, keptChild, logLevel } from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-settings-'));
const file = join(directory, 'config.json');
afterAll(() => rmSync(directory, { recursive: true }));

const schema = z.strictObject({
  listen: z.string(),
  logLevel: logLevel(),
  limits: z.strictObject({ global: z.number().default(5), burst: z.number().default(1) }).prefault({}),
  allowed: z.array(z.string()).default([]),
  limitsOfOthers: z.number().default(0),
});
const write = (content: unknown) =>
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, undefined, 1));
const good = { listen: 'here', limits: { global: 7 } };
function load() {
  write(good);
  const log = { level: 'info' };
  const settings = Settings.load(schema, { config: file, environment: {}, log }, ['limits', 'allowed']);
  return { settings, log };
}

describe('a reload', () => {
  it('puts in force what may change, and names it', async () => {
    const { settings, log } = load();
    write({ ...good, limits: { global: 8 }, allowed: ['a'], logLevel: 'debug' });
    expect(settings.current.limits.global).toBe(7);
    expect((await settings.reload()).toSorted()).toEqual(['allowed', 'limits.global', 'logLevel']);
    expect(settings.current).toMatchObject({ limits: { global: 8 }, allowed: ['a'] });
    expect(log.level).toBe('debug');
    write(good);
    await settings.reload();
    // As the command line had it.
    expect(log.level).toBe('info');
  });

  it('of the level reaches the logs that were derived before', async () => {
    write(good);
    const log = createLogger('test', 'error');
    const kept = keptChild(keptChild(log, { part: 'signer' }), { call: 'draw' });
    const settings = Settings.load(schema, { config: file, environment: {}, log }, []);
    for (const level of ['debug', 'warn'] as const) {
      write({ ...good, logLevel: level });
      await settings.reload();
      expect([kept.level, kept.isLevelEnabled('debug')]).toEqual([level, level === 'debug']);
    }
    // One that speaks up for itself changes nobody else.
    kept.level = 'trace';
    expect(log.level).toBe('warn');
  });

  it('of an unchanged file changes nothing, and says so', async () => {
    expect(await load().settings.reload()).toEqual([]);
  });

  it('that would change what cannot change is refused as a whole, naming it', async () => {
    const { settings } = load();
    write({ ...good, listen: 'there', limits: { global: 8 }, limitsOfOthers: 1 });
    await expect(settings.reload()).rejects.toMatchObject({
      code: 'needs-restart',
      message: 'cannot change while it runs: listen, limitsOfOthers; restart it',
    });
    expect(settings.current).toMatchObject({ listen: 'here', limits: { global: 7 } });
  });

  it.each<[string, unknown, RegExp]>([
    [
      'a wrong type',
      { ...good, limits: { global: 'many' } },
      /config\.json:\n {2}limits\.global: .*expected number.*, in line 4$/,
    ],
    ['an unknown member', { ...good, limit: 1 }, /\(top\): .*"limit", in line 6$/],
    ['a missing member', { limits: {} }, /listen: .*expected string, received undefined$/],
    ['no JSON', '{\n"listen":\n}', /config\.json: .*/],
  ])('with %s leaves all as it was, naming file, line and what was expected', async (_, content, message) => {
    const { settings } = load();
    const before = settings.current;
    write(content);
    await expect(settings.reload()).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringMatching(message),
    });
    expect(settings.current).toBe(before);
    write(good);
    expect(await settings.reload()).toEqual([]);
  });

  it('that somebody cannot prepare for is in force for nobody', async () => {
    const { settings } = load();
    const done: string[] = [];
    settings.onReload(
      ({ limits }) =>
        () =>
          done.push(`first ${limits.global}`),
    );
    settings.onReload(async ({ limits }) => {
      if (limits.global === 9) throw new Error('no key for nine');
      return () => done.push(`second ${limits.global}`);
    });
    write({ ...good, limits: { global: 9 } });
    await expect(settings.reload()).rejects.toThrow('no key for nine');
    expect(settings.current.limits.global).toBe(7);
    expect(done).toEqual([]);
    write({ ...good, limits: { global: 8 } });
    await settings.reload();
    expect(done).toEqual(['first 8', 'second 8']);
  });

  it('waits for the one before', async () => {
    const { settings } = load();
    const order: number[] = [];
    settings.onReload(async ({ limits }) => {
      await new Promise(setImmediate);
      return () => order.push(limits.global);
    });
    write({ ...good, limits: { global: 1 } });
    const first = settings.reload();
    const second = settings.reload();
    expect(await Promise.all([first, second])).toEqual([['limits.global'], []]);
    expect(order).toEqual([1, 1]);
  });
});
