/** Configuration of approvals out of band. They need `notice`, whose identity signs them. */
import { path } from '@mecai/runtime';
import * as z from 'zod';

const count = (min: number, max: number) => z.number().int().min(min).max(max);
const day = 86_400_000;

export const approvalConfig = z.strictObject({
  /** Who may begin a transaction: operators by `mecai-admin approval`, or also whoever asks over HTTPS. */
  openTo: z.enum(['operators', 'everyone']).default('operators'),
  /** How long number and code are good. */
  lastsMs: count(60_000, 30 * day).default(3 * day),
  /** Wrong codes until a transaction ends. */
  maxTries: count(1, 10).default(5),
  /** Transactions for one domain in a day: its contacts are people. */
  perDomainAndDay: count(1, 100).default(2),
  /** A provider that makes the calls; without one `mecai-admin approval` prints a call sheet. */
  telephony: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }),
      timeoutMs: count(100, 60_000).default(30_000),
      /** PEM of the roots that it is judged by, instead of the public ones. */
      ca: path().optional(),
    })
    .optional(),
});

export type ApprovalConfig = z.output<typeof approvalConfig>;
