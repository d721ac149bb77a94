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
