/** `mecai-admin distrust` with several signers: at all of them, or it says where not. */
import { Svid } from '@mecai/runtime';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import type { SignerService } from './service.ts';
import { serveWorld, tlsOf } from './testing/serve.ts';
import { createWorld, type World } from './testing/world.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-everywhere-'));
afterAll(() => rmSync(directory, { recursive: true }));
const write = (name: string, text: string | Buffer) => {
  writeFileSync(join(directory, name), text, { mode: 0o600 });
  return join(directory, name);
};
const operator = 'spiffe://mecai.test/operator';
const idOf = (name: string) => `spiffe://mecai.test/${name}`;
const { certificate, key, ca } = tlsOf(operator);
const operatorTls = {
  certificate: write('operator.pem', certificate),
  key: write('operator.key', key),
  ca: write('ca.pem', ca),
};

interface Signer {
  readonly name: string;
  readonly world: World;
  readonly service: SignerService;
}
const running: Signer[] = [];
afterEach(async () => {
  for (const { service } of running.splice(0)) await service.close();
});

async function start(name: string, world = createWorld(), port = 0): Promise<Signer> {
  const listen = `127.0.0.1:${port}`;
  const service = await serveWorld(world, {
    listen,
    credentials: Svid.fixed(tlsOf(idOf(name))).serverCredentials(),
    terms: () => ({
      coordinators: [],
      operators: [operator],
      issuance: world.issuance,
      crlOctets: 1_048_576,
    }),
  });
  const signer = { name, world, service };
  running.push(signer);
  return signer;
}

const why = ['--reason', 'key on sale', '--author', 'Ada', '--json'];
const script = join(import.meta.dirname, '../../admin/src/main.ts');
async function distrust(signers: readonly Signer[], ...args: string[]) {
  const list = signers.map(({ name, service }) => ({
    address: `127.0.0.1:${service.port}`,
    id: idOf(name),
    tls: operatorTls,
  }));
  const config = write('admin.json', JSON.stringify({ signers: list }));
  return new Promise<{ code: number; err: string; records: { id: string; absent?: string[] }[] }>(
    (resolve) => {
      execFile(process.execPath, [script, 'distrust', ...args, '--config', config], (error, out, err) =>
        resolve({
          code: error ? Number(error.code) : 0,
          err,
          records: out
            .split('\n')
            .filter((line) => line !== '')
            .map((line): { id: string } => JSON.parse(line)),
        }),
      );
    },
  );
}
const inForce = ({ world }: Signer) => world.distrust.inForce(world.time).map(({ id }) => id);

it('one entry at all of them, lifted by one command', async () => {
  const signers = [await start('one'), await start('two')];
  const { code, records } = await distrust(signers, 'add', '--operator', 'Broken', ...why);
  expect(code).toBe(0);
  const [{ id }] = records as [{ id: string }];
  expect(signers.map(inForce)).toEqual([[id], [id]]);
  expect((await distrust(signers, 'list', '--json')).records).toMatchObject([{ id }]);
  expect((await distrust(signers, 'lift', id, ...why)).code).toBe(0);
  expect(signers.map(inForce)).toEqual([[], []]);
});

it('one that does not answer is named, and gets the entry when the command is given again', async () => {
  const one = await start('one');
  const two = await start('two');
  await two.service.close();
  const first = await distrust([one, two], 'add', '--operator', 'Broken', ...why);
  expect(first.code).toBe(1);
  const [{ id }] = first.records as [{ id: string }];
  expect(inForce(one)).toEqual([id]);
  expect(first.err).toContain(`done at 1 of 2 signers only, give the command again with --id ${id}`);
  expect(first.err).toContain(`127.0.0.1:${two.service.port}: 14 UNAVAILABLE`);

  const back = await start('two', two.world, two.service.port);
  const list = await distrust([one, back], 'list', '--json');
  expect(list.records).toMatchObject([{ id, absent: [`127.0.0.1:${two.service.port}`] }]);
  expect((await distrust([one, back], 'add', '--operator', 'Broken', '--id', id, ...why)).code).toBe(0);
  expect([one, back].map(inForce)).toEqual([[id], [id]]);
  // Not set twice where it stood already.
  expect(one.world.records.filter(({ event }) => event === 'distrust-set')).toHaveLength(1);
  // Another entry under the same id is none.
  const other = await distrust([one, back], 'add', '--operator', 'Other', '--id', id, ...why);
  expect([other.code, other.err]).toEqual([2, expect.stringContaining('is there already')]);
});
