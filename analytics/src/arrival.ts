import { rowId } from './fields.ts';

/** One message of a stream. */
export interface Arrival {
  readonly subject: string;
  readonly data: Uint8Array;
  /** When JetStream stored it, milliseconds since 1970. */
  readonly receivedAt: number;
  /** Which stream, in which incarnation. */
  readonly stream: string;
  readonly sequence: number;
  /** Messages that wait behind it. */
  readonly waiting: number;
}

/** Two records may well be equal in every octet, so their place is part of what they are. */
export const recordId = ({ stream, sequence, data }: Pick<Arrival, 'stream' | 'sequence' | 'data'>): string =>
  rowId(Buffer.concat([Buffer.from(`${stream} ${sequence}\0`), data]));
