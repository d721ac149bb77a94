/** Six perspectives for tests, as a registry knows them and as NATS does. */
import { type Registry, type Rir, parseRegistry, signObservation } from '@mecai/corroboration';
import { AgentStatus, type Observation, SignedObservation, type Target, Task, subjects } from '@mecai/proto';
import { type TestKey, testKey } from '@mecai/voucher/testing';
import type { NatsConnection } from '@nats-io/transport-node';

export interface TestAgent {
  readonly name: string;
  readonly key: TestKey;
  readonly entry: Readonly<Record<string, unknown>>;
}

function agent(
  index: number,
  name: string,
  country: string,
  rir: Rir,
  [latitude, longitude]: readonly [number, number],
): TestAgent {
  const key = testKey();
  const publicKey = key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const entry = { name, publicKey, city: name, country, latitude, longitude, rir, asn: 64_496 + index };
  return { name, key, entry };
}

export const sixAgents = [
  agent(0, 'oslo', 'NO', 'ripencc', [59.9, 10.7]),
  agent(1, 'rome', 'IT', 'ripencc', [41.9, 12.5]),
  agent(2, 'boston', 'US', 'arin', [42.4, -71.1]),
  agent(3, 'denver', 'US', 'arin', [39.7, -105]),
  agent(4, 'tokyo', 'JP', 'apnic', [35.7, 139.7]),
  agent(5, 'perth', 'AU', 'apnic', [-31.95, 115.9]),
] as const satisfies readonly TestAgent[];
/** In registries only. */
export const lima: TestAgent = agent(6, 'lima', 'PE', 'lacnic', [-12, -77]);
export const names = ['oslo', 'rome', 'boston', 'denver', 'tokyo', 'perth'] as const;

export const registryText = (agents: readonly TestAgent[] = sixAgents): string =>
  JSON.stringify({ version: 1, agents: agents.map(({ entry }) => entry) });
export const testRegistry = (agents?: readonly TestAgent[]): Registry => parseRegistry(registryText(agents));

/** What was seen at one target; a match needs only the chain. */
export const observed = (
  nonce: Uint8Array,
  target: Target,
  agentName: string,
  chain: readonly Uint8Array[],
  rest: Partial<Observation> = {},
): Observation => ({
  nonce,
  agent: agentName,
  target,
  observedAt: Date.now(),
  chain: [...chain],
  possessionProven: chain.length > 0,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
  ...rest,
});

export const failed = (cause: string): Partial<Observation> => ({
  failure: { class: cause, alert: 0, detail: '' },
});

/** A perspective under a test's control. It speaks the real wire, and lies as it is told. */
export class ScriptedAgent {
  readonly #nats: NatsConnection;
  readonly #agent: TestAgent;
  readonly #coordinator: string;
  readonly tasks: Task[] = [];
  #heard = Promise.withResolvers<void>();

  /** @param answer called with each task; absent: nothing is said */
  constructor(
    nats: NatsConnection,
    agent: TestAgent,
    coordinator: string,
    answer: (task: Task, self: ScriptedAgent) => void = () => undefined,
  ) {
    this.#nats = nats;
    this.#agent = agent;
    this.#coordinator = coordinator;
    nats.subscribe(subjects.task(agent.name), {
      callback: (error, message) => {
        if (error) throw error;
        const task = Task.decode(message.data);
        this.#take(task);
        answer(task, this);
      },
    });
  }

  #take(task: Task): void {
    this.tasks.push(task);
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  get name(): string {
    return this.#agent.name;
  }

  /** Resolves with the first task. */
  async task(): Promise<Task> {
    while (this.tasks.length === 0) await this.#heard.promise;
    return this.tasks[0]!;
  }

  sayAlive(stopping = false): void {
    this.#nats.publish(
      subjects.agentStatus(this.name),
      AgentStatus.encode({
        sentAt: Date.now(),
        probesInFlight: 0,
        unconfirmed: 0,
        locationCheck: 'not-checked',
        contradictions: [],
        roundTrip: undefined,
        stopping,
      }).finish(),
    );
  }

  /** Answers every target of the task alike. */
  answer(task: Task, chain: readonly Uint8Array[], rest?: Partial<Observation>): void {
    for (const target of task.targets) this.send(observed(task.nonce, target, this.name, chain, rest));
  }

  /** @param key another agent's, to forge */
  send(observation: Observation, key = this.#agent.key.privateKey): void {
    this.sendSigned(signObservation(observation, key));
  }

  sendSigned(signed: SignedObservation): void {
    this.sendBytes(SignedObservation.encode(signed).finish());
  }

  sendBytes(bytes: Uint8Array): void {
    this.#nats.publish(subjects.observation(this.name, this.#coordinator), bytes);
  }

  flush(): Promise<void> {
    return this.#nats.flush();
  }
}
