/** From a task to observations: the agent's whole judgement of what it is asked. */
import type { KeyObject } from 'node:crypto';
import { type Prefix, forbiddenTarget, formatAddress } from '@mecai/addresses';
import { type FailureClass, signObservation } from '@mecai/corroboration';
import { KeyType, type Observation, type SignedObservation, type Target, Task, isName } from '@mecai/proto';
import {
  type KeyType as ProbeKeyType,
  type Prober,
  type ProbeResult,
  startTlsProtocols,
} from '@mecai/tls-probe';
import { GivenAnswers } from './given-answers.ts';

export interface ObserverParts {
  readonly name: string;
  readonly key: KeyObject;
  readonly prober: Prober;
  readonly rules: ProbeRules;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What may be probed, how, and how much at once. */
export interface ProbeRules {
  readonly allowedTargets: readonly Prefix[];
  readonly bindIpv4?: string | undefined;
  readonly bindIpv6?: string | undefined;
  /** Without the end of the handshake, under TLS 1.3. */
  readonly stopEarly?: boolean;
  readonly maxInFlight: number;
  /** What campaigns may take; nothing when absent. */
  readonly campaigns?: CampaignLimits;
}

/** What campaigns may take of an agent whose first duty are vouchers. */
export interface CampaignLimits {
  readonly inFlight: number;
  readonly perSecond: number;
}

/** An answer ready to be sent. */
export interface Answer {
  /** Who asked: a coordinator, or the process that runs campaigns. */
  readonly coordinator: string;
  readonly campaign: boolean;
  readonly signed: SignedObservation;
  /** What was signed. */
  readonly observation: Observation;
}

export interface AnswerOptions {
  readonly campaign?: boolean;
  readonly repeat?: (answer: Omit<Answer, 'observation'>) => void;
}

const keyTypes: Readonly<Record<number, ProbeKeyType>> = {
  [KeyType.KEY_TYPE_UNSPECIFIED]: 'any',
  [KeyType.KEY_TYPE_RSA]: 'rsa',
  [KeyType.KEY_TYPE_ECDSA]: 'ecdsa',
};

const maxTimeoutMs = 60_000;

export class Observer {
  /** May be changed at any time. */
  rules: ProbeRules;
  readonly #parts: Omit<ObserverParts, 'rules'>;
  #inFlight = 0;
  #campaignsInFlight = 0;
  /** When the next probe for a campaign may begin, at the earliest. */
  #campaignAt = 0;
  /** Answers promised and not given yet, probed or not. */
  readonly #open = new Set<Promise<Answer>>();
  readonly #given = new GivenAnswers();

  constructor({ rules, ...parts }: ObserverParts) {
    this.rules = rules;
    this.#parts = parts;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * One promise for each target; none rejects. What is not a task gets no answer. A coordinator's task that has been
   * here before is not probed again: what was answered goes to `repeat`, and what is under way follows anyway.
   */
  answer(
    bytes: Uint8Array,
    { campaign = false, repeat = () => undefined }: AnswerOptions = {},
  ): readonly Promise<Answer>[] {
    const task = readTask(bytes);
    if (!task) return [];
    const given = campaign ? undefined : this.#given.recall(bytes, task, this.#parts.now());
    if (given) {
      given.forEach(repeat);
      return [];
    }
    return task.targets.map((target) => {
      const answer = this.#answer(task, target, campaign).finally(() => this.#open.delete(answer));
      this.#open.add(answer);
      return answer;
    });
  }

  /** Resolves once every answer has been given; a probe's time is bounded by its task. */
  async idle(): Promise<void> {
    await Promise.all(this.#open);
  }

  async #answer(task: Task, target: Target, campaign: boolean): Promise<Answer> {
    const observation = await this.#observe(task, target, campaign);
    const signed = signObservation(observation, this.#parts.key);
    const answer = { coordinator: task.coordinator, campaign, signed, observation };
    if (!campaign) this.#given.keep(task.nonce, answer);
    return answer;
  }

  async #observe(task: Task, target: Target, campaign: boolean): Promise<Observation> {
    const { name, now } = this.#parts;
    const { allowedTargets, maxInFlight } = this.rules;
    const observation = { ...blank, nonce: task.nonce, agent: name, target, observedAt: now() };
    const failed = (cause: FailureClass, detail: string): Observation => ({
      ...observation,
      failure: { class: cause, alert: 0, detail },
    });
    // The coordinator checks this as well; an agent must not become a scanner when that one is captured.
    const forbidden = forbiddenTarget(target.address, allowedTargets);
    if (forbidden !== undefined) return failed('forbidden-target', forbidden);
    if (this.#inFlight >= maxInFlight) return failed('overloaded', `${maxInFlight} probes are in flight`);
    const late = campaign ? this.#postpone() : undefined;
    if (late !== undefined) return failed('overloaded', late);
    const count = (by: number) => {
      if (campaign) this.#campaignsInFlight += by;
      else this.#inFlight += by;
    };
    count(1);
    try {
      return { ...observation, ...reported(await this.#probe(target, task.timeoutMs)) };
    } catch (error) {
      return failed('local-error', error instanceof Error ? error.message : String(error));
    } finally {
      count(-1);
    }
  }

  /** Why a probe for a campaign has to stand back; undefined: it need not. */
  #postpone(): string | undefined {
    const { maxInFlight, campaigns = { inFlight: 0, perSecond: 0 } } = this.rules;
    const { inFlight, perSecond } = campaigns;
    if (this.#campaignsInFlight >= inFlight) return `${inFlight} probes for campaigns are in flight`;
    if (this.#inFlight * 2 > maxInFlight) return 'coordinators need the agent';
    const at = this.#parts.now();
    // Up to a second's worth may come at once.
    if (perSecond === 0 || this.#campaignAt > at + 1000) return `${perSecond} probes a second for campaigns`;
    this.#campaignAt = Math.max(this.#campaignAt, at) + 1000 / perSecond;
    return undefined;
  }

  #probe(target: Target, timeoutMs: number): Promise<ProbeResult> {
    const { bindIpv4, bindIpv6, stopEarly = false } = this.rules;
    const localAddress = target.address.length === 4 ? bindIpv4 : bindIpv6;
    const startTls = startTlsProtocols.find((protocol) => protocol === target.startTls);
    // The phases follow one another; together they stay within the task's time.
    const share = Math.floor(timeoutMs / (startTls === undefined ? 2 : 3));
    return this.#parts.prober(
      {
        address: formatAddress(target.address),
        port: target.port,
        ...(target.serverName !== '' && { serverName: target.serverName }),
        ...(startTls !== undefined && { startTls }),
      },
      {
        keyType: keyTypes[target.keyType] ?? 'any',
        stopEarly,
        ...(localAddress !== undefined && { localAddress }),
        limits: { connectMs: share, preambleMs: share, handshakeMs: share },
      },
    );
  }
}

const blank: Omit<Observation, 'nonce' | 'agent' | 'target' | 'observedAt'> = {
  chain: [],
  possessionProven: false,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
};

function readTask(bytes: Uint8Array): Task | undefined {
  let task: Task;
  try {
    task = Task.decode(bytes);
  } catch {
    return undefined;
  }
  const sound =
    task.nonce.length === 32 &&
    isName(task.coordinator) &&
    task.timeoutMs > 0 &&
    task.timeoutMs <= maxTimeoutMs &&
    task.targets.length >= 1 &&
    task.targets.length <= 2 &&
    task.targets.every(
      ({ address, port, serverName, startTls }) =>
        (address.length === 4 || address.length === 16) &&
        port >= 1 &&
        port <= 65_535 &&
        serverName.length <= 253 &&
        (startTls === '' || (startTlsProtocols as readonly string[]).includes(startTls)),
    );
  return sound ? task : undefined;
}

function reported(result: ProbeResult): Partial<Observation> {
  const { timings, error } = result;
  return {
    chain: [...result.chain],
    possessionProven: result.possessionProven,
    tls: {
      version: result.version ?? 0,
      cipherSuite: result.cipherSuite ?? 0,
      group: result.group ?? 0,
      signatureScheme: result.signatureScheme ?? 0,
      alpn: result.alpn ?? '',
    },
    ocsp: result.ocspResponses.map(({ certificate, der }) => ({ certificate, response: der })),
    // Those inside certificates and OCSP responses travel there.
    sctLists: result.sctLists.filter(({ source }) => source === 'tls').map(({ list }) => list),
    timings: {
      connect: Math.round(timings.connect ?? 0),
      firstByte: Math.round(timings.firstByte ?? 0),
      proof: Math.round(timings.proof ?? 0),
      end: Math.round(timings.end),
    },
    failure: error && { class: error.class, alert: error.alert ?? 0, detail: error.detail.slice(0, 300) },
  };
}
