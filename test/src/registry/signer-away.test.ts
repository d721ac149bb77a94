import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@mecai/addresses/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ManagedProcess, eightCities, startProcess } from '../network/index.ts';
import { Asker } from '../trust/asker.ts';

const repository = join(import.meta.dirname, '../../..');

describe('with two signers', () => {
  let asker: Asker;
  let second: ManagedProcess;
  const at = (name: string) => join(asker.network.directory, name);
  const config = (name: string) => JSON.parse(readFileSync(at(name), 'utf8')) as Record<string, unknown>;
  const agents = (...args: string[]) => {
    const script = join(repository, 'admin/src/main.ts');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, 'agents', ...args, '--config', at('two.json')],
      { encoding: 'utf8' },
    );
    return { status, stdout, stderr };
  };
  const signed = (...args: string[]) =>
    agents(...args, '--key', asker.network.files.registryKey, '--reason', 'test', '--author', 'Kim');

  beforeAll(async () => {
    asker = await Asker.start({ cities: eightCities });
    copyFileSync(at('registry.json'), at('registry-2.json'));
    const own = { listen: `127.0.0.1:${await freePort()}`, auditLog: at('audit-2.jsonl') };
    const file = at('signer-2.json');
    writeFileSync(
      file,
      JSON.stringify({ ...config('signer.json'), ...own, registry: at('registry-2.json') }),
    );
    second = await startProcess({
      name: 'signer-2',
      script: join(repository, 'signer/src/main.ts'),
      args: ['serve', '--config', file],
      logFile: at('logs/signer-2.log'),
      environment: { SOFTHSM2_CONF: at('softhsm2.conf') },
    });
    const { signers, ...rest } = config('admin.json') as { signers: object[] };
    const both = [...signers, { ...signers[0], address: own.listen }];
    writeFileSync(at('two.json'), JSON.stringify({ ...rest, signers: both }));
  }, 120_000);
  afterAll(async () => {
    await second.stop();
    await asker.close();
  });

  const [captured] = eightCities;

  test('one that is away keeps nobody from removing an agent, and gets it from the same command later', async () => {
    expect(agents('list').stdout).toContain('registry 1, 8 agents');
    await second.signal('SIGKILL');
    const removed = signed('remove', captured!.name);
    expect(removed.stdout).toContain('registry 2 is in force at 1 of 2 signers');
    expect(removed.stderr).toMatch(
      /not asked, since it is away: 127[^]*not everywhere, give the command again/,
    );
    expect(removed.status).toBe(1);
    expect(agents('list').stdout).toMatch(/registry 2, 7 agents\n[^]*\n {2}away: 127/);
    expect(JSON.parse(agents('list', '--json').stdout)).toMatchObject({
      version: 2,
      away: [expect.stringMatching(/^127/)],
    });

    await second.restart();
    expect(agents('list').stdout).toMatch(/registry 2, 7 agents\n[^]*\n {2}127.* has registry 1\n/);
    expect(signed('remove', captured!.name)).toEqual({
      status: 0,
      stdout: expect.stringContaining('registry 3 is in force at 2 of 2 signers'),
      stderr: '',
    });
    expect(agents('list').stdout).toMatch(/^registry 3, 7 agents\n/);
    expect(signed('remove', captured!.name)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`${captured!.name} is not in the registry`),
    });
  }, 120_000);

  test('with none at all it says so', async () => {
    await second.signal('SIGKILL');
    await asker.network.signer.signal('SIGKILL');
    expect(agents('list')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/no signer answers: 127.*; 127/),
    });
  }, 120_000);
});
