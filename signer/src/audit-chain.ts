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
 *
 * A log that has grown goes on in another file, its next segment: sequence and hashes go through. A segment's first
 * line says so, and the lines after it restate what of the log before has to be known to go on without it (see
 * `StandingRecords`), each record as it was:
 *
 *   {"sequence":8,"previous":"<SHA-256 of line 7, hex>","time":…,"event":"segment-begun","restated":1}
 *   {"sequence":9,"previous":…,"time":…,"event":"restated","record":{"sequence":3,"previous":…,"time":…,"event":…}}
 */
export interface AuditPosition {
  /** Of the last record, 0 if there is none. */
  readonly sequence: number;
  /** SHA-256 of the last line without its line end, hex. */
  readonly hash: string;
}

export interface AuditTail extends AuditPosition {
  /** Sequence of the first record of this file. */
  readonly first: number;
  /** Of the last record, milliseconds since 1970; undefined if there is none. */
  readonly time: number | undefined;
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
export const segmentBegun = 'segment-begun';
export const restated = 'restated';

/** Octets; a record is a hundred times shorter, but for a registry of a thousand agents. */
export const maxLineOctets = 4_194_304;

const lineEnd = 0x0a;

interface Chain {
  /** SHA-256 of a line, hex, as an earlier check printed it. */
  readonly noted?: string | undefined;
  /** Called for each record, in order; for a restated one with the record that it restates. */
  readonly visit?: ((record: unknown) => void) | undefined;
  /** Called for each record as it stands. */
  readonly each?: (record: unknown) => void;
  /** Where the segment before ended; without it a segment may begin anywhere. */
  readonly after?: AuditPosition | undefined;
}

/**
 * Reads one file, the whole log or its last segment, and checks the chain.
 *
 * @throws SignerError `audit-log-broken`, naming the first wrong line; the system's error if there is no file
 */
export const verifyAuditLog = (file: string, chain: Chain = {}): Promise<VerifiedAuditLog> =>
  verifyChain(file, createReadStream(file, { highWaterMark: 1 << 20 }), chain);

/**
 * As `verifyAuditLog`, for the octets of a log in pieces. Lines are hashed as they are, whatever they say.
 *
 * @param name what errors call it
 */
export async function verifyChain(
  name: string,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  chain: Chain = {},
): Promise<VerifiedAuditLog> {
  const { noted, after } = chain;
  let at: AuditPosition | undefined = after;
  let [first, number, size] = [0, 0, 0];
  let notedAt = noted === genesis ? 0 : undefined;
  let time: unknown;
  let rest: Uint8Array = new Uint8Array();
  for await (const piece of pieces) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
    let from = 0;
    for (let end = bytes.indexOf(lineEnd); end >= 0; end = bytes.indexOf(lineEnd, from)) {
      ({ at, time } = nextLine(name, ++number, bytes.subarray(from, end), at, chain));
      first ||= at.sequence;
      if (at.hash === noted) notedAt = at.sequence;
      size += end + 1 - from;
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > maxLineOctets) throw broken(name, number + 1, `over ${maxLineOctets} octets`);
  }
  const { sequence, hash } = at ?? start;
  const written = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return {
    first: first || sequence + 1,
    time: Number.isNaN(written) ? undefined : written,
    sequence,
    hash,
    size,
    torn: rest.length,
    noted: notedAt,
  };
}

const start: AuditPosition = { sequence: 0, hash: genesis };

function nextLine(
  file: string,
  number: number,
  line: Buffer,
  before: AuditPosition | undefined,
  { visit, each }: Chain,
): { at: AuditPosition; time: unknown } {
  let record: unknown;
  try {
    record = JSON.parse(line.toString('utf8'));
  } catch (cause) {
    throw broken(file, number, 'not JSON', cause);
  }
  const { sequence, previous, time, event, ...members }: Readonly<Record<string, unknown>> = Object(record);
  // What is older may be elsewhere.
  const begins = !before && event === segmentBegun;
  const expected = begins ? { sequence: Number(sequence) - 1, hash: previous } : (before ?? start);
  if (sequence !== expected.sequence + 1 || !Number.isSafeInteger(sequence))
    throw broken(file, number, `sequence ${String(sequence)}`);
  if (previous !== expected.hash) throw broken(file, number, 'hash of the line before does not fit');
  each?.(record);
  visit?.(event === restated ? members['record'] : record);
  return { at: { sequence, hash: sha256Hex(line) }, time };
}

const broken = (file: string, line: number, why: string, cause?: unknown) =>
  new SignerError('audit-log-broken', `${file}, line ${line}: ${why}`, { cause });
