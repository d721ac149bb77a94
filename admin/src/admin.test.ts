import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromSeed } from '@nats-io/nkeys';
import { runAdmin } from './admin.ts';
import { natsUsers } from './nats-users.ts';

let out: string[];
let err: string[];

beforeEach(() => {
  [out, err] = [[], []];
  vi.spyOn(console, 'log').mockImplementation((text: string) => out.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => err.push(text));
});
afterEach(() => vi.restoreAllMocks());

const run = (...args: string[]) => runAdmin(args, {}, () => 0);
const text = (lines: readonly string[]) => lines.join('\n');

describe('help', () => {
  it('names each command with a summary, and fits a screen', async () => {
    expect(await run('--help')).toBe(0);
    const lines = text(out).split('\n');
    expect(lines.length).toBeLessThan(24);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const line of lines.slice(4, -4)) expect(line).toMatch(/^ {2}[a-z]+ +\S.{9}/);
  });

  it('of a command is its own', async () => {
    expect(await run('distrust', '--help')).toBe(0);
    expect(text(out)).toMatch(/^usage: mecai-admin distrust [\s\S]*lift/);
  });
});

describe('wrong usage', () => {
  it.each([
    [[], 'which command?', 'mecai-admin: the operator'],
    [['agent'], 'no command agent', 'mecai-admin: the operator'],
    [['toString'], 'no command toString', 'mecai-admin: the operator'],
    [['agents'], '--config <file.json> is missing', 'usage: mecai-admin agents'],
  ])('%j: says what is wrong and how it goes, and exits with 2', async (args, wrong, usage) => {
    expect(await run(...args)).toBe(2);
    expect(err[0]).toBe(`mecai-admin: ${wrong}`);
    expect(err[1]).toContain(usage);
    expect(out).toEqual([]);
  });
});

describe('seed', () => {
  it('has an entry that makes it a user of NATS', async () => {
    expect(await run('seed', '--name', 'coordinator-1', '--role', 'coordinator')).toBe(0);
    const [made = '', entry = ''] = out;
    const key = fromSeed(Buffer.from(made)).getPublicKey();
    expect(JSON.parse(entry)).toEqual({ name: 'coordinator-1', role: 'coordinator', natsKey: key });
    expect(natsUsers({ agents: [] }, `[${entry}]`)).toContain(`{ nkey: ${key}, permissions`);
  });

  it.each([
    [['--role', 'coordinator'], '--name: lower-case'],
    [['--name', 'x'], '--role: one of coordinator,'],
    [['--name', 'x', '--role', 'agent'], '--role: one of coordinator,'],
  ])('%j is refused', async (args, why) => {
    expect(await run('seed', ...args)).toBe(2);
    expect([err[0], out]).toEqual([expect.stringContaining(why), []]);
  });
});
