/**
 * Measures ingest from JetStream to stored: `node ingest-rate.ts [observations]` publishes them, starts the process
 * on the backlog, and prints what it took as a line of JSON. Then the same rows are inserted into the same
 * schema by hand, ready encoded: the engine by itself.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureStreams } from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { ObservationRow } from '../rows.ts';
import { Store } from '../store.ts';
import { encodeObservation, makeObservation, startNetwork, subjectOf } from './network.ts';
import { type Status, startProcess } from './process.ts';

const total = Number(process.argv[2] ?? 160_000);
const batch = 20_000;
const directory = mkdtempSync(join(tmpdir(), 'mecai-rate-'));
const network = await startNetwork(directory);
const operator = await network.as('operator');
await ensureStreams(await jetstreamManager(operator));
const lima = await network.as('lima');
const client = jetstream(lima);
let next = 0;
const lane = async () => {
  while (next < total) {
    const observation = makeObservation(network, next++, 'lima', Date.now());
    await client.publish(subjectOf('lima'), encodeObservation(observation, network.keys.get('lima')!));
  }
};
await Promise.all(Array.from({ length: 64 }, lane));

const analytics = await startProcess(directory, {
  nats: { servers: [network.nats.url], seedFile: network.seedFile },
  registry: network.registry,
  store: { kind: 'embedded', directory: 'store' },
  // All but the first of each agent and endpoint repeat what is known.
  unverifiedBeyond: 0,
});
/** Seconds of CPU, of all threads of the process. */
const cpuOf = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
const { pid } = analytics.child;
// What is read before the store is open finds no memory yet, and is verified.
await analytics.until<Status>('/status', (status) => status.streams.observations.stored >= 2 * batch);
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

const log = createLogger('rate', 'silent');
const open = (name: string) =>
  Store.open(
    {
      store: { kind: 'embedded', directory: join(directory, name) },
      retentionDays: 0,
      insertMs: 60_000,
    },
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
const empty = await open('direct');
const usage = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const columns = Object.keys(rows[0]!);
const texts: Buffer[] = [];
for (let i = 0; i < rows.length; i += batch) {
  const some = rows.slice(i, i + batch).map((row) => JSON.stringify(Object.values(row)));
  texts.push(Buffer.from(some.join('\n')));
}
const [directBegan, directUsed] = [performance.now(), usage()];
for (const text of texts) await empty.insertText('observations', columns, text);
const direct = { seconds: (performance.now() - directBegan) / 1000, cpu: usage() - directUsed };
await empty.close();
rmSync(directory, { recursive: true });
console.log(
  JSON.stringify({
    ingestPerSecond: stored / ingest.seconds,
    ingestPerCpuSecond: stored / ingest.cpu,
    directPerSecond: rows.length / direct.seconds,
    directPerCpuSecond: rows.length / direct.cpu,
    diskBytes: disk!.bytes,
    peakBytes: peak,
  }),
);
