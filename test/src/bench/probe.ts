/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { freePort } from '@mecai/addresses/testing';
import { probe, type ProbeOptions } from '@mecai/tls-probe';
import { inTurns, median, reporter } from './figures.ts';

// Figures of packages/tls-probe against nginx started here, beside node:tls and openssl in the same run.

const report = reporter('probe');
const quick = process.argv.includes('--quick');
const rounds = quick ? 3 : 7;
const perRound = quick ? 300 : 1_000;

const directory = mkdtempSync(join(tmpdir(), 'probe-bench-'));
const children: ChildProcess[] = [];

const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });

/** A leaf and its intermediate, as real servers send them. */
function certificates(): void {
  const issue = (name: string, key: string[], issuer?: string) => {
    openssl('genpkey', ...key, '-out', `${name}.key`);
    openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    const signer = issuer ? ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`] : ['-signkey', `${name}.key`];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-days', '2', '-out', `${name}.pem`);
  };
  const ec = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const rsa = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'];
  for (const [name, key] of [
    ['p256', ec],
    ['rsa2048', rsa],
  ] as const) {
    issue(`${name}-root`, [...key]);
    issue(`${name}-ca`, [...key], `${name}-root`);
    issue(name, [...key], `${name}-ca`);
    const chain = ['', '-ca'].map((part) => execFileSync('cat', [join(directory, `${name}${part}.pem`)]));
    writeFileSync(join(directory, `${name}-chain.pem`), Buffer.concat(chain));
  }
}

async function reachable(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = connectTcp(port, '127.0.0.1');
    const connected = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (connected) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nothing listens on port ${port}`);
}

type ServerName = 'p256' | 'rsa2048';

async function startNginx(): Promise<Record<ServerName, Record<'1.3' | '1.2', number>>> {
  const port = async () => ({ '1.3': await freePort(), '1.2': await freePort() });
  const ports = { p256: await port(), rsa2048: await port() };
  const server = (name: ServerName, version: '1.3' | '1.2') => `
    server {
      listen 127.0.0.1:${ports[name][version]} ssl backlog=4096;
      ssl_certificate ${directory}/${name}-chain.pem;
      ssl_certificate_key ${directory}/${name}.key;
      ssl_protocols TLSv${version};
      return 204;
    }`;
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log stderr crit;
     events { worker_connections 8192; }
     http { access_log off; client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b;
       fastcgi_temp_path ${directory}/c; uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e;
       ${server('p256', '1.3')} ${server('p256', '1.2')} ${server('rsa2048', '1.3')} ${server('rsa2048', '1.2')} }`,
  );
  children.push(spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf')], { stdio: 'inherit' }));
  await reachable(ports.rsa2048['1.2']);
  return ports;
}

type Contestant = (port: number) => Promise<void>;

const ours =
  (options: ProbeOptions = {}): Contestant =>
  async (port) => {
    const result = await probe({ address: '127.0.0.1', port, serverName: 'localhost' }, options);
    if (result.error || result.chain.length !== 2 || !result.possessionProven) {
      throw new Error(`probe failed: ${JSON.stringify(result.error)}`);
    }
  };

/** The whole chain by node:tls, and a clean end of the connection. */
const nodeTls: Contestant = (port) =>
  new Promise((resolve, reject) => {
    const socket = connectTls(
      { host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false },
      () => {
        const leaf = socket.getPeerCertificate(true);
        if (!leaf.raw || !leaf.issuerCertificate?.raw) reject(new Error('no chain'));
        socket.end();
      },
    );
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.resume();
  });

async function run(handshake: Contestant, port: number, count: number, concurrency: number): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await handshake(port);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

/** Handshakes per second of this process's CPU time. */
async function perCpuSecond(handshake: Contestant, port: number): Promise<number> {
  const before = process.cpuUsage();
  await run(handshake, port, perRound, 8);
  const { user, system } = process.cpuUsage(before);
  return (perRound * 1e6) / (user + system);
}

async function perSecond(handshake: Contestant, port: number, concurrency: number, count = perRound) {
  const before = performance.now();
  await run(handshake, port, count, concurrency);
  return (count * 1e3) / (performance.now() - before);
}

/** openssl s_time for two seconds, without session reuse: connections per second of wall and of user time. */
async function sTime(port: number): Promise<{ wall: number; user: number }> {
  const child = spawn('openssl', ['s_time', '-new', '-connect', `127.0.0.1:${port}`, '-time', '2'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  const user = Number(/([\d.]+) connections\/user sec/.exec(output)?.[1]);
  const [, connections, seconds] = /(\d+) connections in (\d+) real seconds/.exec(output) ?? [];
  return { wall: Number(connections) / Number(seconds), user };
}

async function cpuFigures(ports: Awaited<ReturnType<typeof startNginx>>): Promise<void> {
  for (const name of ['p256', 'rsa2048'] as const) {
    for (const version of ['1.3', '1.2'] as const) {
      const port = ports[name][version];
      await perCpuSecond(ours(), port);
      await perCpuSecond(nodeTls, port);
      const figures = await inTurns(rounds, {
        probe: () => perCpuSecond(ours(), port),
        nodeTls: () => perCpuSecond(nodeTls, port),
      });
      const peer = { name: 'node:tls', value: figures.nodeTls };
      report(`finished handshakes, TLS ${version}, ${name}`, figures.probe, '1/CPU-s', peer);
    }
    const port = ports[name]['1.3'];
    const early = await inTurns(rounds, { early: () => perCpuSecond(ours({ stopEarly: true }), port) });
    report(`stopping early, TLS 1.3, ${name}`, early.early, '1/CPU-s');
  }
}

async function wallFigures(ports: Awaited<ReturnType<typeof startNginx>>): Promise<void> {
  const port = ports.p256['1.3'];
  const openSslUser: number[] = [];
  const wall = await inTurns(quick ? 1 : 3, {
    probe: () => perSecond(ours(), port, 1),
    openssl: async () => {
      const { wall, user } = await sTime(port);
      openSslUser.push(user);
      return wall;
    },
  });
  const peer = { name: 'openssl s_time -new', value: wall.openssl };
  report('one at a time, TLS 1.3, p256, wall', wall.probe, '1/s', peer);
  report('openssl s_time -new, TLS 1.3, p256', median(openSslUser), '1/user-CPU-s');
  for (const concurrency of [1, 64, 1_000]) {
    const count = Math.max(perRound * 2, concurrency * 3);
    const figures = await inTurns(quick ? 1 : 3, {
      probe: () => perSecond(ours(), port, concurrency, count),
      nodeTls: () => perSecond(nodeTls, port, concurrency, count),
    });
    const peer = { name: 'node:tls', value: figures.nodeTls };
    report(`throughput at concurrency ${concurrency}, TLS 1.3, p256`, figures.probe, '1/s', peer);
  }
}

const megabytes = (bytes: number) => bytes / 1_048_576;

async function memoryFigures(ports: Awaited<ReturnType<typeof startNginx>>): Promise<void> {
  const port = ports.p256['1.3'];
  const total = quick ? 5_000 : 50_000;
  await run(ours(), port, total / 5, 64);
  const samples: number[] = [];
  for (let part = 0; part < 5; part++) {
    await run(ours(), port, total / 5, 64);
    samples.push(process.memoryUsage.rss());
  }
  report(`resident after ${total} handshakes`, megabytes(samples.at(-1)!), 'MB', {
    name: `after the first ${total / 5}`,
    value: megabytes(samples[0]!),
  });
}

/** A server that accepts and then says nothing, in a process of its own so that its memory is not counted here. */
const silentServer = `
  const server = require('node:net').createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('close', () => {});
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(server.address().port));
`;

async function silentFigures(): Promise<void> {
  const child = spawn(process.execPath, ['-e', silentServer], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [line]: unknown[] = await once(child.stdout, 'data');
  const port = Number(String(line));
  const deadline = 3_000;
  const before = process.memoryUsage.rss();
  let peak = before;
  const sampler = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  const results = await Promise.all(
    Array.from({ length: 2_000 }, () =>
      probe({ address: '127.0.0.1', port }, { limits: { connectMs: 10_000, handshakeMs: deadline } }),
    ),
  );
  clearInterval(sampler);
  const timedOut = results.filter(({ error }) => error?.class === 'timeout-handshake');
  if (timedOut.length !== results.length) {
    throw new Error(`${results.length - timedOut.length} of the silent probes did not end at their deadline`);
  }
  const late = timedOut.map(({ timings }) => (timings.end - (timings.connect ?? 0)) / 1_000 - deadline);
  report('resident, 2000 probes in flight against silent servers', megabytes(peak), 'MB');
  report('of that, more than before them', megabytes(peak - before), 'MB');
  report('end after the deadline, worst of 2000', Math.max(...late), 'ms');
}

try {
  certificates();
  await silentFigures();
  const ports = await startNginx();
  await cpuFigures(ports);
  await wallFigures(ports);
  await memoryFigures(ports);
} finally {
  for (const child of children) child.kill();
  rmSync(directory, { recursive: true, force: true });
}
