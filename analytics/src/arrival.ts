import { rowId } from './fields.ts';

/** One message of a stream. */
export interface Arrival {
  readonly subject: string;
  readonly data: Uint8Array;
  /** When JetStream stored it, milliseconds since 1970. */
  readonly receivedAt: number;
  /** Messages that wait behind it. */
  readonly waiting: number;
}

/**
 * Coordinators offer again what a stream may have lost, and it comes at another place then: a record is told by its
 * octets alone. They hold a nonce, or the moment.
 */
export const recordId = ({ data }: Pick<Arrival, 'data'>): string => rowId(data);
