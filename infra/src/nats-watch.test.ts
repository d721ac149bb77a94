/** What restarts a node of NATS that stays behind, against real servers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { infra } from './testing/files.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-nats-watch-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const patient = { timeout: 30_000 };
const started: ChildProcess[] = [];
const end = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
};
afterEach(async () => {
  await Promise.all(started.splice(0).map(end));
});

/** With its monitoring and its routes at these ports, or free ones. */
async function server(
  name: string,
  given: { monitor?: number; jetstream?: boolean; cluster?: boolean; route?: number },
) {
  const { monitor = -1, jetstream = true, cluster = true, route } = given;
  const config = {
    server_name: name,
    listen: '127.0.0.1:-1',
    http: `127.0.0.1:${monitor}`,
    ...(jetstream && { jetstream: { store_dir: join(directory, name) } }),
    ...(cluster && {
      cluster: {
        name: 'mecai',
        listen: '127.0.0.1:-1',
        routes: route === undefined ? [] : [`nats://127.0.0.1:${route}`],
      },
    }),
  };
  mkdirSync(join(directory, name), { recursive: true });
  const file = join(directory, `${name}.conf`);
  writeFileSync(file, JSON.stringify(config));
  const child = spawn('nats-server', ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  started.push(child);
  const log: string[] = [];
  createInterface(child.stderr).on('line', (line) => log.push(line));
  const port = async (what: RegExp) => {
    const found = () => log.map((line) => what.exec(line)?.[1]).find(Boolean);
    await expect.poll(found, patient).toBeTruthy();
    return Number(found());
  };
  const url = `http://127.0.0.1:${await port(/Starting http monitor on 127\.0\.0\.1:(\d+)/)}`;
  if (jetstream || !cluster) await port(/(Server is ready)/);
  const asks = async (page: string) =>
    (await (await fetch(`${url}${page}`)).json()) as Record<string, unknown>;
  return {
    child,
    url,
    monitor: Number(new URL(url).port),
    routes: cluster ? await port(/Listening for route connections on 127\.0\.0\.1:(\d+)/) : undefined,
    asks,
    /** How often somebody looked at its health. */
    looks: async () => {
      const { http_req_stats: stats } = (await asks('/varz')) as { http_req_stats: Record<string, number> };
      return stats['/healthz'] ?? 0;
    },
  };
}

/** Looks at it every hundredth of a second. */
function watch(url: string, more: Readonly<Record<string, string>> = {}) {
  const script = join(infra, 'terraform/modules/nats-config/nats-watch.sh');
  const child = spawn('sh', [script, url, 'echo', 'the', 'command'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NATS_WATCH_EVERY: '0.01', ...more },
  });
  started.push(child);
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  return {
    lines,
    restarts: () =>
      lines.filter((line) => line.startsWith('restart ')).map((line) => /after (\d+) looks/.exec(line)?.[1]),
  };
}

it('restarts a node that is not current and sees another, at the 12th look, the 24th after that, …', async () => {
  const other = await server('other', { jetstream: false });
  // Two more would have to be there for a leader.
  const behind = await server('behind', { route: other.routes! });
  await expect.poll(async () => (await behind.asks('/routez'))['num_routes'], patient).toBeGreaterThan(0);
  const { lines, restarts } = watch(behind.url);
  await expect.poll(restarts, patient).toEqual(['12', '24']);
  expect(lines.slice(0, 2)).toEqual([expect.stringContaining('"status"'), 'the command']);
  const later = watch(behind.url, { NATS_WATCH_LOOKS: '18' });
  await expect.poll(later.restarts, patient).toEqual(['18', '36']);
}, 60_000);

it('leaves a node alone that sees nobody', async () => {
  const cutOff = await server('cut-off', { route: 9 });
  expect((await cutOff.asks('/healthz'))['status']).not.toBe('ok');
  const { lines } = watch(cutOff.url);
  await expect.poll(cutOff.looks, patient).toBeGreaterThan(50);
  expect(lines).toEqual([]);
}, 90_000);

it('leaves a node alone that is current, and restarts one that says nothing', async () => {
  const first = await server('alone', { cluster: false });
  const { restarts } = watch(first.url);
  await expect.poll(first.looks, patient).toBeGreaterThan(30);
  expect(restarts()).toEqual([]);
  await end(first.child);
  await expect.poll(restarts, patient).toEqual(['12', '24']);
  // Who has been current begins anew.
  const second = await server('alone', { cluster: false, monitor: first.monitor });
  await expect.poll(second.looks, patient).toBeGreaterThan(3);
  await end(second.child);
  await expect.poll(() => restarts().slice(-2), patient).toEqual(['12', '24']);
}, 90_000);
