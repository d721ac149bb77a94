import { readFileSync } from 'node:fs';
import type { Network } from '@mecai/test/network';
import type { Printer } from './printer.ts';

type Counts = Readonly<Record<string, number>>;

/** What came of it: rows in ClickHouse, memory, and where to look. */
export async function summarize(
  print: Printer,
  running: Network,
  wanted: Counts,
  storyAt: number,
): Promise<boolean> {
  print.scene('In the end', 'Every observation went through JetStream into ClickHouse.');
  const admin = running.analytics!.ready['admin']!;
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
    { step: 'story', ok: true, seconds: Number(seconds.toFixed(1)) },
    `the story took ${seconds.toFixed(1)} s`,
  );
  const urls = {
    dashboard: running.analytics!.ready['api']!,
    token: running.token,
    vrp: running.vrpUrl,
    coordinator: `${running.coordinator.ready['admin']}/status`,
    signer: `${running.signer.ready['admin']}/status`,
    analytics: `${admin}/counts`,
    files: running.directory,
  };
  print.line();
  print.table(Object.entries(urls));
  print.note({ step: 'urls', ok: true, ...urls });
  return stored && frugal;
}

const complete = (counts: Counts, wanted: Counts) =>
  Object.entries(wanted).every(([table, rows]) => counts[table] === rows);

async function countsOf(admin: string, wanted: Counts): Promise<Counts> {
  const until = performance.now() + 60_000;
  for (;;) {
    const counts = (await (await fetch(`${admin}/counts`)).json()) as Counts;
    if (complete(counts, wanted) || performance.now() > until) return counts;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function residentBytes({ nats, signer, coordinator, agents, analytics, campaigns }: Network): number {
  const pids = new Set([
    process.pid,
    nats.pid,
    signer.pid,
    coordinator.pid,
    ...Array.from(agents.values(), ({ pid }) => pid),
  ]);
  for (const one of [analytics, campaigns]) if (one) pids.add(one.pid);
  return proportionalBytes([...pids]);
}

/** Pages that processes share, such as Node's own code, count once in all. */
export function proportionalBytes(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    const [, kilobytes] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
    total += Number(kilobytes) * 1024;
  }
  return total;
}
