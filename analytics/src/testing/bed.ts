import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Decision, type Observation, ensureStreams } from '@mecai/proto';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { createChdbConnection } from 'chdb/connection';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type TestNetwork,
  agentNames,
  encodeObservation,
  makeDecision,
  makeObservation,
  startNetwork,
  subjectOf,
} from './network.ts';
import { type AnalyticsProcess, startProcess } from './process.ts';

/** What the tests of a file share: one network, and for each test empty streams and a directory of its own. */
export class Bed {
  readonly root = mkdtempSync(join(tmpdir(), 'mecai-analytics-'));
  readonly #connections = new Map<string, NatsConnection>();
  readonly #running: AnalyticsProcess[] = [];
  #network: TestNetwork | undefined;
  #round = 0;

  constructor() {
    beforeAll(async () => {
      this.#network = await startNetwork(this.root);
      for (const name of [...agentNames, 'va1', 'operator']) {
        this.#connections.set(name, await this.#network.as(name));
      }
    });
    beforeEach(async () => {
      this.#round++;
      mkdirSync(this.directory);
      const manager = await this.manager();
      for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
      await ensureStreams(manager);
    });
    afterEach(() => {
      for (const { child } of this.#running.splice(0)) child.kill('SIGKILL');
    });
    afterAll(async () => {
      for (const connection of this.#connections.values()) await connection.close();
      await this.#network?.nats.stop();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  get network(): TestNetwork {
    return this.#network!;
  }

  get directory(): string {
    return join(this.root, String(this.#round));
  }

  /** Rows in the store of a process that has ended, as it left them. */
  async stored<T>(query: string, directory = 'store'): Promise<T[]> {
    const engine = createChdbConnection({ path: join(this.directory, directory) });
    const result = await engine.chdb.queryAsync(query, { format: 'JSONEachRow' });
    await engine.close();
    const lines = result.text().split('\n');
    return lines.filter(Boolean).map((line) => JSON.parse(line) as T);
  }

  as(name: string): NatsConnection {
    return this.#connections.get(name)!;
  }

  manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.as('operator'));
  }

  /** With small batches and quick redelivery, unless told otherwise. */
  async start(options: Record<string, unknown> = {}): Promise<AnalyticsProcess> {
    const started = await startProcess(this.directory, {
      nats: { servers: [this.network.nats.url], seedFile: this.network.seedFile },
      registry: this.network.registry,
      store: { kind: 'embedded', directory: 'store' },
      batch: { rows: 200, ms: 20 },
      redeliverMs: 1000,
      ...options,
    });
    this.#running.push(started);
    return started;
  }

  /** The `n`-th observation as published. */
  encoded(n: number, at = Date.now()): Uint8Array {
    const agent = agentOf(n);
    return encodeObservation(makeObservation(this.network, n, agent, at), this.network.keys.get(agent)!);
  }

  /** Publishes until acknowledged, as an agent does: by message id, so that a repetition is none. */
  async publish(name: string, subject: string, data: Uint8Array, msgID?: string): Promise<void> {
    for (;;) {
      try {
        await jetstream(this.as(name), { timeout: 500 }).publish(subject, data, msgID ? { msgID } : {});
        return;
      } catch {
        await delay(20);
      }
    }
  }

  publishObservation = (n: number): Promise<void> =>
    this.publish(agentOf(n), subjectOf(agentOf(n)), this.encoded(n), `observation ${n}`);

  /** The `n`-th observation as somebody else would have made it. */
  async publishChanged(n: number, changes: Partial<Observation>): Promise<void> {
    const agent = agentOf(n);
    const observation = { ...makeObservation(this.network, n, agent, Date.now()), ...changes };
    await this.publish(
      agent,
      subjectOf(agent),
      encodeObservation(observation, this.network.keys.get(agent)!),
    );
  }

  /** By an agent whose clock is off: an incident as soon as the rules are evaluated. */
  publishSkewed(): Promise<void> {
    return many(0, 60, (n) => this.publishChanged(n * 3, { observedAt: Date.now() - 300_000 }));
  }

  publishDecision = (n: number): Promise<void> => {
    const record = Decision.encode(makeDecision(n, Date.now())).finish();
    return this.publish('va1', 'mecai.decision.va1', record, `decision ${n}`);
  };
}

/** Agents take turns. */
export const agentOf = (n: number): string => agentNames[n % agentNames.length]!;

/** Calls `each` for `from` up to `to`, so many at a time. */
export async function many(from: number, to: number, each: (n: number) => Promise<void>, outstanding = 32) {
  let next = from;
  const lane = async () => {
    while (next < to) await each(next++);
  };
  await Promise.all(Array.from({ length: outstanding }, lane));
}
