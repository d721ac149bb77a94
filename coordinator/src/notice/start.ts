import type { Prefix } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import type { Logger, Telemetry } from '@mecai/runtime';
import type { Approvals } from '../approval/approvals.ts';
import type { ApprovalConfig } from '../approval/config.ts';
import { approvalRoutes } from '../approval/routes.ts';
import type { DnsClient } from '../dns/dns-client.ts';
import { CoordinatorError } from '../error.ts';
import type { Route } from '../http-routes.ts';
import type { NoticeConfig } from './config.ts';
import { type OpenNotices, openNotices, readNoticeSecrets } from './open.ts';
import { secondsSince } from '../seconds-since.ts';
import type { Waiting } from './backlog.ts';
import { subscriptionRoutes } from './subscription-routes.ts';

export interface RunningNotices {
  readonly routes: readonly Route[];
  /** Begins to send what is in the outbox. */
  opened(database: Database): void;
  /** Something was put into the outbox, or an operator wants a retry. */
  wake(): void;
  /** Undefined where nothing is approved. @throws CoordinatorError `database-unavailable` */
  readonly approvals: () => Approvals | undefined;
  /** Before the store closes. */
  stop(withinMs: number): Promise<void>;
}

/** @throws RuntimeError */
export function startNotices(options: {
  readonly config: NoticeConfig;
  readonly approval: ApprovalConfig | undefined;
  readonly publicUrl: string;
  readonly allowedTargets: readonly Prefix[];
  readonly dns: DnsClient;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}): RunningNotices {
  const { config, publicUrl, telemetry } = options;
  const secrets = readNoticeSecrets(config);
  const tries = telemetry.counter<'medium' | 'outcome'>(
    'outbox.tries',
    'Deliveries tried, by what became of them.',
  );
  telemetry.gauge(
    'notice.certificate.expiry.timestamp.seconds',
    'When the certificate ends that mails and statements are signed with.',
    () => secrets.identity.certificates[0]!.notAfter.getTime() / 1_000,
  );
  const backlog = () => open?.notices.backlog;
  telemetry.gauge('outbox.deliveries', 'Deliveries that wait, are dead or bounced.', () =>
    Object.entries(backlog()?.deliveries ?? {}).map(([state, count]) => [count, { state }] as const),
  );
  telemetry.gauge(
    'outbox.lookups',
    'Notices whose contacts are not all looked up yet.',
    () => backlog()?.lookups,
  );
  const stages = (since: keyof Waiting) => () =>
    Object.entries(backlog()?.stages ?? {}).map(
      ([stage, waiting]) => [secondsSince(waiting[since], options.now()), { stage }] as const,
    );
  telemetry.gauge(
    'outbox.oldest.seconds',
    'Since the oldest was put in of what is not out yet, contacts that are looked up or deliveries.',
    stages('oldest'),
  );
  telemetry.gauge(
    'outbox.late.seconds',
    'Since the first was due of what no coordinator is at.',
    stages('due'),
  );
  let open: OpenNotices | undefined;
  let stopped = false;
  const opened = () => {
    if (open) return open;
    throw new CoordinatorError('database-unavailable', 'the database has not been reached yet');
  };
  const { approval } = options;
  return {
    routes: [
      ...subscriptionRoutes(() => opened().subscriptions),
      ...(approval ? approvalRoutes(() => opened().approvals!, approval.openTo === 'everyone') : []),
    ],
    opened(database) {
      if (stopped) return;
      open = openNotices(database, secrets, { ...options, publicUrl: publicUrl.replace(/\/$/, ''), tries });
    },
    wake: () => open?.notices.wake(),
    approvals: () => opened().approvals,
    async stop(withinMs) {
      stopped = true;
      await open?.notices.close(withinMs);
    },
  };
}
