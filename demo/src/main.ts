#!/usr/bin/env node
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Network, startNetwork } from '@mecai/test/network';
import { type Printer, humanPrinter, jsonPrinter } from './printer.ts';
import {
  type Stage,
  sceneCapturedCoordinator,
  sceneRegionalAttack,
  sceneVoucher,
  sceneWideAttack,
  setStage,
} from './story.ts';

const usage = `usage: npm run demo [-- options]

Runs a whole MECAI network on this machine and tells its story in four scenes. It stays up until Ctrl-C.

  --exit              end after the story; exit code 0 only if each step went as it should
  --json              one JSON object a step, on standard output
  --directory <dir>   keep keys, logs and stores there (default: a temporary directory, removed at the end)`;

const { values } = parseArgs({
  options: {
    exit: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    directory: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const startedAt = performance.now();
const printer = values.json ? jsonPrinter() : humanPrinter(startedAt);
const directory = values.directory ?? mkdtempSync(join(tmpdir(), 'mecai-demo-'));
let network: Network | undefined;
let stage: Stage | undefined;
const interrupted = new Promise<'interrupted'>((resolve) => {
  process.once('SIGINT', () => resolve('interrupted'));
  process.once('SIGTERM', () => resolve('interrupted'));
});

async function end(): Promise<void> {
  await stage?.close();
  await network?.stop();
  if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

try {
  process.exitCode = (await Promise.race([tell(printer), interrupted])) === true ? 0 : 1;
  if (!values.exit && network) {
    printer.line();
    printer.line('Everything stays up until Ctrl-C.');
    if ((await interrupted) === 'interrupted') process.exitCode = 0;
  }
} catch (error) {
  console.error(`demo: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await end();
}
process.exit();

async function tell(print: Printer): Promise<boolean> {
  print.scene(
    'A MECAI network on this machine',
    'Every part is real: NATS, an HSM (SoftHSM2), TLS, ClickHouse. Only the distances are made up.',
  );
  network = await startNetwork({
    directory,
    analytics: true,
    progress: (what) => print.step({ step: 'start', ok: true, what }, what),
  });
  stage = await setStage(network, print);
  const storyAt = performance.now();
  const { ok, seen } = await sceneVoucher(stage);
  const outcomes = [
    ok,
    await sceneRegionalAttack(stage),
    await sceneWideAttack(stage),
    await sceneCapturedCoordinator(stage, seen),
  ];
  const good = outcomes.every(Boolean) && (await sum(print, network, storyAt));
  return good;
}

type Counts = Readonly<Record<string, number>>;

/** What came of it: rows in ClickHouse, memory, and where to look. */
async function sum(print: Printer, running: Network, storyAt: number): Promise<boolean> {
  print.scene('In the end', 'Every observation went through JetStream into ClickHouse.');
  const admin = running.analytics!.ready['admin']!;
  const wanted = { observations: 4 * running.cities.length, decisions: 4 };
  const counts = await countsOf(admin, wanted);
  const stored = complete(counts, wanted);
  print.step(
    { step: 'clickhouse', ok: stored, counts },
    `rows in ClickHouse: ${Object.entries(counts)
      .map(([table, rows]) => `${rows} ${table}`)
      .join(', ')}`,
  );
  const megabytes = Math.round(residentBytes(running) / 1e6);
  const frugal = megabytes < 2000;
  print.step({ step: 'memory', ok: frugal, megabytes }, `memory of all processes together: ${megabytes} MB`);
  const seconds = (performance.now() - storyAt) / 1000;
  print.step(
    { step: 'story', ok: seconds < 60, seconds: Number(seconds.toFixed(1)) },
    `the story took ${seconds.toFixed(1)} s`,
  );
  const urls = {
    vrp: running.vrpUrl,
    coordinator: `${running.coordinator.ready['admin']}/status`,
    signer: `${running.signer.ready['admin']}/status`,
    analytics: `${admin}/counts`,
    files: running.directory,
  };
  print.line();
  print.table(Object.entries(urls));
  if (values.json) print.step({ step: 'urls', ok: true, ...urls }, '');
  return stored && frugal && seconds < 60;
}

const complete = (counts: Counts, wanted: Counts) =>
  Object.entries(wanted).every(([table, rows]) => counts[table] === rows);

async function countsOf(admin: string, wanted: Counts): Promise<Counts> {
  const until = performance.now() + 15_000;
  for (;;) {
    const counts = (await (await fetch(`${admin}/counts`)).json()) as Counts;
    if (complete(counts, wanted) || performance.now() > until) return counts;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function residentBytes({ nats, signer, coordinator, agents, analytics }: Network): number {
  const pids = new Set([
    process.pid,
    nats.pid,
    signer.pid,
    coordinator.pid,
    ...Array.from(agents.values(), ({ pid }) => pid),
  ]);
  if (analytics) pids.add(analytics.pid);
  let total = 0;
  for (const pid of pids) {
    const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    total += Number(kilobytes) * 1024;
  }
  return total;
}
