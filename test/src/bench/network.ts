/**
 * Vouchers through the whole network on this machine: HTTPS request, draw, six TLS probes of a stock nginx, quorum,
 * HSM signature, lint, audit log, JetStream. Everything shares the machine's cores with the load itself.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAddress } from '@mecai/addresses';
import { inboxPrefix, streams } from '@mecai/proto';
import { probe } from '@mecai/tls-probe';
import { encodeVoucherRequest } from '@mecai/voucher';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats, nkeyAuthenticator } from '@nats-io/transport-node';
import { type Network, type TestCertificate, serverCertificate, startNetwork } from '../network/index.ts';
import { median, reporter } from './figures.ts';
import { type Floor, floorsOf } from './network-floors.ts';
import { librariesAlone } from './network-libraries.ts';
import { cpuSeconds } from './process-cpu.ts';
import { ask } from './requester.ts';
import { scheduleAsUnitsDo } from './scheduling.ts';
import { startNginx } from './target-nginx.ts';

const report = reporter('network');
const secondsPerRun = 8;
/** A compiler that is still at work takes as much CPU as a third of what it compiles: a thousand are too few. */
const vouchersOfWarmUp = 5_000;
const serverName = 'www.shop.test';
const port = 18443;
// As many endpoints as requests are outstanding: one endpoint alone runs into the signer's limit of open draws.
const addresses = Array.from({ length: 64 }, (_, i) => `127.20.0.${i + 1}`);

const unlimited = { perMinute: 100_000_000, burst: 100_000_000 };
const settings = [
  { setting: 'six agents in one process', agentProcesses: 1, stopEarly: false, batch: true },
  { setting: 'the same by the default scheduling policy', agentProcesses: 1, stopEarly: false, batch: false },
  { setting: 'the same stopping early', agentProcesses: 1, stopEarly: true, batch: true },
  { setting: 'six agents in six processes', agentProcesses: 6, stopEarly: false, batch: true },
] as const;
const limits = { authenticated: unlimited, unauthenticated: unlimited, target: unlimited, global: unlimited };

for (const { setting, agentProcesses, stopEarly, batch } of settings) {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
  const network = await startNetwork({
    directory,
    agentProcesses,
    coordinator: { limits },
    // Nobody's place has to be seen in its address here, and binding one costs.
    agent: { probe: { stopEarly } },
  });
  if (batch) for (const pid of Object.values(pidsOf(network)).flat()) scheduleAsUnitsDo(pid);
  const chain = [
    serverCertificate(network.pki.webIntermediate, { dns: [serverName] }),
    network.pki.webIntermediate,
  ] as const;
  const nginx = await startNginx(directory, addresses[0]!, port, chain);
  const agent = new Agent({ keepAlive: true, maxSockets: 64, ca: readFileSync(network.files.httpsCa) });
  const bodies = addresses.map((address) =>
    encodeVoucherRequest({
      ipv4: parseAddress(address),
      port,
      serverName,
      chains: [chain.map(({ der }) => der)],
    }),
  );
  try {
    // A voucher authority runs for weeks: what is measured has been compiled.
    for (let issued = 0; issued < vouchersOfWarmUp; ) {
      issued += (await load(network, agent, bodies, 64, 2)).vouchers;
    }
    const alone = await load(network, agent, bodies, 1, 3);
    report(`${setting}, 1 outstanding: median latency`, median(alone.latencies), 'ms');
    const before = cpuOf(network, nginx.pids());
    const full = await load(network, agent, bodies, 64, secondsPerRun);
    const after = cpuOf(network, nginx.pids());
    report(`${setting}, 64 outstanding: vouchers`, full.vouchers / full.seconds, 'per s');
    report(`${setting}, 64 outstanding: median latency`, median(full.latencies), 'ms');
    report(`${setting}, 64 outstanding: 99th percentile`, percentile(full.latencies, 0.99), 'ms');
    const floors = await floorsOf(addresses[0]!, port, () => cpuOf(network, nginx.pids())['nginx (target)']!);
    const { saturated, paced } = await librariesAlone(
      directory,
      chainOctets(chain),
      full.vouchers / full.seconds,
    );
    for (const [name, each] of Object.entries(saturated)) {
      report(`${setting}: CPU of the libraries of ${name}, as fast as they can`, each, 'µs per voucher');
    }
    const { name: handshakes, value: byOpenssl } = floors['openssl']!;
    report(`${handshakes}, user CPU of openssl`, byOpenssl, 'µs');
    let total = 0;
    for (const [name, seconds] of Object.entries(after)) {
      const each = ((seconds - before[name]!) * 1e6) / full.vouchers;
      total += each;
      report(`${setting}: CPU of ${name}`, each, 'µs per voucher', floorOf(floors[name], paced[name]));
    }
    report(`${setting}: CPU of all of them`, total, 'µs per voucher');
    report(`${setting}: vouchers at that, on two cores that do nothing else`, 2e6 / total, 'per s');
    if (agentProcesses === 6) await reportOctets(network, directory, chain);
    if (full.failures > 0) report(`${setting}: failures`, full.failures, 'requests');
  } finally {
    agent.destroy();
    nginx.stop();
    await network.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
process.exit();

interface Load {
  readonly vouchers: number;
  readonly failures: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly latencies: readonly number[];
}

async function load(
  network: Network,
  agent: Agent,
  bodies: readonly Uint8Array[],
  outstanding: number,
  seconds: number,
): Promise<Load> {
  const latencies: number[] = [];
  let failures = 0;
  const since = performance.now();
  const until = since + seconds * 1000;
  await Promise.all(
    bodies.slice(0, outstanding).map(async (body) => {
      while (performance.now() < until) {
        const begun = performance.now();
        if ((await ask(network.vrpUrl, agent, body)) === 'issued') latencies.push(performance.now() - begun);
        else failures++;
      }
    }),
  );
  return { vouchers: latencies.length, failures, seconds: (performance.now() - since) / 1000, latencies };
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]!;
}

function chainOctets(chain: readonly TestCertificate[]): number {
  return chain.reduce((sum, { der }) => sum + der.length, 0);
}

/** The cryptography of a part and its libraries, as far as each was measured. */
function floorOf(cryptography: Floor | undefined, libraries: number | undefined): Floor | undefined {
  if (libraries === undefined) return cryptography;
  const { name, value } = cryptography ?? { name: '', value: 0 };
  return { name: `${name}${name && ', and '}the libraries alone at this rate`, value: value + libraries };
}

/** What one voucher leaves on disks and sends over networks. */
async function reportOctets(
  network: Network,
  directory: string,
  chain: readonly TestCertificate[],
): Promise<void> {
  report('octets of the chain', chainOctets(chain), 'octets');
  const nats = await connectNats({
    servers: network.nats.url,
    authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
    inboxPrefix: inboxPrefix('operator'),
  });
  const manager = await jetstreamManager(nats);
  const state = async (stream: string) => (await manager.streams.info(stream)).state;
  const observations = await state(streams.observations.name);
  const records = await state(streams.records.name);
  await nats.close();
  const auditLog = statSync(join(directory, 'audit.jsonl')).size;
  report('octets of one observation in JetStream', observations.bytes / observations.messages, 'octets');
  report('octets of one decision record in JetStream', records.bytes / records.messages, 'octets');
  report('octets of the audit log', auditLog / records.messages, 'octets per voucher');
  const { sent, received } = await probeOctets();
  report('octets of one probe, sent', sent, 'octets');
  report('octets of one probe, received', received, 'octets');
}

/** Of TLS and what lies below it in the connection, without TCP's and IP's own headers. */
async function probeOctets(): Promise<{ sent: number; received: number }> {
  const counted = { sent: 0, received: 0 };
  const between = createServer((client) => {
    const server = connect(port, addresses[0]);
    client.on('data', (data) => (counted.sent += data.length)).pipe(server);
    server.on('data', (data) => (counted.received += data.length)).pipe(client);
  });
  between.listen(0, '127.0.0.1');
  await once(between, 'listening');
  const at = between.address() as AddressInfo;
  const { error } = await probe({ address: '127.0.0.1', port: at.port, serverName });
  if (error) throw new Error(error.detail);
  between.close();
  return counted;
}

/** Processes of each part of the voucher authority. */
function pidsOf({ agents, coordinator, signer, nats }: Network): Record<string, readonly number[]> {
  return {
    coordinator: [coordinator.pid],
    signer: [signer.pid],
    agents: [...new Set(Array.from(agents.values(), ({ pid }) => pid))],
    NATS: [nats.pid],
  };
}

/** CPU seconds so far, by part. */
function cpuOf(network: Network, nginx: readonly number[]): Record<string, number> {
  const parts = Object.entries({ ...pidsOf(network), 'nginx (target)': nginx });
  const { user, system } = process.cpuUsage();
  return {
    ...Object.fromEntries(
      parts.map(([name, pids]) => [name, pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)]),
    ),
    'the load generator': (user + system) / 1e6,
  };
}
