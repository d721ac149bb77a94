/** The perspective directory of a VA, with its history: where it looks from, and since when. */
import {
  type Directory,
  directoryMediaType,
  directoryOctets,
  type VerifiedDirectory,
  verifyDirectory,
  VoucherError,
} from '@mecai/voucher';
import type { Agent } from 'node:https';
import { ClientError } from './error.ts';
import { exchange } from './https.ts';
import { vaAgent, vaUrl } from './request.ts';

export interface DirectoryOptions {
  /** DER of the VA's roots. */
  readonly roots: readonly Uint8Array[];
  readonly now: Date;
  readonly agent?: Agent;
  /** Milliseconds for each exchange. Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * @param vrp the VA's URL
 * @param version the latest, if absent
 * @throws ClientError `unreachable`, `bad-response`, `problem`, `directory-untrusted`
 */
export async function fetchDirectory(
  vrp: string | URL,
  options: DirectoryOptions,
  version?: number,
): Promise<VerifiedDirectory> {
  const { roots, now, timeoutMs = 10_000, signal } = options;
  const va = vaUrl(vrp);
  const agent = options.agent ?? vaAgent();
  const path = `${va.pathname.replace(/\/$/, '')}/perspectives${version === undefined ? '' : `/${version}`}`;
  try {
    const { status, type, body } = await exchange({
      url: new URL(path, va),
      agent,
      method: 'GET',
      headers: { accept: directoryMediaType },
      timeoutMs,
      maxOctets: directoryOctets,
      ...(signal && { signal }),
    });
    if (status !== 200 || type !== directoryMediaType) {
      throw new ClientError('problem', `${va.host}: HTTP ${status} in place of a perspective directory`);
    }
    const verified = verifyDirectory(body, { roots, now });
    if (version !== undefined && verified.directory.version !== version) {
      throw new ClientError('bad-response', `version ${verified.directory.version}, not ${version}`);
    }
    return verified;
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('directory-untrusted', `perspective directory: ${cause.code}: ${cause.message}`, {
      cause,
    });
  } finally {
    if (!options.agent) agent.destroy();
  }
}

/** What a reader remembers of a VA's directory, so that its history cannot be written anew. */
export interface DirectoryMark {
  readonly version: number;
  /** SHA-256 of the payload. */
  readonly digest: Uint8Array;
}

/**
 * Versions from the latest back, each proven by the digest in the one after it, as far as `mark` or the first.
 *
 * @throws ClientError `history-rewritten` when a version is not the one that the next names, or the marked version is
 * not part of the history; and as `fetchDirectory`
 */
export async function fetchHistory(
  vrp: string | URL,
  options: DirectoryOptions & { readonly mark?: DirectoryMark; readonly most?: number },
): Promise<readonly VerifiedDirectory[]> {
  const { mark, most = 1_000 } = options;
  const history = [await fetchDirectory(vrp, options)];
  for (;;) {
    const newest = history.at(-1)!;
    const { version, previous } = newest.directory;
    if (mark && version <= mark.version) {
      if (version === mark.version && same(newest.digest, mark.digest)) return history;
      throw rewritten(`version ${mark.version} is not the one that was seen`);
    }
    if (!previous) {
      if (mark) throw rewritten(`version ${mark.version}, which was seen, is not in it`);
      return history;
    }
    if (history.length >= most) return history;
    const older = await fetchDirectory(vrp, options, previous.version);
    if (!same(older.digest, previous.digest)) {
      throw rewritten(`version ${previous.version} is not the one that version ${version} names`);
    }
    history.push(older);
  }
}

const rewritten = (why: string) =>
  new ClientError('history-rewritten', `the history of the perspective directory was written anew: ${why}`);

export interface DirectoryChange {
  readonly version: number;
  readonly publishedAt: Date;
  /** In words, one line each; of the first version everything. */
  readonly lines: readonly string[];
}

/** What each version changed, the oldest first. */
export function changesOf(history: readonly { readonly directory: Directory }[]): DirectoryChange[] {
  const ascending = history.toReversed().map(({ directory }) => directory);
  return ascending.map((directory, i) => {
    const before = i === 0 ? [] : linesOf(ascending[i - 1]!);
    const now = linesOf(directory);
    const lines = [
      ...now.filter(notIn(before)).map((line) => `+ ${line}`),
      ...before.filter(notIn(now)).map((line) => `- ${line}`),
    ];
    return { version: directory.version, publishedAt: directory.publishedAt, lines };
  });
}

/** Two perspectives of one place and network are two lines. */
function notIn(lines: readonly string[]): (line: string) => boolean {
  const left = new Map<string, number>();
  for (const line of lines) left.set(line, (left.get(line) ?? 0) + 1);
  return (line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  };
}

/** A directory in words, one line for each thing in it. */
export function linesOf({ quorum, trustContexts, perspectives }: Directory): string[] {
  const { asked, matches, regions, networks, kilometres, intermediates } = quorum;
  return [
    `quorum: at least ${matches} of ${asked}, from ${regions} regions and ${networks} networks, ` +
      `${kilometres} km apart, ${intermediates ? 'with' : 'without'} the intermediates`,
    ...trustContexts.map((id) => `trust context ${id}`),
    ...perspectives.map(
      ({ country, city, latitude, longitude, rir, asn }) =>
        `perspective ${city} ${country} (${degrees(latitude, 'N', 'S')} ${degrees(longitude, 'E', 'W')}), ${rir}, AS${asn}`,
    ),
  ];
}

const degrees = (value: number, positive: string, negative: string) =>
  `${Math.abs(value)}°${value < 0 ? negative : positive}`;
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
