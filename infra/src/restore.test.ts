/** All that is kept, backed up while requests come in, destroyed, and restored as docs/operate/backup-and-restore.md says. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '@mecai/database';
import { type PostgresServer, startPostgres } from '@mecai/database/postgres-server';
import { inboxPrefix, streams } from '@mecai/proto';
import { freePort } from '@mecai/addresses/testing';
import { type Network, startNetwork } from '@mecai/test/network';
import { parseSignedVoucher } from '@mecai/voucher';
import { jetstream } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Requester, type Site, inParallel } from './testing/requester.ts';
import { Runbooks } from './testing/runbooks.ts';
import { backUpStream, restoreStream } from './testing/stream-backup.ts';

const patience = { timeout: 90_000, interval: 200 };
const generous = { perMinute: 1_000_000, burst: 1_000_000 };
const kept = [streams.observations.name, streams.records.name];
const stops: (() => unknown)[] = [];
let postgres: PostgresServer;
let databaseConfig: Awaited<ReturnType<PostgresServer['fresh']>>;
let network: Network;
let runbooks: Runbooks;
let requester: Requester;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-restore-'));
  stops.push(() => rmSync(directory, { recursive: true, force: true }));
  postgres = await startPostgres();
  stops.push(() => postgres.stop());
  databaseConfig = await postgres.fresh();
  if (databaseConfig.engine !== 'postgres') throw new TypeError('not Postgres');
  network = await startNetwork({
    directory,
    agentProcesses: 1,
    analytics: { redeliverMs: 2_000 },
    signer: { listen: `127.0.0.1:${await freePort()}`, draws: { perEndpoint: 100_000 } },
    coordinator: {
      listen: `127.0.0.1:${await freePort()}`,
      database: databaseConfig,
      probe: { timeoutMs: 8_000, graceMs: 2_000 },
      limits: { target: generous },
    },
  });
  stops.push(() => network.stop());
  runbooks = new Runbooks(network, {
    DATABASE: databaseConfig.url,
    PGPASSWORD: readFileSync(databaseConfig.passwordFile!, 'utf8').trim(),
  });
  requester = new Requester(network);
  stops.push(() => requester.close());
}, 180_000);
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop();
}, 60_000);

const as = (name: string) =>
  connect({
    servers: network.nats.url,
    authenticator: nkeyAuthenticator(readFileSync(runbooks.at(`${name}.nk`))),
    inboxPrefix: inboxPrefix(name),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });

/** Vouchers that were handed out: SHA-256 of their content, and of whom. */
interface Acknowledged {
  readonly content: string;
  readonly serverName: string;
}

/** Requests about one server after another, each never seen before, until told to stop. */
class Flow {
  readonly acknowledged: Acknowledged[] = [];
  readonly #done: Promise<unknown>;
  #stopping = false;

  constructor(sites: readonly Site[]) {
    this.#done = inParallel(3, Number.POSITIVE_INFINITY, (i) => this.#one(sites[i % sites.length]!));
  }

  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    await vi.waitUntil(() => this.acknowledged.length >= wanted, patience);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done.catch((error: unknown) => {
      if (error !== over) throw error;
    });
  }

  async #one(site: Site): Promise<void> {
    if (this.#stopping) throw over;
    const { result } = await requester.ask(site);
    if (!result?.voucher) return;
    const { contentHash } = parseSignedVoucher(result.voucher);
    this.acknowledged.push({
      content: Buffer.from(contentHash).toString('hex'),
      serverName: site.request.serverName,
    });
  }
}
const over = new Error('over');

interface AuditRecord {
  readonly event: string;
  readonly sequence: number;
  readonly content?: string;
  readonly nonce?: string;
}
/** Nonces of the vouchers in this audit log, by the vouchers' content. */
function issuedIn(file: string): ReadonlyMap<string, string> {
  const records = readFileSync(file, 'utf8').trimEnd().split('\n');
  const found = new Map<string, string>();
  for (const line of records) {
    const { event, content, nonce } = JSON.parse(line) as AuditRecord;
    if (event === 'issued') found.set(content!, nonce!);
  }
  return found;
}

/** Numbers in the one row that is asked for. */
async function numbers(query: string): Promise<number[]> {
  const response = await fetch(`${network.analytics!.ready['api']}/api/v1/sql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query, format: 'csv' }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text
    .trimEnd()
    .split('\n')
    .at(-1)!
    .split(',')
    .map((one) => Number(one.replaceAll('"', '')));
}

const ready = async (url: string | undefined) => (await fetch(`${url}/readyz`).catch(() => undefined))?.ok;

/** Everything that waited in the streams is stored. */
const caughtUp = () =>
  expect
    .poll(async () => {
      const text = await (await fetch(`${network.analytics!.ready['admin']}/metrics`)).text();
      const waiting = text.match(/^mecai_analytics_(behind|under_way)\{.*\} (?!0$).*$/gm);
      return [waiting, /^mecai_analytics_behind\{/m.test(text)];
    }, patience)
    .toEqual([null, true]);

type Part = 'streams' | 'ClickHouse' | 'Postgres' | 'audit log';

describe('everything that is kept', () => {
  const sites: Site[] = [];
  let nats: NatsConnection;
  /** Vouchers that were acknowledged before the backup, and one observation as its agent sent it. */
  let before: Acknowledged[];
  let observation: Msg;
  /** The folders that the scripts made. */
  let fromDatabase: string;
  let fromAuditLog: string;

  beforeAll(async () => {
    const [backupDatabase, backupAuditLog] = runbooks.blocks('backup-and-restore');
    sites.push(...(await inParallel(4, 20, (i) => requester.open(`www.name-${i}.test`))));
    nats = await as('operator');
    const sent = Promise.withResolvers<Msg>();
    nats.subscribe('mecai.observation.frankfurt.*', {
      max: 1,
      callback: (error, message) => (error ? sent.reject(error) : sent.resolve(message)),
    });
    await nats.flush();
    const flow = new Flow(sites);
    observation = await sent.promise;
    await flow.more(25);
    await vi.waitUntil(async () => {
      const counts = 'select (select count() from vouchers), (select count() from observations)';
      const [vouchers = 0, observations = 0] = await numbers(counts).catch(() => []);
      // More than belong to the requests that are not answered yet.
      return vouchers > 5 && observations > 50;
    }, patience);

    // While requests go on: analytics rests, and what it does not take waits in the streams.
    await network.analytics!.stop();
    await flow.more(8);
    before = [...flow.acknowledged];
    cpSync(runbooks.at('analytics'), runbooks.at('saved/analytics'), { recursive: true });
    for (const stream of kept)
      await backUpStream(nats, inboxPrefix('operator'), stream, runbooks.at('saved/streams'));
    const saved = async (block: string | undefined) => {
      const made = await runbooks.run(block);
      expect([made.code, made.err]).toEqual([0, '']);
      return made.out.trim();
    };
    fromDatabase = await saved(backupDatabase);
    fromAuditLog = await saved(backupAuditLog);
    await network.analytics!.restart();
    await flow.more(10);
    await flow.stop();
  }, 300_000);

  /** Nothing is left, and nobody had a chance to write anything down; then all of it is restored, but for one part. */
  async function loseAllAndRestore(left?: Part): Promise<void> {
    await nats.close();
    // Agents would offer once more what another leader of the stream may lack.
    const agents = new Set(network.agents.values());
    for (const process of [network.coordinator, network.signer, network.analytics!, ...agents])
      await process.signal('SIGKILL');
    network.nats.kill();
    await postgres.kill();
    for (const lost of ['nats/store', 'analytics', 'audit.jsonl', 'audit.jsonl.crls', 'audit.jsonl.lock'])
      rmSync(runbooks.at(lost), { recursive: true, force: true });

    await network.nats.restart();
    nats = await as('operator');
    stops.push(() => nats.close());
    if (left !== 'streams')
      for (const stream of kept) await restoreStream(nats, stream, runbooks.at('saved/streams'));
    if (left !== 'ClickHouse')
      cpSync(runbooks.at('saved/analytics'), runbooks.at('analytics'), { recursive: true });
    await postgres.restart();
    const restored = await runbooks.run(
      `psql -q "$SERVER" -c "drop database $NAME" -c "create database $NAME"
       ${left === 'Postgres' ? '' : 'pg_restore --exit-on-error --single-transaction --no-owner --dbname="$DATABASE" "$FROM/mecai.dump"'}`,
      {
        SERVER: urlOf('postgres'),
        NAME: new URL(urlOf()).pathname.slice(1),
        FROM: fromDatabase,
      },
    );
    expect([restored.code, restored.err]).toEqual([0, '']);
    if (left !== 'audit log') cpSync(join(fromAuditLog, 'audit.jsonl'), runbooks.at('audit.jsonl'));
    for (const process of [network.signer, network.analytics!, network.coordinator, ...agents])
      await process.restart();
    await expect.poll(() => ready(network.coordinator.ready['admin']), patience).toBe(true);
    await expect.poll(() => ready(network.analytics!.ready['admin']), patience).toBe(true);
    await caughtUp();
  }

  /** What of the acknowledged vouchers is not there once, by where it should be. */
  async function missing(): Promise<Record<string, number>> {
    const issued = issuedIn(runbooks.at('audit.jsonl'));
    const database = await openDatabase(databaseConfig, Math.random);
    const names = await database.query(
      `select n.name, count(*) as sights from certificate_event e join certificate_name n on n.sha256 = e.sha256
        where kind = 'first-sight' group by n.name`,
      [],
    );
    await database.close();
    const sights = new Map(names.map(({ name, sights: count }) => [String(name), Number(count)]));
    const noted = issuedIn(join(fromAuditLog, 'audit.jsonl'));
    const nonces = before.map(({ content }) => `'${noted.get(content)}'`).join();
    const contents = before.map(({ content }) => `'${content}'`).join();
    const [vouchers = 0] = await numbers(`select uniqExact(id) from vouchers where id in (${contents})`);
    const [rows = 0, once = 0, drawn = 0] = await numbers(
      `select count(), uniqExact(nonce, agent), uniqExact(nonce) from observations where nonce in (${nonces})`,
    );
    return {
      'audit log': before.filter(({ content }) => !issued.has(content)).length,
      'first sights': before.filter(({ serverName }) => sights.get(serverName) !== 1).length,
      vouchers: before.length - vouchers,
      // A quorum of each, and each once.
      observations: before.length - drawn + Math.max(0, 4 * before.length - rows) + rows - once,
    };
  }
  const whole = { 'audit log': 0, 'first sights': 0, vouchers: 0, observations: 0 };

  it.each<[Part, readonly string[]]>([
    ['streams', ['vouchers', 'observations']],
    ['ClickHouse', ['observations']],
    ['Postgres', ['first sights']],
    ['audit log', ['audit log']],
  ])(
    'is not whole without its %s, and it shows where',
    async (left, where) => {
      await loseAllAndRestore(left);
      const found = await missing();
      // Records stay in their stream for a month, and a sink may read them again.
      if (left === 'ClickHouse') delete found['vouchers'];
      expect(Object.keys(found).filter((one) => found[one] !== 0)).toEqual(where);
    },
    300_000,
  );

  it('is there again, once each, and everything goes on', async () => {
    await loseAllAndRestore();
    // The signer's log goes on where the backup ended, and nothing in front of that has changed.
    const lines = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n').length;
    await expect.poll(async () => (await requester.ask(sites[0]!)).status, patience).toBe('issued');
    const [, noted = ''] =
      /SHA-256 ([0-9a-f]{64})/.exec(readFileSync(join(fromAuditLog, 'audit.txt'), 'utf8')) ?? [];
    const chain = await runbooks.run('mecai-signer verify-audit-log --config "$CONFIG" --noted "$NOTED"', {
      CONFIG: runbooks.at('signer.json'),
      NOTED: noted,
    });
    expect([chain.code, chain.out]).toEqual([0, expect.stringContaining('the chain holds')]);
    expect(lines(runbooks.at('audit.jsonl'))).toBeGreaterThan(lines(join(fromAuditLog, 'audit.jsonl')));
    expect(await missing()).toEqual(whole);

    // An observation that is offered again, since its agent never heard that it was taken: not stored twice.
    const agent = await as('frankfurt');
    stops.push(() => agent.close());
    const id = observation.headers!.get('Nats-Msg-Id');
    await jetstream(agent).publish(observation.subject, observation.data, { msgID: `${id}-later` });
    await jetstream(agent).publish(observation.subject, observation.data, { msgID: id });
    await caughtUp();
    expect(await missing()).toEqual(whole);
    console.log(`${before.length} vouchers acknowledged before the backup, all of them whole afterwards`);
  }, 300_000);
});

/** Of the database, or of another on the same server. */
function urlOf(name?: string): string {
  if (databaseConfig.engine !== 'postgres') throw new TypeError('not Postgres');
  return name === undefined ? databaseConfig.url : databaseConfig.url.replace(/\/[^/]+$/, `/${name}`);
}
