import { type Msg, type NatsConnection, headers } from '@nats-io/transport-node';
import { AgentStatus, SignedObservation, type Target, Task, encoded, subjects } from '@mecai/proto';
import { CoordinatorError } from './error.ts';

type Listener = (agent: string, evidence: SignedObservation) => void;

/** A question that has been put. */
export interface Asked {
  /**
   * Puts it once more, to agents that have not answered: task or answer may be lost. Who has answered says the same
   * again, octet for octet.
   */
  readonly again: (agents: readonly string[]) => void;
  /** Nothing more is heard. */
  readonly stop: () => void;
}

/**
 * The fan-out. Tasks go to each agent's own subject; answers come back on `mecai.observation.<agent>.<this>`,
 * where only that agent may publish. Each of these is subscribed to by its name: a node of NATS tells its leaf nodes
 * of a wildcard only if one of their rights lies within it, and `mecai.observation.*.<this>` and an agent's
 * `mecai.observation.<agent>.*` do no more than overlap.
 */
export class Perspectives {
  readonly #nats: Pick<NatsConnection, 'publish' | 'subscribe'>;
  readonly #name: string;
  readonly #fail: (error: Error) => void;
  readonly #listeners = new Map<string, Listener>();
  /** Whose answers are subscribed to. */
  readonly #subscribed = new Set<string>();
  readonly #lastHeard = new Map<string, number>();
  /** Those that said they stop. */
  readonly #stopping = new Set<string>();
  readonly #now: () => number;
  #connectedSince: number | undefined;
  #quiet: (() => void) | undefined;
  #onStatus: (agent: string, status: AgentStatus) => void = () => undefined;

  /**
   * @param now milliseconds
   * @param fail for what makes this coordinator deaf
   */
  constructor(
    nats: Pick<NatsConnection, 'publish' | 'subscribe'>,
    name: string,
    now: () => number,
    fail: (error: Error) => void,
  ) {
    this.#nats = nats;
    this.#name = name;
    this.#now = now;
    this.#fail = fail;
    this.#connectedSince = now();
    nats.subscribe(subjects.agentStatus('*'), {
      callback: (error, message) => {
        if (error) fail(error);
        else this.#alive(message);
      },
    });
  }

  /** Agents are not silent for as long as nothing can be heard. */
  connected(yes: boolean): void {
    this.#connectedSince = yes ? this.#now() : undefined;
  }

  /** @throws CoordinatorError `nats-unavailable` */
  expectConnected(): void {
    if (this.#connectedSince === undefined) {
      throw new CoordinatorError('nats-unavailable', 'the perspectives cannot be asked: NATS is away');
    }
  }

  /** Whether there was a sign of life since the start of this process. */
  heard(agent: string): boolean {
    return this.#lastHeard.has(agent);
  }

  /**
   * Milliseconds since the agent's last sign of life; since NATS is there if that is later. Infinite for one that
   * has said that it stops.
   */
  silentMs(agent: string): number {
    if (this.#stopping.has(agent)) return Number.POSITIVE_INFINITY;
    const now = this.#now();
    return now - Math.max(this.#lastHeard.get(agent) ?? 0, this.#connectedSince ?? now);
  }

  /**
   * Sends the task and hands each answer to `heard` until it is stopped.
   *
   * @throws CoordinatorError `nats-unavailable`
   */
  ask(
    nonce: Uint8Array,
    targets: readonly Target[],
    agents: readonly string[],
    timeoutMs: number,
    heard: Listener,
    traceparent = '',
  ): Asked {
    const id = key(nonce);
    const task = encoded(Task, { nonce, targets: [...targets], timeoutMs, coordinator: this.#name });
    const options = traceparent === '' ? undefined : { headers: headers() };
    options?.headers.set('traceparent', traceparent);
    const send = (some: readonly string[]) => {
      for (const agent of some) {
        this.#subscribe(agent);
        this.#nats.publish(subjects.task(agent), task, options);
      }
    };
    this.#listeners.set(id, heard);
    const stop = () => {
      this.#listeners.delete(id);
      if (this.#listeners.size === 0) this.#quiet?.();
    };
    try {
      this.expectConnected();
      send(agents);
    } catch (cause) {
      stop();
      if (cause instanceof CoordinatorError) throw cause;
      throw new CoordinatorError('nats-unavailable', 'the perspectives cannot be asked: NATS is away', {
        cause,
      });
    }
    const again = (some: readonly string[]) => {
      if (this.#connectedSince !== undefined && this.#listeners.has(id)) send(some);
    };
    return { again, stop };
  }

  /** Questions still listened to, stragglers' included. */
  get listening(): number {
    return this.#listeners.size;
  }

  /** Resolves once nobody listens any more, or the time is over. */
  async quiet(ms: number): Promise<void> {
    if (this.#listeners.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#quiet = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  /** What agents say against declared places. */
  onStatus(listener: (agent: string, status: AgentStatus) => void): void {
    this.#onStatus = listener;
  }

  #subscribe(agent: string): void {
    if (this.#subscribed.has(agent)) return;
    this.#subscribed.add(agent);
    this.#nats.subscribe(subjects.observation(agent, this.#name), {
      callback: (error, message) => {
        if (error) this.#fail(error);
        else this.#answer(message);
      },
    });
  }

  #alive(message: Msg): void {
    const agent = agentOf(message);
    this.#lastHeard.set(agent, this.#now());
    let status: AgentStatus;
    this.#stopping.delete(agent);
    try {
      status = AgentStatus.decode(message.data);
      if (status.stopping) this.#stopping.add(agent);
    } catch {
      // A sign of life all the same.
      return;
    }
    this.#onStatus(agent, status);
  }

  #answer(message: Msg): void {
    let evidence: SignedObservation;
    try {
      evidence = SignedObservation.decode(message.data);
    } catch {
      return;
    }
    const nonce = nonceOf(evidence.observation);
    if (nonce === undefined) return;
    const agent = agentOf(message);
    this.#listeners.get(key(nonce))?.(agent, evidence);
  }
}

/** Third token of `mecai.observation.<agent>.<coordinator>` and `mecai.agent.<agent>`. */
const agentOf = ({ subject }: Msg): string => subject.split('.', 3)[2]!;

const key = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

/**
 * The nonce at the front of an Observation: field 1, 32 octets. Agents write it first (protobuf writers go by field
 * number); what does not start so is of no use to anyone here.
 */
function nonceOf(observation: Uint8Array): Uint8Array | undefined {
  return observation[0] === 0x0a && observation[1] === 32 && observation.length >= 34
    ? observation.subarray(2, 34)
    : undefined;
}
