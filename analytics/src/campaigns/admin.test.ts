import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Served, serve } from '../testing/served.ts';

const main = join(import.meta.dirname, '../../../admin/src/main.ts');
let served: Served;
let config: string;

beforeAll(async () => {
  served = await serve();
  const tokenFile = join(served.directory, 'admin.token');
  writeFileSync(tokenFile, served.token('read', 'operate'));
  config = join(served.directory, 'admin.json');
  writeFileSync(config, JSON.stringify({ analytics: { url: served.url, tokenFile } }));
});
afterAll(() => served.close());

/** `mecai-admin` as a process of its own. */
const run = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
const campaign = (...args: string[]) => run('campaign', ...args, '--config', config);

describe('mecai-admin campaign', () => {
  it('orders, lists, shows and stops', async () => {
    const issuer = 'CN=Other Trust Server CA,O=Other Trust,C=US';
    const ordered = await campaign(
      'order',
      '--json',
      '--name',
      'still served?',
      '--issuer',
      issuer,
      '--rounds',
      '2',
    );
    const { id, endpoints, rounds } = JSON.parse(ordered.stdout) as {
      id: string;
      endpoints: number;
      rounds: number;
    };
    expect([ordered.code, endpoints, rounds]).toEqual([0, 25, 2]);
    expect((await campaign('list', '--state', 'running')).stdout).toContain(`${id}  running  still served?`);
    const shown = await campaign('show', id);
    expect(shown.stdout).toContain('25 waiting');
    expect(shown.stdout.split('\n').filter((line) => line.startsWith('waiting'))).toHaveLength(25);
    expect((await campaign('stop', id)).stdout).toContain(`${id}  stopped`);
  });

  it.each([
    [['order', '--name', 'x'], 'one of --issuer'],
    [['order', '--name', 'x', '--certificate', 'ab'], '64 hexadecimal digits'],
    [['order', '--name', 'x', '--vouchers', '--rate', '0'], '--rate: a number'],
  ])('refuses %j', async (args, why) => {
    const { code, stderr } = await campaign(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
  });
});

describe('mecai-admin token', () => {
  it('makes one that opens what its entry says', async () => {
    const { stdout } = await run('token', '--name', 'alice', '--scopes', 'read,sql', '--rate', '30');
    const [token = '', entry = ''] = stdout.split('\n');
    const sha256 = createHash('sha256').update(token).digest('hex');
    expect(JSON.parse(entry)).toEqual({
      name: 'alice',
      sha256,
      scopes: ['read', 'sql'],
      requestsPerMinute: 30,
    });
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
  });

  it.each([[['--name', 'a', '--scopes', 'all'], '--scopes']])('refuses %j', async (args, why) => {
    const { code, stderr } = await run('token', ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
  });
});
