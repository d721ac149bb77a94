/** Notices as configured. */
import { randomBytes, randomInt } from 'node:crypto';
import { type Prefix, forbiddenTarget, parseAddress } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import { type HttpExchange, httpExchange } from '@mecai/pki';
import { type Logger, RuntimeError, readText, splitHostPort } from '@mecai/runtime';
import { Approvals } from '../approval/approvals.ts';
import { callSender } from '../approval/call-sender.ts';
import type { ApprovalConfig } from '../approval/config.ts';
import type { DnsClient } from '../dns/dns-client.ts';
import { endorse } from '../log/endorsements.ts';
import { type Identity, readIdentity } from '../mail/identity.ts';
import { mailer } from '../mail/mailer.ts';
import { RdapClient } from '../rdap/rdap-client.ts';
import type { NoticeConfig } from './config.ts';
import type { CourierParts } from './courier.ts';
import { forgetDeliveries } from './forget.ts';
import { mailSender } from './mail-sender.ts';
import { Notices } from './notices.ts';
import { Subscriptions } from './subscriptions.ts';
import { webhookSender } from './webhook-sender.ts';

export interface NoticeOptions {
  readonly config: NoticeConfig;
  readonly approval?: ApprovalConfig | undefined;
  /** Where this voucher authority is reached, without a final slash. */
  readonly publicUrl: string;
  /** Special-purpose ranges that may be connected to all the same. */
  readonly allowedTargets: readonly Prefix[];
  readonly dns: DnsClient;
  readonly log: Logger;
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Counts tries. */
  readonly tries: CourierParts['tries'];
}

/** What is read from files, once, before anything is started. */
export interface NoticeSecrets {
  readonly identity: Identity;
  readonly secret: Uint8Array;
  readonly smtpPassword?: string;
}

export const newId = (): string => randomBytes(16).toString('hex');

/** @throws RuntimeError */
export function readNoticeSecrets(config: NoticeConfig): NoticeSecrets {
  const { identity, secretFile, smtp, from } = config;
  const secret = Buffer.from(readText(secretFile));
  if (secret.length < 32) throw new RuntimeError('bad-configuration', `${secretFile}: less than 32 octets`);
  return {
    identity: readIdentity(readText(identity.certificate), readText(identity.key), from),
    secret,
    ...(smtp.passwordFile !== undefined && { smtpPassword: readText(smtp.passwordFile) }),
  };
}

export interface OpenNotices {
  readonly notices: Notices;
  readonly subscriptions: Subscriptions;
  readonly approvals: Approvals | undefined;
}

/** Starts to work on the outbox at once. @throws RuntimeError for files that cannot be read */
export function openNotices(database: Database, secrets: NoticeSecrets, options: NoticeOptions): OpenNotices {
  const { config, publicUrl, dns, log, now, random, tries } = options;
  const { smtp, webhooks, retry } = config;
  const { identity, secret } = secrets;
  const shared = { database, retry, leaseMs: config.leaseMs, tries, log, now, random };
  const subscriptions = new Subscriptions({ database, dns, secret, now, newId });
  const rdap = new RdapClient({
    exchange: guarded(options, config.rdap, 3, config.rdap.bootstrap.startsWith('https:')),
    bootstrap: config.rdap.bootstrap,
    now,
  });
  const { host, port } = splitHostPort(smtp.server);
  const mails = mailer({
    host,
    port,
    tls: smtp.tls,
    ...caOf(smtp),
    ...(smtp.user !== undefined && { user: smtp.user }),
    ...(secrets.smtpPassword !== undefined && { password: secrets.smtpPassword }),
    timeoutMs: smtp.timeoutMs,
  });
  const couriers: CourierParts[] = [
    {
      ...shared,
      medium: 'mail',
      // A kill loses track of the one in flight, and of no other.
      concurrency: 1,
      tryMs: 4 * smtp.timeoutMs,
      send: mailSender({
        ...config,
        database,
        identity,
        sendMail: mails.send,
        publicUrl,
        subscriptions,
        now,
      }),
    },
    {
      ...shared,
      medium: 'webhook',
      concurrency: webhooks.concurrency,
      tryMs: webhooks.timeoutMs + 1_000,
      send: webhookSender({
        database,
        identity,
        exchange: guarded(options, webhooks, 0, false),
        publicUrl,
        now,
      }),
    },
  ];
  const { approval } = options;
  const telephony = approval?.telephony;
  if (approval && telephony) {
    couriers.push({
      ...shared,
      medium: 'call',
      concurrency: webhooks.concurrency,
      tryMs: telephony.timeoutMs + 1_000,
      send: callSender({
        url: telephony.url,
        // The operator's own choice: it may be in the operator's own network.
        exchange: httpExchange({
          resolve: (host) => dns.addresses(host),
          isAllowed: () => true,
          timeout: telephony.timeoutMs,
          redirects: 0,
          ...caOf(telephony),
        }),
        identity,
        secret,
        publicUrl,
        lastsMs: approval.lastsMs,
        now,
      }),
    });
  }
  const approvals =
    approval &&
    new Approvals({
      ...approval,
      database,
      rdap,
      identity,
      secret,
      publicUrl,
      automatic: telephony !== undefined,
      endorse,
      now,
      randomInteger: (below) => randomInt(below),
      newId,
    });
  const lookup = { ...shared, sources: config.sources, dns, rdap, newId };
  const forget = async (before: number) => {
    await forgetDeliveries(database, before);
    await approvals?.forget(before);
  };
  return {
    notices: new Notices({ ...config, database, lookup, couriers, forget, log, now, closed: mails.close }),
    subscriptions,
    approvals,
  };
}

/** HTTP to addresses that strangers name: to no private one, whatever DNS says, and bounded. */
function guarded(
  { dns, allowedTargets }: Pick<NoticeOptions, 'dns' | 'allowedTargets'>,
  config: { readonly timeoutMs: number; readonly ca?: string | undefined },
  redirects: number,
  secure: boolean,
): HttpExchange {
  return httpExchange({
    resolve: (host) => dns.addresses(host),
    isAllowed: (address) => forbiddenTarget(parseAddress(address), allowedTargets) === undefined,
    timeout: config.timeoutMs,
    redirects,
    secure,
    ...caOf(config),
  });
}

const caOf = ({ ca }: { readonly ca?: string | undefined }) => (ca === undefined ? {} : { ca: readText(ca) });
