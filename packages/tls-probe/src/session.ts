import type { Offer } from './client-hello.ts';
import type { MessageReader } from './handshake-messages.ts';
import type { KeyShareSource } from './key-exchange.ts';
import type { LeafKeys } from './leaf-key.ts';
import type { Observation } from './observation.ts';
import type { ProbeLimits } from './prober.ts';
import type { RecordReader } from './record-reader.ts';
import type { Transcript } from './transcript.ts';

/** @returns that many unpredictable bytes */
export type Random = (size: number) => Buffer;

/** What both versions' handshakes work on. */
export interface Session {
  readonly offer: Offer;
  readonly offered: ReadonlySet<number>;
  readonly limits: Pick<ProbeLimits, 'bytes' | 'certificates'>;
  readonly random: Random;
  readonly shares: KeyShareSource;
  readonly leafKeys: LeafKeys;
  readonly stopEarly: boolean;
  readonly clientRandom: Buffer;
  readonly sessionId: Buffer;
  readonly seen: Observation;
  readonly transcript: Transcript;
  readonly records: RecordReader;
  readonly messages: MessageReader;
  /** Appends to the flight that is sent once the bytes at hand are used up. */
  readonly send: (record: Buffer) => void;
  /** The dummy record of middlebox compatibility (RFC 8446 appendix D.4); nothing from the second call on. */
  readonly dummyChangeCipherSpec: () => Buffer;
}

/** The rest of a handshake, from the message after ServerHello on. */
export interface Continuation {
  /** @returns true once there is nothing more to wait for */
  message(type: number, whole: Buffer): boolean;
  /** @throws ProbeFailure where none may stand */
  changeCipherSpec(): void;
  /** An alert as a record, encrypted when it has to be. */
  alertRecord(level: number, description: number): Buffer;
}
