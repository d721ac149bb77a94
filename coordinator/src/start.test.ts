import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { ClientReport, Decision } from '@mecai/proto';
import { type VoucherRequest, decodeRenewalInformation, encodeVoucherRequest } from '@mecai/voucher';
import { describe, expect, it, vi } from 'vitest';
import { names, registryText, sixAgents } from './testing/agents.ts';
import { chainOf } from './testing/chains.ts';
import {
  admin,
  ask,
  brief,
  coordinatorScene,
  good,
  https,
  leaf,
  lines,
  ready,
  readyz,
  scene,
  signerId,
  start,
  status,
} from './testing/coordinator.ts';
import { call, json } from './testing/https.ts';
import { coordinatorName } from './testing/nats.ts';

coordinatorScene();
const twin = { address: '127.0.0.1:1', id: signerId, tls: { certificate: 'c', key: 'k', ca: 'a' } };
const took = async (act: () => Promise<unknown>) => {
  const begun = performance.now();
  await act();
  return performance.now() - begun;
};

describe('configuration', () => {
  it('puts the database where it says, and without a word into a file beside itself', async () => {
    await ready({ database: { engine: 'sqlite', file: 'elsewhere/log.sqlite' } });
    expect(existsSync(join(scene.nats.directory, 'elsewhere/log.sqlite'))).toBe(true);
    await scene.running!.stop();
    await ready({ database: undefined });
    expect(existsSync(join(scene.nats.directory, 'coordinator.sqlite'))).toBe(true);
  });

  it('name: whose answers are heard, and who is on record', async () => {
    const url = await ready();
    expect((await ask(url)).result.status).toBe('issued');
    expect(scene.agents[0]!.tasks.at(-1)!.coordinator).toBe(coordinatorName);
    const [record] = (await scene.nats.stored('RECORDS')).slice(-1);
    expect(Decision.decode(record!).coordinator).toBe(coordinatorName);
    expect(await status()).toMatchObject({ name: coordinatorName });
  });

  it('listen, tls: what requesters meet', async () => {
    const url = new URL(await start({ listen: '[::1]:0' }));
    expect(url.hostname).toBe('[::1]');
    const socket = connect({ host: '::1', port: Number(url.port), rejectUnauthorized: false });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    expect(socket.getPeerX509Certificate()!.raw).toEqual(Buffer.from(https.der));
    socket.destroy();
  });

  it('admin: where operators look', async () => {
    await start({ admin: '127.0.0.2:0' });
    expect(scene.running!.ready['admin']).toMatch(/^http:\/\/127\.0\.0\.2:/);
    expect(await (await admin('/healthz')).json()).toEqual({ alive: true });
  });

  it('nats: where and as whom', async () => {
    await start({
      nats: { servers: ['nats://127.0.0.1:1'], seedFile: scene.nats.seedFile(coordinatorName) },
    });
    await vi.waitUntil(() => lines.some(({ message }) => message === 'NATS: not yet'), { timeout: 60_000 });
    await scene.running!.stop();
    lines.length = 0;
    await start({ nats: { servers: [scene.nats.server.url], seedFile: scene.nats.seedFile('oslo') } });
    await vi.waitUntil(() => lines.some(({ message }) => message === 'NATS: not yet'), { timeout: 60_000 });
  });

  it('signer: where, and only the one with the right identity', async () => {
    const { address, tls } = { address: `127.0.0.1:${scene.server.port}`, tls: scene.files.coordinator };
    const url = await start({ signers: [{ address, id: 'spiffe://mecai.test/other', tls }] });
    await vi.waitUntil(() => lines.some(({ message }) => message === 'signer: not yet'), { timeout: 60_000 });
    await vi.waitUntil(async () => (await ask(url)).result.detail === 'the signer has not been reached yet', {
      timeout: 60_000,
    });
    expect(await (await readyz()).json()).toEqual({ ready: false, missing: ['signer'] });
  });

  it('registry: who is known until the signer tells', async () => {
    writeFileSync(join(scene.nats.directory, 'five.json'), registryText(sixAgents.slice(0, 5)));
    const url = await ready({ registry: 'five.json' });
    const { result } = await ask(url);
    expect([result.status, result.perspectives.length]).toEqual(['issued', 5]);
    scene.server.updateRegistry('not a registry');
    scene.server.updateRegistry(registryText(sixAgents).replace('"version":1', '"version":2'));
    await vi.waitUntil(async () => (await ask(url)).result.perspectives.length === 6, { timeout: 60_000 });
    const known = lines.filter(({ message }) => message.includes('registry') && !message.startsWith('drawn'));
    expect(known.map(({ level }) => level)).toEqual(['error', 'info']);
    expect(known[1]!.members).toMatchObject({ before: 1, version: 2, agents: 6 });
  });

  it('probe.timeoutMs and probe.transitMs: how long an answer is waited for', async () => {
    scene.silentAgents = new Set(names);
    const url = await ready({ probe: { ...brief, timeoutMs: 200, transitMs: 0 } });
    const short = await took(() => ask(url));
    expect(scene.agents[0]!.tasks.at(-1)!.timeoutMs).toBe(200);
    await scene.running!.stop();
    const longer = await ready({ probe: { ...brief, timeoutMs: 200, transitMs: 600 } });
    const long = await took(() => ask(longer));
    expect(short).toBeGreaterThan(190);
    expect(long - short).toBeGreaterThan(400);
  });

  it('probe.graceMs: how long stragglers are listened to', async () => {
    scene.silentAgents = new Set(['tokyo', 'perth']);
    const url = await ready({ probe: { graceMs: 60_000 } });
    await ask(url);
    expect(await status()).toMatchObject({ listening: 1, requestsInFlight: 0 });
    for (const late of scene.agents.slice(4)) late.answer(late.tasks.at(-1)!, chainOf(leaf));
    await vi.waitUntil(async () => (await status())['listening'] === 0, { timeout: 60_000 });
  });

  it('probe.absentAfterMs: when an agent counts as absent', async () => {
    scene.silentAgents = new Set(names.slice(0, 3));
    const url = await ready({ probe: { ...brief, timeoutMs: 1_500, absentAfterMs: 1_000 } });
    await vi.waitUntil(
      async () => {
        for (const agent of scene.agents.slice(3)) agent.sayAlive();
        return (await ask(url)).result.detail?.includes('agent-absent');
      },
      { timeout: 60_000, interval: 50 },
    );
  });

  const one = { perMinute: 1, burst: 1 };
  const limits: readonly (readonly [string, object, Partial<VoucherRequest>, typeof leaf | undefined])[] = [
    ['authenticated', { authenticated: one }, { ipv4: Uint8Array.of(45, 90, 1, 2) }, leaf],
    ['unauthenticated', { unauthenticated: one }, { ipv4: Uint8Array.of(45, 90, 1, 2) }, undefined],
    ['target', { target: one }, {}, undefined],
    ['global', { global: one }, { ipv4: Uint8Array.of(45, 90, 1, 2) }, leaf],
  ];
  it.each(limits)('limits.%s: who is told to wait', async (_, changed, second, cert) => {
    const url = await ready({ limits: changed });
    expect((await ask(url, {}, cert)).status).toBe(200);
    const { status: code, headers } = await ask(url, second, cert);
    expect([code, headers['retry-after']]).toEqual([429, '60']);
    expect(scene.signer.draws).toHaveLength(1);
  });

  it('limits.reports: how many reports of clients', async () => {
    const base = await ready({ limits: { reports: { perMinute: 1, burst: 1 } } });
    const statistics = { day: '2026-11-01', counts: [{ code: 'accepted', checks: 7 }] };
    const report = () =>
      call(base.replace(/vrp$/, 'vrp/statistics'), {
        headers: json,
        body: JSON.stringify(statistics),
      });
    expect((await report()).status).toBe(202);
    const told = await report();
    expect(told.status).toBe(429);
    expect(Number(told.headers['retry-after'])).toBeGreaterThan(0);
    await vi.waitFor(
      async () => {
        const stored = (await scene.nats.stored('RECORDS', 'mecai.report.')).map((bytes) =>
          ClientReport.decode(bytes),
        );
        expect(stored.map(({ coordinator, content }) => [coordinator, content?.$case])).toEqual([
          [coordinatorName, 'statistics'],
        ]);
      },
      { timeout: 60_000 },
    );
  });

  it('limits.inFlight: how many at once', async () => {
    scene.silentAgents = new Set(names);
    const url = await ready({ limits: { inFlight: 1 }, probe: { ...brief, timeoutMs: 1_000 } });
    const first = ask(url);
    await vi.waitUntil(() => scene.signer.draws.length === 1, { timeout: 60_000 });
    const second = await call(url, { body: encodeVoucherRequest(good) });
    expect([second.status, second.json()['title']]).toEqual([503, 'Busy']);
    await first;
  });

  it('renewal: what the signer wants renewed early, how soon, and when to ask again', async () => {
    const url = await ready({ renewal: { pollSeconds: 77, windowSeconds: 60, askSignerMs: 100 } });
    const asked = async () => {
      const { headers, body } = await call(`${url}/renewal`, { method: 'GET' });
      return { wait: headers['retry-after'], ...decodeRenewalInformation(body) };
    };
    expect(await asked()).toEqual({ wait: '77', entries: [] });
    const issuer = createHash('sha256').update('issuer').digest();
    scene.server.renewals = [
      { producedBefore: 1_800_000_000_001, about: { $case: 'issuer', issuer } },
      { producedBefore: 1_700_000_000_000, about: undefined },
    ];
    await vi.waitUntil(async () => (await asked()).entries.length === 2, { timeout: 60_000, interval: 50 });
    const at = (seconds: number) => new Date(seconds * 1_000);
    expect((await asked()).entries).toEqual([
      {
        producedBefore: at(1_800_000_001),
        about: { selector: 'issuer', sha256: issuer },
        start: at(1_800_000_001),
        end: at(1_800_000_061),
      },
      { producedBefore: at(1_700_000_000), start: at(1_700_000_000), end: at(1_700_000_060) },
    ]);
  });

  it('requireKeyProof: whether others are served', async () => {
    const url = await ready({ requireKeyProof: true });
    expect((await ask(url)).status).toBe(403);
    expect((await ask(url, {}, leaf)).status).toBe(200);
  });

  it('allowedTargets: what may be probed although it is special', async () => {
    const loopback = { ipv4: Uint8Array.of(127, 0, 0, 1) };
    expect((await ask(await ready(), loopback)).status).toBe(403);
    await scene.running!.stop();
    expect((await ask(await ready({ allowedTargets: ['127.0.0.0/8'] }), loopback)).status).toBe(200);
  });

  it('the environment comes before the file', async () => {
    const url = await ready({}, { MECAI_REQUIRE_KEY_PROOF: 'true' });
    expect((await ask(url)).status).toBe(403);
  });

  it.each([
    ['an unknown member', { hurry: true }, 'hurry'],
    ['a name of two tokens', { name: 'a.b' }, 'name'],
    ['two signers of one id', { signers: [twin, twin] }, 'signers'],
    [
      'two replicas',
      { nats: { servers: ['nats://a:1'], seedFile: 's', streamReplicas: 2 } },
      'nats.streamReplicas',
    ],
    ['a prefix with host bits', { allowedTargets: ['10.0.0.1/8'] }, 'allowedTargets.0'],
    ['no time for a probe', { probe: { timeoutMs: 0 } }, 'probe.timeoutMs'],
    ['a bucket of nothing', { limits: { global: { burst: 0 } } }, 'limits.global.burst'],
    ['a listener without a port', { listen: 'localhost' }, 'listen'],
  ])('%s is named', async (_, changes, member) => {
    const failed = start(changes);
    await expect(failed).rejects.toMatchObject({ code: 'bad-configuration' });
    await expect(failed).rejects.toThrow(member);
  });
});
