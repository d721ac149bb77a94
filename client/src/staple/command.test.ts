/** `mecai staple` as operators run it, before a real nginx. */
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from '@mecai/tls-probe/testing';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCommand } from '../cli/commands.ts';
import { type Scene, setScene } from './testing.ts';

const main = join(import.meta.dirname, '../main.ts');
const processes = new Processes();
let scene: Scene;
let port: number;
let nginxConf: string;
let config: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  scene = await setScene(Date.now);
  port = await freePort();
  const { certificate, key } = scene.identity('www', ['www.shop.test']);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (one) => `${one}_temp_path ${scene.file(one)};`,
  );
  nginxConf = scene.file(
    'nginx.conf',
    `daemon off; pid ${scene.file('nginx.pid')}; error_log ${scene.file('error.log')}; events { worker_connections 64; }
     http { access_log off; ${temporary.join(' ')}
       server { listen 127.0.0.1:${port} ssl default_server; server_name www.shop.test;
         ssl_certificate ${certificate}; ssl_certificate_key ${key};
         ssl_conf_command ServerInfoFile ${scene.file('www.serverinfo')};
         location ^~ /.well-known/mecai/ { alias ${scene.file('bundles')}/; } } }`,
  );
  const nginx = [program('nginx', 'nginx-light'), '-p', scene.directory, '-c', nginxConf];
  config = scene.file(
    'mecai.json',
    JSON.stringify(
      scene.config({
        server: { kind: 'nginx', configuration: 'nginx.conf' },
        wellKnown: 'bundles',
        test: [...nginx, '-t'],
        reload: [...nginx, '-s', 'reload'],
        listen: '127.0.0.1:0',
      }),
    ),
  );
});
afterAll(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  await processes.stop();
  scene.close();
});

async function mecai(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [main, 'staple', '--config', config, ...args], { stdio: 'pipe' });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.err += chunk));
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...text };
}

test('lint, once, start, check: the five minutes', async () => {
  const before = await mecai('--lint');
  expect(before.code).toBe(1);
  expect(before.out).toContain(`ERROR  missing-file ${nginxConf}:`);
  // nginx is not running yet, so it cannot be reloaded; its file is there all the same.
  const first = await mecai('--once');
  expect(first.code).toBe(1);
  expect(first.out).toContain('PROBLEM');
  expect(existsSync(scene.file('www.serverinfo'))).toBe(true);
  await processes.serve(program('nginx', 'nginx-light'), ['-p', scene.directory, '-c', nginxConf], port);
  const second = await mecai('--once', '--json');
  expect(second).toMatchObject({ code: 0 });
  expect(JSON.parse(second.out)).toMatchObject({
    problems: [],
    targets: [{ name: 'www.shop.test', vas: [{ id: 'va-1', status: 'issued' }, {}, {}] }],
  });
  expect(await mecai('--lint')).toMatchObject({ code: 0, out: '1 TLS servers read, 0 findings\n' });
  await vi.waitFor(
    async () => {
      const check = await mecai('--check');
      expect(check.out).toContain('handshake    3 of 3 vouchers, 3 of 3 types');
      expect(check.out).toContain('well-known   3 of 3 vouchers');
      expect(check.code).toBe(0);
    },
    { timeout: 60_000 },
  );
});

test('the daemon says what it does, and stops in order', async () => {
  const child = spawn(process.execPath, [main, 'staple', '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  children.push(child);
  const [{ ready }] = (await once(child, 'message')) as [{ ready: { status: string } }];
  const get = async (path: string) => (await fetch(`${ready.status}${path}`)).text();
  await vi.waitUntil(async () => (await get('/status')).includes('"issued"'), {
    timeout: 60_000,
    interval: 50,
  });
  const metrics = await get('/metrics');
  expect(metrics).toMatch(/^mecai_staple_voucher_expires_seconds\{target="[0-9a-f]{32}",va="va-2"\} \d+$/m);
  expect(metrics).toContain('mecai_staple_targets 1');
  const page = await get('/');
  expect(page).toContain('<th>www.shop.test<br>');
  expect(page).toContain('<td>3 of 3</td>');
  expect(await get('/healthz')).toBe('{"alive":true}\n');
  const promtool = spawn(program('promtool', 'prometheus'), ['check', 'metrics'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  promtool.stdin.end(metrics);
  expect(await once(promtool, 'close')).toEqual([0, null]);
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test.each([
  ['no configuration', ['--once'], undefined, 2, '--config is missing'],
  ['two modes', ['--once', '--lint'], {}, 2, 'one at a time'],
  ['an unknown member', ['--once'], { hurry: true }, 2, 'hurry'],
  ['a public status page', ['--once'], { listen: '0.0.0.0:80' }, 2, 'listen: expected a loopback address'],
  ['a VA that is not in the list', ['--once'], { vas: ['none'] }, 1, 'no VA \\"none\\" in the list'],
  ['no server to judge', ['--lint'], { server: undefined }, 2, 'names no "server"'],
  ['a state directory that cannot be', ['--once'], { state: 'vendor.pem/state' }, 3, 'cannot make'],
] as const)('refuses %s', async (_, args, more, code, words) => {
  const own = scene.file(
    'refused.json',
    JSON.stringify(scene.config({ server: { kind: 'nginx', configuration: 'nginx.conf' }, ...more })),
  );
  const given = more === undefined ? [...args] : ['--config', own, ...args];
  let said = '';
  const hear = (text: string) => void (said += text);
  const exit = await runCommand(['staple', ...given], { out: hear, err: hear, now: () => new Date() });
  expect(said).toContain(words);
  expect(exit).toBe(code);
});
