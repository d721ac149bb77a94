/** Whether anything was lost: what requesters hold against decisions, audit lines, observations and rows. */
import { readFileSync } from 'node:fs';
import { inboxPrefix, streams } from '@mecai/proto';
import { jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { type Books, evidenceOf, lacking, readShelves, storedTwice } from '../faults/books.ts';
import type { Regions } from './regions.ts';
import { readStored } from './stored.ts';
import type { Theatre } from './theatre.ts';

export interface Accounts {
  readonly vouchers: number;
  readonly decisions: number;
  readonly auditLines: number;
  /** Those whose acknowledgement by JetStream was heard. */
  readonly observations: number;
  /** What streams have more than once: offered again to a leader that did not know it. Sinks store it once. */
  readonly repeated: number;
  /** Observations in sinks, without sinks in the stream, each once. */
  readonly stored: number;
  /** Of all sinks together; absent without any. */
  readonly rows?: number;
  /** Observations that no sink has, without sinks no stream: their agents were killed before JetStream acknowledged them. */
  readonly unacknowledged: number;
  /** What was still on its way when time was up, in words: stored or not, something does not come to rest by itself. */
  readonly unsettled: readonly string[];
  /** What is lost, or does not add up, in words. */
  readonly wrong: readonly string[];
}

export const asOperator = ({ operator: { servers, ca, seedFile } }: Regions): Promise<NatsConnection> =>
  connect({
    servers: [...servers],
    tls: { ca },
    authenticator: nkeyAuthenticator(readFileSync(seedFile)),
    inboxPrefix: inboxPrefix('operator'),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    timeout: 20_000,
  });

/** Waits until everything is acknowledged and stored, and compares. */
export async function settle(
  regions: Regions,
  { vouchers, acknowledgements }: Pick<Theatre, 'vouchers' | 'acknowledgements'>,
  { withinMs }: { withinMs: number },
): Promise<Accounts> {
  const nats = await asOperator(regions);
  try {
    const jsm = await jetstreamManager(nats, { timeout: 20_000, checkAPI: false });
    const until = performance.now() + withinMs;
    const wrong: string[] = [];
    let open = await unsettled(regions, jsm);
    while (open.length > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      open = await unsettled(regions, jsm);
    }
    const books = await untilAnswered(until + 30_000, () => readShelves({ nats, signers: regions.signers }));
    const counted = {
      vouchers: vouchers.length,
      decisions: books.decisions.length,
      auditLines: books.audit.length,
      observations: acknowledgements.count,
      repeated: storedTwice(books).length,
    };
    wrong.push(...lacking(books, vouchers));
    const stored = regions.sinks.length > 0 ? await readStored(regions.sinks) : undefined;
    const found = stored?.observations ?? new Set(books.observations.map(({ hash }) => hash.slice(0, 32)));
    const { lost, unacknowledged } = acknowledgements.missing(
      (hash) => found.has(hash.slice(0, 32)),
      evidenceOf(books),
    );
    wrong.push(...lost);
    if (stored) {
      for (const { nonce } of books.decisions) {
        const hex = Buffer.from(nonce).toString('hex');
        if (!stored.decisions.has(hex)) wrong.push(`decision ${hex} is on record, and not stored`);
      }
    }
    return {
      ...counted,
      ...(stored && { rows: stored.rows }),
      stored: found.size,
      unacknowledged,
      unsettled: open,
      wrong,
    };
  } finally {
    await nats.close();
  }
}

/** While a cluster elects its leaders, it does not answer. */
async function untilAnswered(until: number, read: () => Promise<Books>): Promise<Books> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** What is still on its way, in words. */
async function unsettled(
  { agentUrls, coordinators, sinks }: Regions,
  jsm: Awaited<ReturnType<typeof jetstreamManager>>,
): Promise<string[]> {
  const status = async (url: string) =>
    (await (await fetch(`${url}/status`, { signal: AbortSignal.timeout(10_000) })).json()) as Record<
      string,
      unknown
    >;
  try {
    const counts: [string, unknown][] = [];
    for (const one of await Promise.all(agentUrls.map(status)))
      for (const name of ['unconfirmed', 'probesInFlight'])
        counts.push([`${String(one['name'])}: ${name}`, one[name]]);
    for (const one of await Promise.all(coordinators.map(({ adminUrl }) => status(adminUrl))))
      for (const name of ['recordsUnconfirmed', 'listening'])
        counts.push([`${String(one['name'])}: ${name}`, one[name]]);
    if (sinks.length > 0) {
      const { state } = await jsm.streams.info(streams.observations.name);
      const records = await jsm.consumers.info(streams.records.name, 'analytics');
      counts.push(
        ['observations', state.messages],
        ['records to be read', records.num_pending],
        ['records being stored', records.num_ack_pending],
      );
    }
    return counts.filter(([, count]) => count !== 0).map(([what, count]) => `${what} ${String(count)}`);
  } catch (error) {
    // One of them is not ready to answer; it is asked again.
    return [String(error)];
  }
}
