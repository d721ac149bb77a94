import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TbsVoucherRequest } from '@mecai/voucher';
import {
  type Network,
  type NetworkOptions,
  type TestCertificate,
  route,
  serverCertificate,
  startNetwork,
  tlsServer,
} from '../network/index.ts';
import { freePort } from '@mecai/addresses/testing';

export const serverName = 'www.example.test';
const host = '127.0.0.80';

/** A network whose processes can be started again, and one server to ask about. */
export interface Stage {
  readonly network: Network;
  readonly request: TbsVoucherRequest;
  /** CA of the coordinator's certificate, PEM. */
  readonly ca: string;
  /** Leads the agents with these names to a server with another chain, until called again. */
  intercept(names: readonly string[]): void;
  status(url: string): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

const generous = { perMinute: 100_000_000, burst: 100_000_000 };

export async function setStage(options: Partial<NetworkOptions> = {}): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-faults-'));
  const network = await startNetwork({
    directory,
    ...options,
    // Whoever comes back is looked for where it was.
    signer: {
      listen: `127.0.0.1:${await freePort()}`,
      draws: { perEndpoint: 100_000 },
      ...options.signer,
    },
    coordinator: {
      listen: `127.0.0.1:${await freePort()}`,
      admin: `127.0.0.1:${await freePort()}`,
      probe: { timeoutMs: 2_000, transitMs: 500, graceMs: 500 },
      limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
      ...options.coordinator,
    },
  });
  const { pki, cities } = network;
  const certified = (issuer: TestCertificate) => serverCertificate(issuer, { dns: [serverName] });
  const leaf = certified(pki.webIntermediate);
  const genuine = await tlsServer([leaf, pki.webIntermediate]);
  const attacker = await tlsServer([certified(pki.brokenIntermediate), pki.brokenIntermediate]);
  let led: ReadonlySet<string> = new Set();
  const way = await route(host, genuine, (from) => (led.has(from) ? attacker : undefined));
  return {
    network,
    request: {
      ipv4: Uint8Array.from(host.split('.'), Number),
      port: way.port,
      serverName,
      chains: [[leaf.der, pki.webIntermediate.der]],
    },
    ca: readFileSync(network.files.httpsCa, 'utf8'),
    intercept(names) {
      led = new Set(cities.flatMap(({ name, address }) => (names.includes(name) ? [address] : [])));
    },
    async status(url) {
      const status: Record<string, unknown> = JSON.parse(await (await fetch(`${url}/status`)).text());
      return status;
    },
    async close() {
      await network.stop();
      for (const endpoint of [way, genuine, attacker]) await endpoint.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Looks again until it holds. */
export async function eventually(
  what: string,
  holds: () => Promise<boolean>,
  withinMs = 60_000,
): Promise<void> {
  const until = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > until) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
