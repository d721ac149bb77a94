/** Where and when certificates were last seen: written together, once in a while, off the path of a voucher. */
import { formatAddress } from '@mecai/addresses';
import type { Database, Statements, Value } from '@mecai/database';
import type { PerspectiveOutcome } from '@mecai/voucher';
import { type Logger, reasonOf } from '@mecai/runtime';
import type { Question } from '../decide.ts';
import { type Endpoint, enqueueNotice } from '../notice/notice.ts';
import { hex } from './certificate-facts.ts';
import { insertRows } from './rows.ts';

/** One corroborated look at one chain. */
export interface Sight {
  readonly question: Question;
  /** Trust contexts that accept the chain. */
  readonly trustContexts: readonly string[];
  readonly perspectives: readonly PerspectiveOutcome[];
}

export interface LastSeenParts {
  readonly database: () => Database;
  /** A notice when a known certificate is seen at an address where it was not before. */
  readonly noticeOfAddresses: boolean;
  readonly log: Logger;
}

interface Pending {
  readonly sight: Sight;
  readonly leaf: Uint8Array;
  readonly at: number;
}

/** More endpoints than a coordinator sees in a second; in an outage of the database the oldest are dropped. */
const most = 50_000;
const chunk = 100;

export class LastSeen {
  readonly #parts: LastSeenParts;
  // In the order of first arrival.
  #pending = new Map<string, Pending>();
  #flushing: Promise<void> = Promise.resolve();
  #troubled = false;

  constructor(parts: LastSeenParts) {
    this.#parts = parts;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** @param at milliseconds since 1970 */
  add(sight: Sight, leaf: Uint8Array, at: number): void {
    const { addresses, port } = sight.question.subject;
    const key = Buffer.concat([leaf, ...addresses]).toString('latin1') + port;
    this.#pending.set(key, { sight, leaf, at });
    if (this.#pending.size > most) this.#pending.delete(this.#pending.keys().next().value!);
  }

  /** Writes what has gathered. Never rejects: what could not be written is tried again the next time. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    const all = [...this.#pending];
    for (let from = 0; from < all.length; from += chunk) {
      const some = all.slice(from, from + chunk);
      try {
        await this.#write(some.map(([, pending]) => pending));
      } catch (error) {
        if (!this.#troubled)
          this.#parts.log.warn({ reason: reasonOf(error) }, 'last-seen times are not stored');
        this.#troubled = true;
        return;
      }
      this.#troubled = false;
      for (const [key, pending] of some) if (this.#pending.get(key) === pending) this.#pending.delete(key);
    }
  }

  async #write(some: readonly Pending[]): Promise<void> {
    const { database, noticeOfAddresses } = this.#parts;
    const rows = some.flatMap(({ sight, leaf, at }) => endpointRows(sight, leaf, at));
    // One for all: by itself each statement would wait for the disk.
    await database().transaction(async (statements) => {
      const fresh = new Set(await upsertEndpoints(statements, rows));
      if (!noticeOfAddresses) return;
      for (const { sight, leaf, at } of some) {
        const { subject, requester, authenticated } = sight.question;
        if (!endpointRows(sight, leaf, at).some((row) => fresh.has(endpointKey(row)))) continue;
        await enqueueNotice(statements, {
          kind: 'unexpected-address',
          chain: subject.chain,
          endpoint: endpointOf(subject),
          requester,
          authenticated,
          seenAt: at,
          perspectives: sight.perspectives,
        });
      }
    });
  }
}

export const endpointOf = ({ addresses, port, serverName, startTls }: Question['subject']): Endpoint => ({
  addresses,
  port,
  serverName,
  startTls,
});

type EndpointRow = readonly [Uint8Array, string, number, string, string, number, number];

export const endpointRows = ({ question }: Sight, leaf: Uint8Array, at: number): EndpointRow[] => {
  const { addresses, port, serverName, startTls } = question.subject;
  return addresses.map((address) => [leaf, formatAddress(address), port, serverName, startTls, at, at]);
};

const endpointKey = ([leaf, address, port]: readonly [Uint8Array, string, number, ...Value[]]): string =>
  `${hex(leaf)} ${address} ${port}`;

/** @returns keys of the endpoints that were not there before */
export async function upsertEndpoints(
  statements: Statements,
  rows: readonly EndpointRow[],
): Promise<string[]> {
  // One row each, or Postgres refuses; in one order everywhere, so that coordinators do not deadlock.
  const distinct = new Map(rows.map((row) => [endpointKey(row), row]));
  const sorted = [...distinct].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const written = await insertRows<{
    readonly sha256: Uint8Array;
    readonly address: string;
    readonly port: number;
    readonly first_request: number;
    readonly last_request: number;
  }>(
    statements,
    `insert into certificate_endpoint
       (sha256, address, port, server_name, start_tls, first_request, last_request) values`,
    sorted,
    `on conflict (sha256, address, port) do update set
       server_name = excluded.server_name, start_tls = excluded.start_tls, last_request = excluded.last_request
     where excluded.last_request > certificate_endpoint.last_request
     returning sha256, address, port, first_request, last_request`,
  );
  return written
    .filter((row) => row.first_request === row.last_request)
    .map(({ sha256, address, port }) => endpointKey([sha256, address, port]));
}
