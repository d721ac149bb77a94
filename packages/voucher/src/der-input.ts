import { DerReader, PkiError, tags } from '@mecai/pki';
import { VoucherError } from './error.ts';

/** Reads one value, a SEQUENCE unless another tag is given, that fills `bytes`, and turns what the DER reader throws into `malformed`. */
export function readDer<T>(
  what: string,
  bytes: Uint8Array,
  read: (reader: DerReader) => T,
  tag: number = tags.sequence,
): T {
  try {
    const reader = DerReader.whole(bytes, tag);
    const value = read(reader);
    reader.end();
    return value;
  } catch (cause) {
    if (cause instanceof PkiError)
      throw new VoucherError('malformed', `${what}: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Whether the bytes are one SEQUENCE and nothing after it; what is inside is not looked at. */
export function isOneSequence(bytes: Uint8Array): boolean {
  try {
    DerReader.whole(bytes);
    return true;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}
