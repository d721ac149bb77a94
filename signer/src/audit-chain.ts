import { createReadStream } from 'node:fs';
import { sha256Hex } from './digest.ts';
import { SignerError } from './error.ts';

/**
 * The audit log's form: one JSON object a line, each naming the SHA-256 of the line before,
 *
 *   {"sequence":7,"previous":"<SHA-256 of line 6, hex>","time":"2026-11-22T10:00:00.000Z","event":…}
 *
 * The first line's `previous` is 64 zeros. A line ends in "\n"; bytes after the last "\n" are a write that was
 * cut off and never acknowledged. The last line's hash stands for all before it: whoever has noted it down can
 * tell later whether the log still begins with what it was then.
 */
export interface AuditTail {
  /** Sequence of the last record, 0 if there is none. */
  readonly sequence: number;
  /** SHA-256 of the last line without its line end, hex. */
  readonly hash: string;
  /** Octets up to and including the last line end. */
  readonly size: number;
  /** Octets after it. */
  readonly torn: number;
}

export interface VerifiedAuditLog extends AuditTail {
  /** Sequence of the record with the hash noted; undefined if there is none. */
  readonly noted: number | undefined;
}

export const genesis = '0'.repeat(64);

/** Octets; a record is a hundred times shorter. */
export const maxLineOctets = 1_048_576;

const lineEnd = 0x0a;

/**
 * Reads the whole log and checks the chain.
 *
 * @param noted SHA-256 of a line, hex, as an earlier check printed it
 * @param visit called for each record, in order
 * @throws SignerError `audit-log-broken`, naming the first wrong line; the system's error if there is no file
 */
export const verifyAuditLog = (
  file: string,
  noted?: string,
  visit?: (record: unknown) => void,
): Promise<VerifiedAuditLog> =>
  verifyChain(file, createReadStream(file, { highWaterMark: 1 << 20 }), noted, visit);

/**
 * As `verifyAuditLog`, for the octets of a log in pieces. Lines are hashed as they are, whatever they say.
 *
 * @param name what errors call it
 */
export async function verifyChain(
  name: string,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  noted?: string,
  visit?: (record: unknown) => void,
): Promise<VerifiedAuditLog> {
  let tail = { sequence: 0, hash: genesis, size: 0 };
  let notedAt = noted === genesis ? 0 : undefined;
  let rest: Uint8Array = new Uint8Array();
  for await (const piece of pieces) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
    let from = 0;
    for (let end = bytes.indexOf(lineEnd); end >= 0; end = bytes.indexOf(lineEnd, from)) {
      tail = nextLine(name, bytes.subarray(from, end), tail, visit);
      if (tail.hash === noted) notedAt = tail.sequence;
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > maxLineOctets) throw broken(name, tail.sequence + 1, `over ${maxLineOctets} octets`);
  }
  return { ...tail, torn: rest.length, noted: notedAt };
}

type Position = Omit<AuditTail, 'torn'>;

function nextLine(
  file: string,
  line: Buffer,
  { sequence, hash, size }: Position,
  visit?: (record: unknown) => void,
): Position {
  const number = sequence + 1;
  let record: unknown;
  try {
    record = JSON.parse(line.toString('utf8'));
  } catch (cause) {
    throw broken(file, number, 'not JSON', cause);
  }
  const { sequence: found, previous }: { sequence?: unknown; previous?: unknown } = Object(record);
  if (found !== number) throw broken(file, number, `sequence ${String(found)}`);
  if (previous !== hash) throw broken(file, number, 'hash of the line before does not fit');
  visit?.(record);
  return { sequence: number, hash: sha256Hex(line), size: size + line.length + 1 };
}

const broken = (file: string, line: number, why: string, cause?: unknown) =>
  new SignerError('audit-log-broken', `${file}, line ${line}: ${why}`, { cause });
