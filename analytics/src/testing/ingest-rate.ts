/**
 * Measures the rate from JetStream to stored: `node ingest-rate.ts [observations]` publishes them, then starts
 * the process on the backlog. The signatures are part of it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureStreams } from '@mecai/proto';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { encodeObservation, makeObservation, startNetwork, subjectOf } from './network.ts';
import { type Status, startProcess } from './process.ts';

const total = Number(process.argv[2] ?? 50_000);
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
  nats: { url: network.nats.url, seedFile: network.seedFile },
  registry: network.registry,
  store: { kind: 'embedded', directory: 'store' },
});
const cpu = async () => {
  const fields = (await readFile(`/proc/${analytics.child.pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  // Clock ticks, hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored > 0);
const { streams } = await analytics.get<Status>('/status');
const [began, before, used] = [performance.now(), streams.observations.stored, await cpu()];
await analytics.until<Status>('/status', (status) => status.streams.observations.stored === total);
const seconds = (performance.now() - began) / 1000;
const rows = total - before;
console.log(
  `${Math.round(rows / seconds)} rows/s, ${Math.round((((await cpu()) - used) / rows) * 1e6)} µs of CPU a row`,
);
const status = await readFile(`/proc/${analytics.child.pid}/status`, 'utf8');
console.log(/VmHWM:.*/.exec(status)?.[0]);
await analytics.stop();
for (const connection of [operator, lima]) await connection.close();
await network.nats.stop();
rmSync(directory, { recursive: true });
