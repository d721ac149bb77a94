import { hostPort, path } from '@mecai/runtime';
import * as z from 'zod';

/** The public HTTP interface: API, dashboard, and SQL for researchers. */
export const apiConfig = z.strictObject({
  listen: hostPort().default('127.0.0.1:7481'),
  /** File of tokens, as `mecai-admin token` writes its entries; read again when it changes. */
  tokens: path().optional(),
  /** Whether scope `read` needs no token. */
  anonymousRead: z.boolean().default(false),
  /** Requests a minute, of each token (unless its entry says otherwise) and of each address without one. */
  requestsPerMinute: z.int().min(1).max(1_000_000).default(600),
  /** Limits of one query to `/api/v1/sql`. */
  sql: z
    .strictObject({
      seconds: z.int().min(1).max(300).default(10),
      /** At least 10,000: the check of a query counts as well. */
      rows: z.int().min(10_000).max(10_000_000).default(100_000),
      resultBytes: z
        .int()
        .min(1000)
        .max(2 ** 31)
        .default(128 * 2 ** 20),
      memoryBytes: z
        .int()
        .min(2 ** 20)
        .max(2 ** 38)
        .default(2 ** 30),
      /** On a server: user with a profile of its own; without one, queries are refused there. */
      user: z.string().min(1).optional(),
      passwordFile: path().optional(),
    })
    .prefault({}),
});

export type ApiConfig = z.output<typeof apiConfig>;
