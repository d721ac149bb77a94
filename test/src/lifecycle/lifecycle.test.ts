/** What operators do to a network that is in service, without a request that fails. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { VoucherVerifier, parseSignedVoucher } from '@mecai/voucher';
import { requestVoucher } from '@mecai/client';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import {
  type Endpoint,
  type ManagedProcess,
  type Network,
  serverCertificate,
  startNetwork,
  startProcess,
  tlsServer,
  vaCertificate,
} from '../network/index.ts';
import { Front, isReady } from './front.ts';

const repository = join(import.meta.dirname, '../../..');
const generous = { perMinute: 100_000_000, burst: 100_000_000 };
const serverName = 'www.example.test';
/** Far above how long the front believes what it was told. */
const lameDuckMs = 6_000;

let directory: string;
let network: Network;
let twin: ManagedProcess;
let endpoint: Endpoint;
let front: Front;
let voucher: () => Promise<Uint8Array>;
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-lifecycle-'));
  network = await startNetwork({
    directory,
    dashboard: true,
    analytics: true,
    signer: { draws: { perEndpoint: 100_000 } },
    coordinator: {
      limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
      probe: { graceMs: 0 },
      renewal: { askSignerMs: 100 },
      lameDuckMs,
    },
  });
  // The same coordinator once more: the ports are the system's to choose.
  twin = await startProcess({
    name: 'twin',
    script: join(repository, 'coordinator/src/main.ts'),
    args: ['--config', at('coordinator.json')],
    logFile: at('logs/twin.log'),
  });
  const { webIntermediate } = network.pki;
  const chain = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
  endpoint = await tlsServer(chain, '127.0.0.80');
  const request = {
    ipv4: Uint8Array.of(127, 0, 0, 80),
    port: endpoint.port,
    serverName,
    chains: [chain.map(({ der }) => der)],
  };
  const ca = readFileSync(network.files.httpsCa, 'utf8');
  front = new Front([network.coordinator, twin], request, ca);
  voucher = async () => {
    const { results } = await requestVoucher(network.coordinator.ready['vrp']!, request, { ca });
    const [result] = results;
    return result && 'voucher' in result && result.voucher ? result.voucher : expect.fail(result?.detail);
  };
  await front.more(10);
}, 240_000);
afterAll(async () => {
  await front.stop();
  await twin.stop();
  await network.stop();
  await endpoint.close();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** What a machine with much other work does to a request; nothing that a restart does. */
const tooSlow = /did not answer in time|timeout-|had not answered yet/;

/** Everything that was asked while this went on came to a voucher. */
async function withoutLoss(act: () => Promise<void>, least: number): Promise<void> {
  const from = front.endings.length;
  await act();
  await front.more(least);
  const endings = front.endings.slice(from).filter((one) => !tooSlow.test(one));
  expect(new Set(endings)).toEqual(new Set(['issued']));
}

it('coordinators restart one after the other', async () => {
  await withoutLoss(async () => {
    for (const { process } of front.coordinators) {
      const before = process.pid;
      await process.restart();
      expect(process.pid).not.toBe(before);
      await vi.waitUntil(() => front.coordinators.every(isReady), { timeout: 60_000 });
      await front.more(5);
    }
  }, 10);
}, 240_000);

it('agents restart one after the other', async () => {
  await withoutLoss(async () => {
    for (const agent of [...network.agents.values()].slice(0, 2)) {
      await agent.restart();
      await front.more(5);
    }
  }, 20);
}, 240_000);

it('every process reads its configuration again, and keeps the old one when the new one is wrong', async () => {
  const [agent] = network.agents.values();
  const { coordinator, signer, analytics, campaigns } = network;
  const all: [ManagedProcess, string, object][] = [
    [coordinator, 'coordinator.json', { requireKeyProof: false, renewal: { askSignerMs: 100 } }],
    [signer, 'signer.json', { voucherLifetimeSeconds: 7_200 }],
    [agent!, `${agent!.name}.json`, { probe: { inFlight: 77 } }],
    [analytics!, 'analytics.json', { matchesStored: 0.5 }],
    [campaigns!, 'campaigns.json', { maxPerMinute: 77 }],
  ];
  await withoutLoss(async () => {
    for (const [process, file, change] of all) {
      const before = readFileSync(at(file), 'utf8');
      const with_ = (changes: object) =>
        writeFileSync(at(file), JSON.stringify({ ...JSON.parse(before), ...changes }, undefined, 1));
      with_({ logLevel: 'debug', ...(process === coordinator ? {} : change) });
      expect(await process.reload(), file).toMatchObject({ msg: 'configuration reloaded' });
      with_({ logLevel: 'loud' });
      expect((await process.reload()).msg).toMatch(/^not reloaded: .*\.json:\n +logLevel: .*, in line \d+$/);
      with_({ admin: '127.0.0.1:1' });
      expect((await process.reload()).msg).toMatch(/cannot change while it runs: .*admin/);
      writeFileSync(at(file), before);
      expect(await process.reload()).toMatchObject({ msg: 'configuration reloaded' });
      expect(await process.reload()).toMatchObject({ msg: 'configuration reloaded', changed: [] });
    }
  }, 10);
}, 240_000);

it('another VA key and certificate take over; vouchers of both are good, and carry their VA’s status', async () => {
  const signerJson = JSON.parse(readFileSync(at('signer.json'), 'utf8')) as { hsm: object };
  const configure = (changes: object) =>
    writeFileSync(at('signer.json'), JSON.stringify({ ...signerJson, ...changes }));
  // Not synchronously: the server that agents look at is in this process.
  const ceremony = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      [join(repository, 'signer/src/main.ts'), ...args, '--config', at('signer.json')],
      { env: { ...process.env, SOFTHSM2_CONF: at('softhsm2.conf') } },
    );
  const verifier = new VoucherVerifier({ roots: [network.pki.vaRoot.der] });
  const good = (one: Uint8Array) => verifier.verify(one, new Date());
  const signedBy = (one: Uint8Array) => Buffer.from(parseSignedVoucher(one).vaCertificate).toString('hex');
  const old = await voucher();
  const nextVa = { key: 'va-2', certificate: at('va-2-chain.pem') };
  await withoutLoss(async () => {
    configure({ nextVa });
    await ceremony('keygen', '--next');
    await ceremony('csr', '--next', '--subject', 'CN=Second Opinion VA', '--out', at('va-2.csr'));
    writeFileSync(at('va-2.pem'), vaCertificate(network.pki.vaRoot, at('va-2.csr')));
    await ceremony('install-certificate', '--next', '--certificate', at('va-2.pem'));
    expect(await network.signer.reload()).toMatchObject({ changed: ['nextVa'] });
    await front.more(20);
    configure({ hsm: { ...signerJson.hsm, key: 'va-2' }, vaCertificate: nextVa.certificate });
    const { changed } = await network.signer.reload();
    expect(changed?.toSorted()).toEqual(['hsm.key', 'nextVa', 'vaCertificate']);
  }, 30);
  // Coordinators bring what there is about the new certificate, before it signs if they are given a moment.
  await expect
    .poll(async () => parseSignedVoucher(await voucher()).revocation.length, {
      timeout: 60_000,
      interval: 100,
    })
    .toBe(1);
  const fresh = await voucher();
  expect(signedBy(fresh)).not.toBe(signedBy(old));
  for (const one of [old, fresh]) expect(() => good(one)).not.toThrow();
}, 240_000);
