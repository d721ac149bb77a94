/** From the signers’ lists over the database to every coordinator. */
import { Svid } from '@mecai/runtime';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, migrate } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { parseCertificate } from '@mecai/pki';
import type { DistrustRecord } from '@mecai/proto/signer';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SignerClient } from '../signer-client.ts';
import { testRegistry } from '../testing/agents.ts';
import { webIntermediate, webLeaf } from '../testing/chains.ts';
import { keptLog } from '../testing/log.ts';
import { type SignerServer, startSignerServer, svidFiles } from '../testing/signer-server.ts';
import { TestSigner } from '../testing/signer.ts';
import { telemetry } from '../testing/telemetry.ts';
import { DistrustCopy } from './distrust-copy.ts';
import { Distrust } from './distrust.ts';
import { distrustMigrations } from './schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-distrust-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const ids = ['spiffe://mecai.test/signer-1', 'spiffe://mecai.test/signer-2'] as const;
const svids = ids.map((id) => svidFiles(directory, id).pem);
const coordinatorSvid = svidFiles(directory, 'spiffe://mecai.test/coordinator').pem;
const { log, lines } = keptLog();

const chain = [webLeaf().der, webIntermediate.der];
const act = { at: 1_000, reason: 'key on sale', author: 'Ada', identity: 'spiffe://mecai.test/operator' };
const record = (id: string, changes: Partial<DistrustRecord> = {}): DistrustRecord => ({
  id,
  distrust: {
    subject: { $case: 'issuer', issuer: parseCertificate(chain[0]!).issuer },
    trustContext: '',
    from: 0,
    issuedAfter: 0,
  },
  set: act,
  lifted: undefined,
  ...changes,
});
const [one, two] = [record('000000000001'), record('000000000002')];
const lifted = record('000000000001', { lifted: { ...act, at: 2_000 } });

describe.each(engines)('on %s', (engine) => {
  const databases = testDatabases(engine);
  const fresh = async () => {
    const config = await databases.config();
    const database = await databases.open(config);
    await migrate(database, 'distrust', distrustMigrations, 0);
    return { config, database };
  };
  const listed = ({ entries }: DistrustCopy) => entries.map(({ id }) => id);

  it('what one coordinator learns, another has once both have looked', async () => {
    const { database } = await fresh();
    const [first, second] = ids.map((id) => new DistrustCopy(id, () => database));
    first!.learn([one, two], true);
    await first!.synchronize();
    await second!.synchronize();
    expect(listed(second!)).toEqual([one.id, two.id]);
    expect(second!.entries[0]).toMatchObject({ reason: 'key on sale', subject: { kind: 'issuer' } });
    const same = second!.entries;
    await second!.synchronize();
    expect(second!.entries).toBe(same);
    first!.learn([lifted], false);
    await first!.synchronize();
    await second!.synchronize();
    expect(listed(second!)).toEqual([two.id]);
    const rows = await database.query(
      'select id, reason, author, set_at, lifted_at from distrust order by id',
    );
    expect(rows).toEqual([
      { id: one.id, reason: 'key on sale', author: 'Ada', set_at: 1_000, lifted_at: 2_000 },
      { id: two.id, reason: 'key on sale', author: 'Ada', set_at: 1_000, lifted_at: null },
    ]);
  });

  it('an entry of two signers is one', async () => {
    const { database } = await fresh();
    const [first, second] = ids.map((id) => new DistrustCopy(id, () => database));
    for (const copy of [first!, second!]) copy.learn([one], true);
    await first!.synchronize();
    await second!.synchronize();
    expect(listed(second!)).toEqual([one.id]);
    // Lifted at one of them, it still stands at the other.
    first!.learn([lifted], false);
    await first!.synchronize();
    await second!.synchronize();
    expect(listed(second!)).toEqual([one.id]);
    expect(listed(first!)).toEqual([one.id]);
  });

  it('a signer that begins anew is believed: what it has no more is gone', async () => {
    const { database } = await fresh();
    const [first, second] = ids.map((id) => new DistrustCopy(id, () => database));
    first!.learn([one, two], true);
    await first!.synchronize();
    first!.begin();
    first!.learn([two], false);
    // Until the list is complete, nothing is taken away.
    expect(listed(first!)).toEqual([one.id, two.id]);
    first!.learn([], true);
    await first!.synchronize();
    await second!.synchronize();
    expect([first!, second!].map(listed)).toEqual([[two.id], [two.id]]);
  });

  it('news that are late do not bring back what was lifted', async () => {
    const { database } = await fresh();
    const [early, late, other] = [ids[0], ids[0], ids[1]].map((id) => new DistrustCopy(id, () => database));
    early!.learn([one], true);
    early!.learn([lifted], false);
    late!.learn([one], true);
    await early!.synchronize();
    await late!.synchronize();
    await other!.synchronize();
    expect(listed(other!)).toEqual([]);
  });

  it('while the database is away the signer’s own list counts all the same, and is stored afterwards', async () => {
    const { database } = await fresh();
    let there: Database | undefined;
    const first = new DistrustCopy(ids[0], () => {
      if (!there) throw new Error('away');
      return there;
    });
    first.learn([one], true);
    await expect(first.synchronize()).rejects.toThrow('away');
    expect(listed(first)).toEqual([one.id]);
    there = database;
    await first.synchronize();
    const second = new DistrustCopy(ids[1], () => database);
    await second.synchronize();
    expect(listed(second)).toEqual([one.id]);
  });

  describe('with signers', () => {
    let servers: SignerServer[];
    const stops: (() => unknown)[] = [];
    beforeEach(async () => {
      servers = await Promise.all(
        svids.map((svid) => startSignerServer(new TestSigner(testRegistry()), svid)),
      );
    });
    afterEach(async () => {
      for (const stop of stops.splice(0).toReversed()) await stop();
      for (const server of servers) server.kill();
    });

    /** Of a coordinator of this signer. */
    function distrustOf(signer: 0 | 1, database: () => Database): Distrust {
      const client = new SignerClient({
        address: `127.0.0.1:${servers[signer]!.port}`,
        credentials: Svid.fixed(coordinatorSvid).clientCredentials(ids[signer]),
        telemetry,
        log,
        now: Date.now,
      });
      const distrust = new Distrust({
        copy: new DistrustCopy(ids[signer], database),
        watch: () => client.watchDistrust(),
        log,
        fail: (error) => {
          throw error;
        },
      });
      stops.push(
        () => client.close(),
        () => distrust.close(),
      );
      return distrust;
    }
    const refuses = (distrust: Distrust) => distrust.refusal(chain, 5_000) !== undefined;
    const within = { timeout: 60_000, interval: 10 };

    it('a CA distrusted at one signer is refused by the coordinators of all in under five seconds', async () => {
      const { config } = await fresh();
      const coordinators = await Promise.all(
        ([0, 0, 1] as const).map(async (signer) => {
          const database = await databases.open(config);
          return distrustOf(signer, () => database);
        }),
      );
      expect(coordinators.map(refuses)).toEqual([false, false, false]);
      const since = performance.now();
      servers[0]!.distrust(one);
      await expect.poll(() => coordinators.map(refuses), within).toEqual([true, true, true]);
      const took = performance.now() - since;
      console.log(`distrust on ${engine}: at every coordinator after ${took.toFixed(0)} ms`);
      expect(took).toBeLessThan(5_000);
      servers[0]!.distrust(lifted);
      await expect.poll(() => coordinators.map(refuses), within).toEqual([false, false, false]);
    });

    it('a signer that went away and came back is watched again', async () => {
      const { database } = await fresh();
      const distrust = distrustOf(0, () => database);
      servers[0]!.distrust(one);
      await expect.poll(() => refuses(distrust), within).toBe(true);
      const { port } = servers[0]!;
      servers[0]!.kill();
      servers[0] = await startSignerServer(new TestSigner(testRegistry()), svids[0]!, port);
      await expect.poll(() => refuses(distrust), within).toBe(false);
      servers[0].distrust(two);
      await expect.poll(() => refuses(distrust), within).toBe(true);
    });

    it('a database that goes away is logged once', async () => {
      const { database } = await fresh();
      lines.length = 0;
      await database.close();
      const distrust = distrustOf(0, () => database);
      servers[0]!.distrust(one);
      await expect.poll(() => refuses(distrust), within).toBe(true);
      await expect
        .poll(() => lines.filter((line) => line.message.includes('distrust not in')).length, within)
        .toBe(1);
    });
  });
});
