/**
 * Measures ingest from JetStream to stored, all on one core: `node ingest-rate.ts [observations]` publishes them,
 * starts the process on the backlog, and prints what it took as a line of JSON. CPU is that of the whole process,
 * the engine's threads and its merges included; nats-server's is its own. Then the same rows are inserted into the same schema by hand,
 * ready encoded: the engine by itself, fed JSON, and fed its own format.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureStreams } from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createChdbConnection } from 'chdb/connection';
import { observationColumns } from '../observation-columns.ts';
import { PackedObservations } from '../packed-observations.ts';
import type { ObservationRow } from '../rows.ts';
import { Store } from '../store.ts';
import { encodeObservation, makeObservation, startNetwork, subjectOf } from './network.ts';
import { type Status, startProcess } from './process.ts';

const total = Number(process.argv[2] ?? 300_000);
/** As configured by default. */
const batch = 40_000;
const directory = mkdtempSync(join(tmpdir(), 'mecai-rate-'));
const progress = (text: string) => process.stderr.write(`${text}\n`);
const network = await startNetwork(directory);
const operator = await network.as('operator');
await ensureStreams(await jetstreamManager(operator));
const lima = await network.as('lima');
const client = jetstream(lima, { timeout: 60_000 });
let next = 0;
const lane = async () => {
  while (next < total) {
    const observation = makeObservation(network, next++, 'lima', Date.now());
    await client.publish(subjectOf('lima'), encodeObservation(observation, network.keys.get('lima')!));
  }
};
await Promise.all(Array.from({ length: 256 }, lane));

progress(`${total} published`);
const onOneCore = (pid: number) => execFileSync('taskset', ['-acp', '0', String(pid)], { stdio: 'ignore' });
const analytics = await startProcess(directory, {
  nats: { servers: [network.nats.url], seedFile: network.seedFile },
  registry: network.registry,
  store: { kind: 'embedded', directory: 'store' },
  // All but the first of each agent and endpoint repeat what is known.
  unverifiedBeyond: 0,
});
const { pid } = analytics.child;
onOneCore(pid!);
/** Seconds of CPU, of all threads of the process. */
const cpuOf = (process: number) => {
  const fields = readFileSync(`/proc/${process}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
// What is read before the store is open finds no memory yet, and is verified; the compiler has warmed up by then, too.
await analytics.until<Status>('/status', (status) => status.streams.observations.stored >= total / 3);
const { streams } = await analytics.get<Status>('/status');
const [began, before, used] = [performance.now(), streams.observations.stored, cpuOf(pid!)];
// Asked now and then only, since answers cost as well.
while ((await analytics.get<Status>('/status')).streams.observations.stored < total) await delay(200);
const stored = total - before;
const ingest = { seconds: (performance.now() - began) / 1000, cpu: cpuOf(pid!) - used };
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
await analytics.stop();
for (const connection of [operator, lima]) await connection.close();
await network.nats.stop();
progress(`${stored} stored after the first ${before}`);

const log = createLogger('rate', 'silent');
const open = (name: string) =>
  Store.open(
    { store: { kind: 'embedded', directory: join(directory, name) }, retentionDays: 0, insertMs: 60_000 },
    log,
  );
const filled = await open('store');
// What the engine would keep of them once merged.
await filled.command('OPTIMIZE TABLE observations FINAL');
const [disk] = await filled.query<{ bytes: number }>(
  "SELECT sum(bytes_on_disk) / sum(rows) AS bytes FROM system.parts WHERE active AND table = 'observations'",
);
const rows = await filled.query<ObservationRow>(
  `SELECT * EXCEPT (stored_at) REPLACE (toUnixTimestamp64Milli(received_at) AS received_at,
     toUnixTimestamp64Milli(observed_at) AS observed_at) FROM observations`,
);
await filled.close();

await (await open('direct')).close();
onOneCore(process.pid);
const usage = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const columns = observationColumns as (keyof ObservationRow)[];
const engine = createChdbConnection({ path: join(directory, 'direct') });
const batches = Array.from({ length: Math.ceil(rows.length / batch) }, (_, i) =>
  rows.slice(i * batch, (i + 1) * batch),
);
async function feed(inserts: readonly (() => Promise<unknown>)[]) {
  await engine.chdb.queryAsync('TRUNCATE TABLE observations');
  const [directBegan, directUsed] = [performance.now(), usage()];
  for (const insert of inserts) await insert();
  return {
    perSecond: rows.length / ((performance.now() - directBegan) / 1000),
    perCpuSecond: rows.length / (usage() - directUsed),
  };
}
const json = batches.map((some) => {
  const values = Buffer.from(
    some.map((row) => JSON.stringify(columns.map((column) => row[column]))).join('\n'),
  );
  return () =>
    engine.chdb.rawInsert({ table: 'observations', columns, values, format: 'JSONCompactEachRow' });
});
const native = batches.map((some, i) => {
  const file = join(directory, `${i}.native`);
  const packed = new PackedObservations();
  for (const row of some) packed.add({ row, common: row });
  writeFileSync(file, packed.octets());
  const query = `INSERT INTO observations (${columns.join()}) FROM INFILE '${file}' FORMAT Native`;
  return () => engine.chdb.queryAsync(query);
});
const fedJson = await feed(json);
const fedNative = await feed(native);
await engine.close();
rmSync(directory, { recursive: true });
console.log(
  JSON.stringify({
    ingestPerSecond: stored / ingest.seconds,
    ingestPerCpuSecond: stored / ingest.cpu,
    jsonPerSecond: fedJson.perSecond,
    jsonPerCpuSecond: fedJson.perCpuSecond,
    nativePerSecond: fedNative.perSecond,
    nativePerCpuSecond: fedNative.perCpuSecond,
    diskBytes: disk!.bytes,
    peakBytes: peak,
  }),
);
process.exit(0);
