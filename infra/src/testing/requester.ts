/** Servers to ask about, and requesters of many addresses who ask. */
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { ClientError, type RequestOptions, requestVoucher } from '@mecai/client';
import { type Endpoint, type Network, serverCertificate, tlsServer } from '@mecai/test/network';
import type { ChainResult, TbsVoucherRequest } from '@mecai/voucher';

export interface Site {
  readonly endpoint: Endpoint;
  readonly request: TbsVoucherRequest;
  readonly key: NonNullable<RequestOptions['keys']>;
}

export interface Answer {
  readonly status: ChainResult['status'] | 'no-answer';
  readonly result?: ChainResult;
  readonly milliseconds: number;
}

const server = '127.0.0.80';

export class Requester {
  readonly #network: Pick<Network, 'vrpUrl' | 'files' | 'pki'>;
  readonly #ca: string;
  readonly #endpoints: Endpoint[] = [];
  #strangers = 0;

  constructor(network: Pick<Network, 'vrpUrl' | 'files' | 'pki'>) {
    this.#network = network;
    this.#ca = readFileSync(network.files.httpsCa, 'utf8');
  }

  /** A server with a certificate of its own. */
  async open(serverName: string): Promise<Site> {
    const { webIntermediate } = this.#network.pki;
    const leaf = serverCertificate(webIntermediate, { dns: [serverName] });
    const endpoint = await tlsServer([leaf, webIntermediate], server);
    this.#endpoints.push(endpoint);
    const ipv4 = Uint8Array.from(server.split('.'), Number);
    const chains = [[leaf.der, webIntermediate.der]];
    return { endpoint, request: { ipv4, port: endpoint.port, serverName, chains }, key: [leaf.privateKey] };
  }

  /**
   * @param from the requester's address; by default one that has not asked before
   * @param keys as proof of the server's key
   */
  async ask({ request }: Site, from = this.#stranger(), keys?: RequestOptions['keys']): Promise<Answer> {
    const agent = new Agent({ ca: this.#ca, localAddress: from });
    const began = performance.now();
    const took = () => performance.now() - began;
    const options = { agent, timeoutMs: 60_000, ...(keys && { keys }) };
    try {
      const { results } = await requestVoucher(this.#network.vrpUrl, request, options);
      const [result] = results;
      return { status: result!.status, result: result!, milliseconds: took() };
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return { status: 'no-answer', milliseconds: took() };
    } finally {
      agent.destroy();
    }
  }

  async close(): Promise<void> {
    for (const endpoint of this.#endpoints) await endpoint.close();
  }

  #stranger(): string {
    const i = this.#strangers++;
    return `127.1.${(i >> 7) & 127}.${(i & 127) + 1}`;
  }
}

/** So many at the same time, until all are done. */
export async function inParallel<T>(
  workers: number,
  count: number,
  act: (i: number) => Promise<T>,
): Promise<T[]> {
  const done: T[] = [];
  let next = 0;
  const work = async () => {
    for (let i = next++; i < count; i = next++) done.push(await act(i));
  };
  await Promise.all(Array.from({ length: workers }, work));
  return done;
}
