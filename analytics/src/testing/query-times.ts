/**
 * How long the dashboard's queries take: `query-times.ts <observations> [<directory>]` fills a store with all cores,
 * asks each question a few times on one, and prints one JSON object a line.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import { readPage } from '../api/listing.ts';
import { listings } from '../api/listings.ts';
import { activity, certificatePage, endpointPage, incidentPage, rates, totals } from '../api/pages.ts';
import { Store } from '../store.ts';
import { seed, seededIncident } from './seed.ts';

const rows = Number(process.argv[2] ?? 20_000_000);
const directory = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'mecai-queries-'));
const week = 7 * 86_400_000;
const rounds = 5;

const began = performance.now();
const say = (text: string) =>
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
const filled = existsSync(join(directory, 'store'));
const store = await Store.open(
  { store: { kind: 'embedded', directory: join(directory, 'store') }, retentionDays: 0, insertMs: 600_000 },
  createLogger('bench', 'silent'),
);
if (!filled) {
  await seed(store, {
    rows,
    endpoints: 20_000,
    until: Date.now(),
    spanMs: week,
    progress: (done) => done % 1_000_000 === 0 && say(`${done / 1e6} of ${rows / 1e6} million made up`),
  });
  // As it is some hours later: parts merged, as the engine does by itself.
  for (const table of [
    'observations',
    'endpoint_certificates',
    'endpoint_vantage',
    'endpoints',
    'fingerprints',
    'rates_by_minute',
  ]) {
    await store.command(`OPTIMIZE TABLE ${table} FINAL`);
    say(`${table} merged`);
  }
}
execFileSync('taskset', ['-acp', '0', String(process.pid)], { stdio: 'ignore' });
/** Seconds of CPU that other processes of this machine used so far. */
function othersUsed(): number {
  const [, user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8').split(/\s+/);
  const busy = [user, nice, system, irq, softirq, steal].reduce((sum, ticks) => sum + Number(ticks), 0);
  const own = process.cpuUsage();
  return busy / 100 - (own.user + own.system) / 1e6;
}
say('asking');
const [askedAt, others] = [performance.now(), othersUsed()];
const [newest] = await store.query<{ at: number; leaf: string }>(
  `SELECT toUnixTimestamp64Milli(received_at) AS at, leaf FROM observations WHERE leaf != ''
    ORDER BY toStartOfHour(received_at) DESC, received_at DESC LIMIT 1`,
);
const until = newest!.at;
const list = (name: string, request = {}) =>
  readPage(store, listings.find((one) => one.name === name)!, { limit: 50, ...request });
const day = 86_400_000;
const questions: Readonly<Record<string, () => Promise<unknown>>> = {
  totals: () => totals(store),
  'activity of perspectives': () => activity(store, until),
  'rates of a day by country': () => rates(store, { by: 'country', since: until - day, until, step: 900 }),
  'rates of a week by country': () => rates(store, { by: 'country', since: until - week, until, step: 3600 }),
  'rates of a week by perspective': () =>
    rates(store, { by: 'agent', since: until - week, until, step: 3600 }),
  'open incidents': () => list('incidents', { state: 'open' }),
  'incident page': () => incidentPage(store, seededIncident),
  endpoints: () => list('endpoints'),
  'endpoints with three certificates': () => list('endpoints', { certificates: 3 }),
  'endpoint page': () => endpointPage(store, { serverName: 'www.site1003.example', port: 443, startTls: '' }),
  certificates: () => list('certificates'),
  'certificate page': () => certificatePage(store, newest!.leaf),
  'newest observations': () => list('observations'),
  'newest observations of a country': () => list('observations', { country: 'PE' }),
  'newest mismatches': () => list('mismatches'),
  decisions: () => list('decisions'),
  vouchers: () => list('vouchers'),
};
for (const [question, ask] of Object.entries(questions)) {
  const times: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const [since, used] = [performance.now(), process.cpuUsage()];
    await ask();
    times.push(performance.now() - since);
    const { user, system } = process.cpuUsage(used);
    cpu.push((user + system) / 1000);
  }
  const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[rounds >> 1];
  console.log(JSON.stringify({ question, median: median(times), cpu: median(cpu) }));
}
const busy = (othersUsed() - others) / ((performance.now() - askedAt) / 1000);
console.log(JSON.stringify({ othersBusy: busy }));
const [size] = await store.query<{ bytes: number; rows: number }>(
  "SELECT sum(bytes_on_disk) AS bytes, sumIf(rows, table = 'observations') AS rows FROM system.parts WHERE active",
);
console.log(JSON.stringify({ bytes: size!.bytes / size!.rows, rows: size!.rows }));
await store.close();
if (process.argv[3] === undefined) rmSync(directory, { recursive: true, force: true });
process.exit(0);
