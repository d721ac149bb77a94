import type { JsMsg, StreamInfo } from '@nats-io/jetstream';
import { Acknowledgements } from './acknowledgements.ts';
import type { Candidate } from './candidate.ts';
import type { PackedObservations } from './packed-observations.ts';
import type { Fault } from './rows.ts';

/** A stream as created once; one of the same name may follow it. */
export interface Incarnation {
  /** See `incarnationName`. */
  readonly name: string;
  /**
   * What was taken and is not acknowledged, by sequence: when JetStream stored it. NATS may hand out the same again
   * meanwhile.
   */
  readonly underWay: Map<number, number>;
}

/** Which stream, as created once. */
export const incarnationName = ({ config: { name }, created }: StreamInfo): string => `${name}@${created}`;

/** Messages that are stored, and then acknowledged, together. */
export class Batch {
  /** Of all of them. */
  incarnation: Incarnation | undefined;
  readonly packed: PackedObservations;
  readonly candidates: Candidate[] = [];
  readonly aside: { readonly message: JsMsg; readonly fault: Fault }[] = [];
  readonly acknowledgements = new Acknowledgements();
  readonly sequences: number[] = [];
  /** Observations that memory tells to be stored already. */
  repeated = 0;
  newestAt = 0;

  constructor(packed: PackedObservations) {
    this.packed = packed;
  }

  get size(): number {
    return this.sequences.length;
  }
}
