/** What a coordinator lives through: parts that go and come back, a changed configuration, its end. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { Decision } from '@mecai/proto';
import { encodeVoucherRequest } from '@mecai/voucher';
import { testCertificate } from '@mecai/voucher/testing';
import { describe, expect, it, vi } from 'vitest';
import { testRegistry } from './testing/agents.ts';
import { chainOf, keyPemOf, pemOf } from './testing/chains.ts';
import {
  ask,
  configFile,
  coordinatorScene,
  good,
  leaf,
  ready,
  readyz,
  scene,
  status,
  write,
} from './testing/coordinator.ts';
import { call } from './testing/https.ts';
import { coordinatorName } from './testing/nats.ts';
import { TestSigner } from './testing/signer.ts';
import { startSignerServer } from './testing/signer-server.ts';

coordinatorScene();
vi.setConfig({ testTimeout: 90_000 });

describe('a coordinator', () => {
  it('follows a signer that comes back with another policy', async () => {
    const url = await ready();
    expect((await ask(url)).result.status).toBe('issued');
    scene.server.kill();
    await vi.waitUntil(async () => (await readyz()).status === 503, { timeout: 60_000 });
    expect((await ask(url)).result.detail).toBe('the signer cannot be reached');
    scene.signer = new TestSigner(testRegistry(), { ...scene.signer.policy, minRegions: 1 });
    scene.server = await startSignerServer(scene.signer, scene.files.signer.pem, scene.server.port);
    await vi.waitUntil(async () => (await readyz()).status === 200, { timeout: 60_000 });
    expect(await status()).toMatchObject({ policy: { minRegions: 1 } });
    await vi.waitUntil(async () => (await ask(url)).result.status === 'issued', { timeout: 60_000 });
  });

  it('nats.silentMs: gives up a NATS server that says nothing', async () => {
    const { server } = scene.nats;
    const seedFile = scene.nats.seedFile(coordinatorName);
    await ready({ nats: { servers: [server.url], seedFile, silentMs: 300 } });
    server.pause();
    await vi.waitUntil(async () => (await readyz()).status === 503, { timeout: 60_000 });
    server.resume();
    await vi.waitUntil(async () => (await readyz()).status === 200, { timeout: 60_000 });
  });

  it.each([
    [90_000, 2],
    [0, 1],
  ])('nats.keepStored.ms %i: what another leader is offered', async (ms, stored) => {
    const { server, jsm } = scene.nats;
    const seedFile = scene.nats.seedFile(coordinatorName);
    await jsm.streams.purge('RECORDS');
    const url = await ready({ nats: { servers: [server.url], seedFile, keepStored: { ms } } });
    expect((await ask(url)).result.status).toBe('issued');
    // Who has none of what was acknowledged.
    await jsm.streams.delete('RECORDS');
    await server.stop();
    await vi.waitUntil(async () => (await readyz()).status === 503, { timeout: 60_000 });
    await server.restart();
    await vi.waitUntil(async () => (await ask(url)).result.status === 'issued', {
      timeout: 60_000,
      interval: 100,
    });
    await vi.waitUntil(
      async () => {
        const records = await scene.nats.stored('RECORDS', 'mecai.decision.');
        return records.filter((bytes) => Decision.decode(bytes).status === 'issued').length >= stored;
      },
      { timeout: 60_000 },
    );
    const records = await scene.nats.stored('RECORDS', 'mecai.decision.');
    expect(records.filter((bytes) => Decision.decode(bytes).status === 'issued')).toHaveLength(stored);
  });

  it('says at once that NATS is away, makes lost streams anew, and stops without NATS', async () => {
    const url = await ready();
    await scene.nats.jsm.streams.delete('RECORDS');
    await scene.nats.server.stop();
    await vi.waitUntil(async () => (await readyz()).status === 503, { timeout: 60_000 });
    const drawn = scene.signer.draws.length;
    const away = await ask(url);
    expect([away.status, away.result.detail]).toEqual([
      503,
      'the perspectives cannot be asked: NATS is away',
    ]);
    expect(away.result.leaf).toEqual(createHash('sha256').update(leaf.der).digest());
    expect(scene.signer.draws).toHaveLength(drawn);
    await scene.nats.server.restart();
    await vi.waitUntil(async () => (await ask(url)).result.status === 'issued', {
      timeout: 60_000,
      interval: 100,
    });
    await scene.nats.server.stop();
    await vi.waitUntil(async () => (await readyz()).status === 503, { timeout: 60_000 });
    await scene.running!.stop();
    scene.running = undefined;
    await scene.nats.server.restart();
    await vi.waitUntil(
      () =>
        scene.nats.jsm.streams.info('RECORDS').then(
          () => true,
          () => false,
        ),
      { timeout: 60_000 },
    );
  });

  it('that is stopped finishes what it has begun, stragglers included', async () => {
    scene.silentAgents = new Set(['perth', 'tokyo', 'denver']);
    const url = await ready({ probe: { timeoutMs: 5_000, graceMs: 5_000 } });
    const before = (await scene.nats.stored('RECORDS', 'mecai.mismatch.')).length;
    const first = ask(url);
    await vi.waitUntil(() => scene.signer.draws.length === 1, { timeout: 60_000 });
    const stopped = scene.running!.stop();
    scene.running = undefined;
    const [, , , denver, tokyo, perth] = scene.agents;
    const nonce = scene.signer.draws[0]!.drawn.nonce;
    const task = () => denver!.tasks.find((one) => Buffer.compare(one.nonce, nonce) === 0);
    await vi.waitUntil(() => task(), { timeout: 60_000 });
    denver!.answer(task()!, chainOf(leaf));
    expect((await first).result.status).toBe('issued');
    tokyo!.answer(task()!, chainOf(leaf));
    perth!.answer(task()!, [leaf.der]);
    await stopped;
    expect(await scene.nats.stored('RECORDS', 'mecai.mismatch.')).toHaveLength(before + 1);
  });
});

describe('a reload', () => {
  const limits = (burst: number) => ({ limits: { global: { perMinute: 1, burst } } });
  /** With these members instead. */
  const reload = (changes: Record<string, unknown>) => {
    configFile(changes);
    return scene.running!.reload!();
  };

  it('changes limits, holds and key proofs at once', async () => {
    const url = await ready(limits(1));
    expect((await ask(url)).status).toBe(200);
    expect((await ask(url)).status).toBe(429);
    expect(await reload({})).toEqual(['limits.global.perMinute', 'limits.global.burst']);
    expect((await ask(url)).result.status).toBe('issued');
    expect(await reload({ requireKeyProof: true })).toEqual(['requireKeyProof']);
    expect((await ask(url)).status).toBe(403);
    expect(await reload({ certificateLog: { hold: { maxMs: 3_600_000 } } })).toEqual([
      'certificateLog.hold.maxMs',
      'requireKeyProof',
    ]);
    const another = { ipv4: Uint8Array.of(45, 90, 1, 9) };
    // Cleared already: a hold that comes later is for what comes later.
    expect((await ask(url, another)).result.status).toBe('issued');
  });

  it('serves a renewed HTTPS certificate, to those who connect from then on', async () => {
    const url = new URL(await ready());
    const shown = async () => {
      const socket = connect({ host: url.hostname, port: Number(url.port), rejectUnauthorized: false });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      const { raw } = socket.getPeerX509Certificate()!;
      socket.destroy();
      return raw;
    };
    const renewed = testCertificate({ subject: 'localhost', dnsNames: ['localhost'], serial: 99 });
    const before = await shown();
    write('renewed.pem', pemOf(renewed));
    write('renewed.key', keyPemOf(renewed));
    const tls = { certificate: 'renewed.pem', key: 'renewed.key' };
    expect(await reload({ tls })).toEqual(['tls.certificate', 'tls.key']);
    expect(await shown()).toEqual(Buffer.from(renewed.der));
    expect(before).not.toEqual(Buffer.from(renewed.der));
    // A key of another certificate: the good one stays.
    await expect(
      reload({ tls: { certificate: 'renewed.pem', key: scene.files.tls.key } }),
    ).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringMatching(/renewed\.pem with .*: .*key/i),
    });
    await expect(reload({ tls: { certificate: 'renewed.pem', key: 'nowhere.key' } })).rejects.toMatchObject({
      code: 'unreadable-file',
      message: expect.stringMatching(/cannot read .*nowhere\.key/),
    });
    expect(await shown()).toEqual(Buffer.from(renewed.der));
  });

  it('names what cannot change, and what is wrong and where; all goes on as it was', async () => {
    const url = await ready(limits(5));
    await expect(
      reload({ ...limits(1), name: 'coordinator-9', registry: 'five.json' }),
    ).rejects.toMatchObject({
      code: 'needs-restart',
      message: 'cannot change while it runs: name, registry; restart it',
    });
    const file = configFile({});
    writeFileSync(file, '{\n "limits": {\n "global": 7 } }');
    await expect(scene.running!.reload!()).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringMatching(/limits\.global: .*expected object, received number, in line 3$/m),
    });
    expect([(await ask(url)).status, (await ask(url)).status]).toEqual([200, 200]);
  });
});

describe('a coordinator that stops', () => {
  it('says so first, serves on for a while, and closes connections answer by answer', async () => {
    const url = await ready({ lameDuckMs: 6_000 });
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    const body = encodeVoucherRequest(good);
    const request = () => call(url, { body, agent });
    expect((await request()).headers['connection']).toBe('keep-alive');
    const stopped = scene.running!.stop();
    const answer = await readyz();
    expect([answer.status, await answer.json()]).toEqual([503, { ready: false, missing: ['stopping'] }]);
    const { status: code, headers } = await request();
    expect([code, headers['connection']]).toEqual([200, 'close']);
    agent.destroy();
    await stopped;
    scene.running = undefined;
    await expect(request()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
