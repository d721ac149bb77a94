/** Whether anything was lost: what requesters hold against decisions, audit lines, observations and rows. */
import { readFileSync } from 'node:fs';
import { inboxPrefix, streams } from '@mecai/proto';
import { jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { type Books, discrepancies, lostEvidence, readShelves } from '../faults/books.ts';
import type { Regions } from './regions.ts';

export interface Accounts {
  readonly vouchers: number;
  readonly decisions: number;
  readonly auditLines: number;
  /** Ever stored in the stream. */
  readonly observations: number;
  /** Of all sinks together; absent without any. */
  readonly rows?: number;
  /** Observations that vouchers rest on, and that no stream had: of agents that were killed before they were acknowledged. */
  readonly unacknowledged?: number;
  /** What does not add up, in words. */
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
  vouchers: readonly Uint8Array[],
  { withinMs, killedAgents }: { withinMs: number; killedAgents: boolean },
): Promise<Accounts> {
  const nats = await asOperator(regions);
  try {
    const jsm = await jetstreamManager(nats, { timeout: 20_000, checkAPI: false });
    const until = performance.now() + withinMs;
    for (;;) {
      const open = await unsettled(regions, jsm);
      if (open.length === 0) break;
      if (performance.now() > until)
        throw new Error(`not all is stored after ${withinMs} ms: ${open.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const [books, observations] = await untilAnswered(until, async () => [
      await readShelves({ nats, signers: regions.signers }),
      (await jsm.streams.info(streams.observations.name)).state.last_seq,
    ]);
    const counted = {
      vouchers: vouchers.length,
      decisions: books.decisions.length,
      auditLines: books.audit.length,
      observations,
    };
    const wrong = discrepancies(books, vouchers);
    if (regions.sinks.length === 0) {
      const lost = lostEvidence(books);
      if (!killedAgents) wrong.push(...lost.map((hash) => `observation ${hash} is lost`));
      return { ...counted, unacknowledged: lost.length, wrong };
    }
    const rows = await rowsOf(regions);
    // A sink that was killed may have stored what another stored again.
    if (rows.observations < observations) {
      wrong.push(`${observations} observations were acknowledged, and ${rows.observations} are stored`);
    }
    if (rows.decisions < books.decisions.length) {
      wrong.push(`${books.decisions.length} decisions are on record, and ${rows.decisions} are stored`);
    }
    return { ...counted, rows: rows.observations, wrong };
  } finally {
    await nats.close();
  }
}

/** While a cluster elects its leaders, it does not answer. */
async function untilAnswered(
  until: number,
  read: () => Promise<[books: Books, observations: number]>,
): Promise<[books: Books, observations: number]> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function rowsOf({ sinks }: Regions): Promise<{ observations: number; decisions: number }> {
  const all = await Promise.all(
    sinks.map(async (url) => (await (await fetch(`${url}/counts`)).json()) as Record<string, number>),
  );
  const sum = (table: string) => all.reduce((so, one) => so + (one[table] ?? 0), 0);
  return { observations: sum('observations'), decisions: sum('decisions') };
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
