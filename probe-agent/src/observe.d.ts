/** From a task to observations: the agent's whole judgement of what it is asked. */
import type { KeyObject } from 'node:crypto';
import { type Prefix } from '@mecai/addresses';
import { type SignedObservation } from '@mecai/proto';
import { type Prober } from '@mecai/tls-probe';
export interface ObserverParts {
  readonly name: string;
  readonly key: KeyObject;
  readonly prober: Prober;
  readonly allowedTargets: readonly Prefix[];
  readonly bindIpv4?: string | undefined;
  readonly bindIpv6?: string | undefined;
  readonly maxInFlight: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}
/** An answer ready to be sent. */
export interface Answer {
  readonly coordinator: string;
  readonly signed: SignedObservation;
}
export declare class Observer {
  #private;
  constructor(parts: ObserverParts);
  get inFlight(): number;
  /** One promise for each target; none rejects. What is not a task gets no answer. */
  answer(bytes: Uint8Array): readonly Promise<Answer>[];
}
