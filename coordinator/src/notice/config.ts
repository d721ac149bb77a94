/** Configuration of notices. */
import { hostPort, path } from '@mecai/runtime';
import * as z from 'zod';
import { contactSources } from './lookup.ts';
import { mailAddress } from './recipient.ts';

const count = (min: number, max: number) => z.number().int().min(min).max(max);
const address = () => z.string().refine((text) => mailAddress(text) !== undefined, 'expected a mail address');
const hour = 3_600_000;

export const noticeConfig = z.strictObject({
  /** What mails and webhook calls are signed with, PEM: an e-mail certificate with its intermediates, and its key. */
  identity: z.strictObject({ certificate: path(), key: path() }),
  /** Sender of the mails; in the identity's certificate. */
  from: address(),
  /** Where people's answers go; `from` by default. */
  replyTo: address().optional(),
  /** A mailbox whose bounces are fed to `mecai-admin outbox bounce`; mails are sent from `local+id@domain`. */
  bounces: address(),
  /** At least 32 octets of randomness, the same for every coordinator: challenges and tokens are made from it. */
  secretFile: path(),
  smtp: z.strictObject({
    server: hostPort(),
    tls: z.enum(['none', 'starttls', 'implicit']).default('starttls'),
    /** PEM of the roots it is judged by, instead of the public ones. */
    ca: path().optional(),
    user: z.string().min(1).optional(),
    passwordFile: path().optional(),
    /** For connection, greeting, and each silence. A mail is given four times that in all. */
    timeoutMs: count(100, 600_000).default(60_000),
  }),
  webhooks: z
    .strictObject({
      timeoutMs: count(100, 60_000).default(10_000),
      /** At the same time. */
      concurrency: count(1, 100).default(10),
      /** PEM of the roots that they are judged by, instead of the public ones. */
      ca: path().optional(),
    })
    .prefault({}),
  rdap: z
    .strictObject({
      /** IANA's list of RDAP servers (RFC 9224), or a copy. */
      bootstrap: z.url({ protocol: /^https?$/ }).default('https://data.iana.org/rdap/dns.json'),
      timeoutMs: count(100, 60_000).default(10_000),
      /** PEM of the roots that registries are judged by, instead of the public ones. */
      ca: path().optional(),
    })
    .prefault({}),
  /** Who is told. */
  sources: z
    .array(z.enum(contactSources))
    .min(1)
    .default([...contactSources]),
  retry: z
    .strictObject({
      /** Before the second try; doubled for each further one. */
      firstMs: count(10, 24 * hour).default(60_000),
      maxMs: count(10, 24 * hour).default(4 * hour),
      /** Then a delivery is dead. RFC 5321 section 4.5.4.1 wants four or five days. */
      giveUpMs: count(10, 30 * 24 * hour).default(5 * 24 * hour),
    })
    .prefault({}),
  /** What a coordinator was at when it was killed, another takes up after that time at the latest. */
  leaseMs: count(1_000, hour).default(60_000),
  /** How often the outbox is looked at. */
  pollMs: count(10, hour).default(2_000),
  /** How long deliveries and approvals that came to their end are kept. */
  keepMs: count(1_000, 3_660 * 24 * hour).default(180 * 24 * hour),
});

export type NoticeConfig = z.output<typeof noticeConfig>;
