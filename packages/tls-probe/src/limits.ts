import { ProbeFailure } from './failure.ts';
import type { ProbeLimits } from './prober.ts';

/**
 * Times in milliseconds, `bytes` in all that the server may send. A chain with three 4 KB vouchers is
 * about 20 KB and OpenSSL's own limit for a chain is 100 KB, so 256 KB turns no real server away;
 * 8,192 records allow a flight of 5 KB in records of one byte.
 */
export const defaultLimits: ProbeLimits = {
  connectMs: 5_000,
  preambleMs: 10_000,
  handshakeMs: 10_000,
  bytes: 262_144,
  records: 8_192,
  certificates: 64,
};

/** The longest that timers take: beyond, they fire at once. Milliseconds. */
const longest = 2 ** 31 - 1;

/**
 * The defaults with the caller's changes.
 * @throws ProbeFailure `local-error`
 */
export function readLimits(changes?: Partial<ProbeLimits>): ProbeLimits {
  if (changes === undefined) return defaultLimits;
  const limits = { ...defaultLimits, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 0 || value > longest) {
      throw new ProbeFailure('local-error', `limit ${name} is no integer from 0 to ${longest}`);
    }
  }
  return limits;
}
