import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { SignedObservation, type Target, Task, subjects } from '@mecai/proto';
import { CoordinatorError } from './error.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

/**
 * The fan-out. Tasks go to each agent's own subject; answers come back on `mecai.observation.<agent>.<this>`,
 * where only that agent may publish.
 */
export class Perspectives {
  readonly #nats: NatsConnection;
  readonly #name: string;
  readonly #listeners = new Map<string, (agent: string, evidence: SignedObservation) => void>();
  readonly #lastHeard = new Map<string, number>();
  readonly #startedAt: number;
  readonly #now: () => number;

  constructor(nats: NatsConnection, name: string, now: () => number) {
    this.#nats = nats;
    this.#name = name;
    this.#now = now;
    this.#startedAt = now();
    nats.subscribe(subjects.observation('*', name), {
      callback: (error, message) => this.#answer(error, message),
    });
    nats.subscribe(subjects.agentStatus('*'), {
      callback: (error, message) => {
        if (!error) this.#lastHeard.set(message.subject.split('.')[2]!, now());
      },
    });
  }

  /** Whether there was a sign of life since the start of this process. */
  heard(agent: string): boolean {
    return this.#lastHeard.has(agent);
  }

  /** Milliseconds since the agent's last sign of life; since the start of this process if there was none. */
  silentMs(agent: string): number {
    return this.#now() - (this.#lastHeard.get(agent) ?? this.#startedAt);
  }

  /**
   * Sends the task and hands each answer to `heard` until the returned function is called.
   *
   * @throws CoordinatorError `nats-unavailable`
   */
  ask(
    nonce: Uint8Array,
    targets: readonly Target[],
    agents: readonly string[],
    timeoutMs: number,
    heard: (agent: string, evidence: SignedObservation) => void,
  ): () => void {
    const id = hex(nonce);
    const task = Task.encode({ nonce, targets: [...targets], timeoutMs, coordinator: this.#name }).finish();
    this.#listeners.set(id, heard);
    try {
      for (const agent of agents) this.#nats.publish(subjects.task(agent), task);
    } catch (cause) {
      this.#listeners.delete(id);
      throw new CoordinatorError('nats-unavailable', 'the perspectives cannot be asked: NATS is away', {
        cause,
      });
    }
    return () => this.#listeners.delete(id);
  }

  #answer(error: Error | null, message: Msg): void {
    if (error) return;
    let evidence: SignedObservation;
    try {
      evidence = SignedObservation.decode(message.data);
    } catch {
      return;
    }
    const nonce = nonceOf(evidence.observation);
    if (nonce !== undefined) this.#listeners.get(hex(nonce))?.(message.subject.split('.')[2]!, evidence);
  }
}

/**
 * The nonce at the front of an Observation: field 1, 32 octets. Agents write it first (protobuf writers go by field
 * number); what does not start so is of no use to anyone here.
 */
function nonceOf(observation: Uint8Array): Uint8Array | undefined {
  return observation[0] === 0x0a && observation[1] === 32 && observation.length >= 34
    ? observation.subarray(2, 34)
    : undefined;
}
