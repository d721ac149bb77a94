/** Runbooks of what happens to a network: databases down, a flood of requests, an HSM that is gone. All parts are real. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startClickHouse } from '@mecai/analytics/clickhouse-server';
import { openDatabase } from '@mecai/database';
import { type PostgresServer, startPostgres } from '@mecai/database/postgres-server';
import { inboxPrefix, streams } from '@mecai/proto';
import { freePort } from '@mecai/addresses/testing';
import { type Network, startNetwork, vaCertificate } from '@mecai/test/network';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Answer, Requester, type Site, inParallel } from './testing/requester.ts';
import { Runbooks } from './testing/runbooks.ts';

const generous = { perMinute: 1_000_000, burst: 1_000_000 };
const patience = { timeout: 90_000, interval: 100 };
const stops: (() => unknown)[] = [];
let postgres: PostgresServer;
let databaseConfig: Awaited<ReturnType<PostgresServer['fresh']>>;
let clickhouse: Awaited<ReturnType<typeof startClickHouse>>;
let network: Network;
let runbooks: Runbooks;
let requester: Requester;
let site: Site;
const ask: Requester['ask'] = (...args) => requester.ask(...args);

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-trouble-'));
  stops.push(() => rmSync(directory, { recursive: true, force: true }));
  postgres = await startPostgres();
  stops.push(() => postgres.stop());
  databaseConfig = await postgres.fresh();
  clickhouse = await startClickHouse(join(directory, 'clickhouse'));
  stops.push(() => clickhouse.child.kill('SIGKILL'));
  network = await startNetwork({
    directory,
    analytics: {
      store: { kind: 'server', url: `http://127.0.0.1:${clickhouse.port}` },
      redeliverMs: 2_000,
    },
    signer: { listen: `127.0.0.1:${await freePort()}`, draws: { perEndpoint: 100_000 } },
    coordinator: {
      database: databaseConfig,
      probe: { timeoutMs: 8_000, graceMs: 2_000 },
      // All ask about the same servers here.
      limits: { target: generous },
    },
  });
  stops.push(() => network.stop());
  runbooks = new Runbooks(network, {
    COORDINATOR: network.coordinator.ready['admin']!,
    SINK: network.analytics!.ready['admin']!,
  });
  requester = new Requester(network);
  stops.push(() => requester.close());
  site = await requester.open('www.example.test');
}, 180_000);
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop();
}, 60_000);

const untilIssued = (one = site) =>
  expect.poll(async () => (await ask(one)).status, { ...patience, interval: 200 }).toBe('issued');
const median = (values: readonly number[]) =>
  Math.round(values.toSorted((a, b) => a - b)[values.length >> 1]!);
const readyz = async (url: string | undefined) => {
  const response = await fetch(`${url}/readyz`);
  return { code: response.status, ...((await response.json()) as { missing: string[] }) };
};

describe('Postgres down', () => {
  it('is answered clearly, heals without hands, and nothing acknowledged is lost', async () => {
    const [watch] = runbooks.blocks('databases-down');
    expect((await runbooks.run(watch)).out).toContain('"ready":true');
    await untilIssued();
    // First sights, each a commit, while it dies.
    const sites = await inParallel(4, 12, (i) => requester.open(`www.name-${i}.test`));
    const answers: (Answer & { readonly name: string })[] = [];
    const asking = inParallel(3, sites.length, async (i) => {
      const one = sites[i]!;
      answers.push({ ...(await ask(one)), name: one.request.serverName });
    });
    await expect.poll(() => answers.length, patience).toBeGreaterThanOrEqual(3);
    await postgres.kill();
    await asking;
    const statuses = new Set(answers.map(({ status }) => status));
    expect([...statuses].filter((one) => one !== 'issued' && one !== 'inconclusive')).toEqual([]);

    await expect.poll(async () => (await runbooks.run(watch)).out, patience).toContain('"database"');
    const without = await ask(site);
    expect(without.result).toMatchObject({ status: 'inconclusive', retryAfter: 10 });
    expect(without.result!.detail).toMatch(/certificate log/);

    await postgres.restart();
    await expect.poll(async () => (await runbooks.run(watch)).out, patience).toContain('"ready":true');
    for (const one of sites) await untilIssued(one);
    const database = await openDatabase(databaseConfig, Math.random);
    const rows = await database.query(
      `select n.name, count(*) as sights from certificate_event e join certificate_name n on n.sha256 = e.sha256
        where kind = 'first-sight' and n.name like 'www.name-%' group by n.name`,
      [],
    );
    await database.close();
    expect(rows.length).toBe(sites.length);
    for (const { sights } of rows) expect(Number(sights)).toBe(1);
    const acknowledged = answers.filter(({ status }) => status === 'issued').length;
    console.log(`${acknowledged} acknowledged before and while it died, none of them lost`);
  }, 240_000);
});

describe('ClickHouse down', () => {
  it('is not noticed by who asks; what waits in JetStream is stored exactly once', async () => {
    const [, backlog] = runbooks.blocks('databases-down');
    const sink = network.analytics!.ready['admin']!;
    const nats = await connect({
      servers: network.nats.url,
      authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
      inboxPrefix: inboxPrefix('operator'),
    });
    const jsm = await jetstreamManager(nats);
    const published = async () => (await jsm.streams.info(streams.observations.name)).state.last_seq;
    const stored = async () =>
      ((await (await fetch(`${sink}/counts`)).json()) as { observations: number }).observations;
    const before = await inParallel(1, 5, () => ask(site));
    await expect.poll(async () => (await published()) - (await stored()), patience).toBe(0);

    clickhouse.child.kill('SIGKILL');
    const first = await published();
    const during = await inParallel(1, 10, () => ask(site));
    // On a busy machine a perspective may be late; nothing else may come in between.
    expect(during.filter(({ status }) => status !== 'issued' && status !== 'inconclusive')).toEqual([]);
    expect(during.filter(({ status }) => status === 'issued').length).toBeGreaterThan(5);
    await expect.poll(async () => (await published()) - first, patience).toBeGreaterThan(5 * 4);
    await expect
      .poll(async () => {
        const { out } = await runbooks.run(backlog);
        const of = (name: string) =>
          Number(new RegExp(`_${name}\\{stream="observations"\\} (\\d+)`).exec(out)?.[1] ?? 0);
        return of('behind') + of('under_way');
      }, patience)
      .toBeGreaterThan(5 * 4);
    const times = [before, during].map((all) => median(all.map(({ milliseconds }) => milliseconds)));
    console.log(`a voucher took ${times[0]} ms with ClickHouse, ${times[1]} ms without`);

    clickhouse = await startClickHouse(join(network.directory, 'clickhouse'), clickhouse.port);
    await expect.poll(async () => (await published()) - (await stored()), patience).toBe(0);
    expect((await jsm.streams.info(streams.observations.name)).state.messages).toBe(0);
    await nats.close();
  }, 240_000);
});

describe('request flood', () => {
  const residentOf = (pid: number) =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
  const probes = async () => {
    const text = await (await fetch(`${network.agents.get('frankfurt')!.ready['admin']}/metrics`)).text();
    const counts = text.matchAll(/^mecai_probe_duration_seconds_count\{.*\} (\d+)/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  it('of one address: its limit holds, the others get their vouchers, memory stays, readyz too', async () => {
    const [metrics] = runbooks.blocks('request-flood');
    await untilIssued();
    const quiet = await inParallel(1, 5, () => ask(site, '127.0.0.50'));
    const memory = residentOf(network.coordinator.pid);
    const probed = await probes();
    const others: Answer[] = [];
    const ready = new Set<number>();
    const flood = inParallel(16, 800, () => ask(site, '127.0.0.99'));
    const meanwhile = (async () => {
      for (let i = 0; i < 10; i++) {
        others.push(await ask(site, '127.0.0.50'));
        ready.add((await readyz(network.coordinator.ready['admin'])).code);
      }
    })();
    const [answers] = await Promise.all([flood, meanwhile]);
    const count = (status: string) => answers.filter((one) => one.status === status).length;
    expect(count('issued') + count('refused') + count('inconclusive')).toBe(answers.length);
    const refused = answers.filter(({ result }) => result?.status === 'refused');
    expect(new Set(refused.map(({ result }) => result?.reason))).toEqual(new Set(['rate-limited']));
    expect(refused.length).toBeGreaterThan(answers.length / 2);
    expect(others.filter(({ status }) => status !== 'issued' && status !== 'inconclusive')).toEqual([]);
    expect(others.filter(({ status }) => status === 'issued').length).toBeGreaterThan(5);
    expect(ready).toEqual(new Set([200]));
    // One of each agent for each that was let through or was under way, and none for those refused.
    const through = quiet.length + answers.length - refused.length + others.length;
    expect((await probes()) - probed).toBeLessThanOrEqual(through + 5);
    const grown = residentOf(network.coordinator.pid) - memory;
    expect(grown).toBeLessThan(200);
    const { out } = await runbooks.run(metrics);
    expect(Number(/limited_total\{limit="requester"\} (\d+)/.exec(out)?.[1])).toBe(refused.length);
    const times = [quiet, others].map((all) => median(all.map(({ milliseconds }) => milliseconds)));
    console.log(
      `${refused.length} of ${answers.length} refused; others: ${times[0]} ms before, ${times[1]} ms meanwhile; ${Math.round(grown)} MB more`,
    );
  }, 240_000);

  it('of many addresses: the global limit holds; with key proofs required the owners of keys go on', async () => {
    const [, requireProof] = runbooks.blocks('request-flood');
    const before = readFileSync(runbooks.at('coordinator.json'), 'utf8');
    onTestFinished(async () => {
      writeFileSync(runbooks.at('coordinator.json'), before);
      await network.coordinator.reload();
    });
    runbooks.configure('coordinator.json', {
      limits: { global: { perMinute: 60, burst: 20 }, target: generous },
    });
    expect(await network.coordinator.reload()).toMatchObject({ msg: 'configuration reloaded' });
    const flood = await inParallel(16, 300, () => ask(site));
    const reasons = flood.flatMap(({ result }) => result?.detail ?? []);
    expect(reasons.some((one) => /all requesters together/.test(one))).toBe(true);
    expect(flood.filter(({ status }) => status === 'issued').length).toBeLessThan(100);

    const proven = await runbooks.run(requireProof);
    expect([proven.code, proven.err]).toEqual([0, '']);
    expect(await network.coordinator.reload()).toMatchObject({ changed: ['requireKeyProof'] });
    const [strangers] = await Promise.all([
      inParallel(8, 100, () => ask(site)),
      // Tokens come back at one a second: strangers take none of them any more.
      expect
        .poll(async () => (await ask(site, '127.0.0.51', site.key)).status, { ...patience, interval: 1_000 })
        .toBe('issued'),
    ]);
    expect(new Set(strangers.map(({ result }) => result?.reason))).toEqual(new Set(['unauthenticated']));
  }, 240_000);
});

describe('HSM lost', () => {
  const signer = () => readyz(network.signer.ready['admin']);

  it('is told on readyz and by the self-test, costs nobody a wrong answer, and heals by itself', async () => {
    const [selfTest] = runbooks.blocks('hsm-lost');
    expect((await runbooks.run(selfTest)).code).toBe(0);
    const back = () => {
      rmSync(runbooks.at('tokens'), { recursive: true });
      renameSync(runbooks.at('tokens.away'), runbooks.at('tokens'));
    };
    renameSync(runbooks.at('tokens'), runbooks.at('tokens.away'));
    onTestFinished(() => {
      if (existsSync(runbooks.at('tokens.away'))) back();
    });
    mkdirSync(runbooks.at('tokens'));
    await expect
      .poll(async () => (await ask(site)).result, { ...patience, interval: 200 })
      .toMatchObject({ status: 'inconclusive', detail: expect.stringMatching(/HSM does not sign since/) });
    expect((await signer()).missing).toContainEqual(expect.stringMatching(/^the HSM does not sign since /));
    const failed = await runbooks.run(selfTest);
    expect([failed.code, failed.err + failed.out]).toEqual([1, expect.stringMatching(/no token labelled/)]);
    back();
    await untilIssued();
    expect((await signer()).code).toBe(200);
  }, 240_000);

  it('for good: another device, a key ceremony, and the audit log goes on', async () => {
    const [, audit] = runbooks.blocks('hsm-lost');
    const [request, install, verify] = runbooks.blocks('key-ceremony');
    const [, noted = ''] = /SHA-256 ([0-9a-f]{64})/.exec((await runbooks.run(verify)).out) ?? [];
    rmSync(runbooks.at('tokens'), { recursive: true });
    mkdirSync(runbooks.at('tokens'));
    await expect.poll(async () => (await ask(site)).status, patience).toBe('inconclusive');
    const pin = readFileSync(runbooks.at('pin'), 'utf8');
    const device = await runbooks.run(
      'softhsm2-util --init-token --free --label mecai --pin "$PIN" --so-pin "$PIN"',
      { PIN: pin },
    );
    expect(device.code).toBe(0);
    rmSync(runbooks.at('va.csr'), { force: true });
    const made = await runbooks.run(request);
    expect([made.code, made.err]).toEqual([0, expect.stringMatching(/^$|verify OK/)]);
    writeFileSync(runbooks.at('va-chain-new.pem'), vaCertificate(network.pki.vaRoot, runbooks.at('va.csr')));
    const installed = await runbooks.run(install?.replace('/va-chain.pem', '/va-chain-new.pem'));
    expect([installed.code, installed.err]).toEqual([0, '']);
    await network.signer.restart();
    await untilIssued();
    const held = await runbooks.run(audit, { NOTED: noted });
    expect([held.code, held.out]).toEqual([0, expect.stringContaining('the chain holds')]);
    expect(readFileSync(runbooks.at('audit.jsonl'), 'utf8').match(/"va-in-use"/g)!.length).toBeGreaterThan(1);
  }, 240_000);
});
