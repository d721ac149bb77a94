import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { type ChainResult, type Voucher, VoucherVerifier } from '@mecai/voucher';
import {
  type Endpoint,
  type Network,
  type NetworkOptions,
  type TestCertificate,
  startNetwork,
  tlsServer,
} from '../network/index.ts';

type Chain = readonly [TestCertificate, ...TestCertificate[]];

export const serverName = 'www.example.test';
const generous = { perMinute: 100_000_000, burst: 100_000_000 };

/** A network, and servers to ask it about. */
export class Asker {
  readonly network: Network;
  readonly #endpoints: Endpoint[] = [];

  private constructor(network: Network) {
    this.network = network;
  }

  /** @param prepare called with the network's directory before anything starts */
  static async start(
    options: Partial<NetworkOptions> = {},
    prepare: (directory: string) => void = () => undefined,
  ): Promise<Asker> {
    const directory = mkdtempSync(join(tmpdir(), 'mecai-trust-'));
    prepare(directory);
    const network = await startNetwork({
      directory,
      agentProcesses: 1,
      ...options,
      signer: { draws: { perEndpoint: 100_000 }, ...options.signer },
      coordinator: {
        limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
        probe: { timeoutMs: 2_000, transitMs: 500, graceMs: 0 },
        ...options.coordinator,
      },
    });
    return new Asker(network);
  }

  /** Starts a server with this chain; each call of what comes back asks for one voucher. */
  async about(chain: Chain, name = serverName, host = '127.0.0.80'): Promise<() => Promise<ChainResult>> {
    const endpoint = await tlsServer(chain, host);
    this.#endpoints.push(endpoint);
    const ca = readFileSync(this.network.files.httpsCa, 'utf8');
    const request = {
      ipv4: Uint8Array.from(host.split('.'), Number),
      port: endpoint.port,
      serverName: name,
      chains: [chain.map(({ der }) => der)],
    };
    return async () => (await requestVoucher(this.network.vrpUrl, request, { ca })).results[0]!;
  }

  /** What the voucher of this answer says; it verifies. */
  content({ voucher, status, detail }: ChainResult): Voucher {
    if (!voucher) throw new Error(`no voucher but ${status}: ${detail}`);
    const roots = [this.network.pki.vaRoot.der];
    return new VoucherVerifier({ roots }).verify(voucher, new Date()).content;
  }

  async close(): Promise<void> {
    await this.network.stop();
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()));
    rmSync(this.network.directory, { recursive: true, force: true });
  }
}

/**
 * Asks until so many answers in succession are as wanted; resolves with the last one, and with how long the first one
 * of them took, in milliseconds.
 */
export async function until(
  ask: () => Promise<ChainResult>,
  wanted: (result: ChainResult) => boolean,
  withinMs = 60_000,
  row = 1,
): Promise<{ result: ChainResult; milliseconds: number }> {
  const since = performance.now();
  let milliseconds = 0;
  for (let found = 0; ; ) {
    const result = await ask();
    const now = performance.now() - since;
    found = wanted(result) ? found + 1 : 0;
    if (found === 1) milliseconds = now;
    if (found >= row) return { result, milliseconds };
    if (found === 0 && now > withinMs) {
      throw new Error(`not within ${withinMs} ms; the last answer: ${result.status} ${result.detail}`);
    }
  }
}
