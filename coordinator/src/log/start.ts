import { type Logger, type Telemetry, reasonOf } from '@mecai/runtime';
import type { DnsClient } from '../dns/dns-client.ts';
import type { Route } from '../http-routes.ts';
import type { Store } from '../store.ts';
import { CertificateLog } from './certificate-log.ts';
import { type Ages, type StateCounts, agesOf, countStates } from './cases.ts';
import { type CertificateLogConfig, authoritiesOf, caContactsOf, ctLogsOf, holdPolicyOf } from './config.ts';
import { LastSeen } from './last-seen.ts';
import { logMeasures } from './measures.ts';
import { Objections } from './objections.ts';
import { logRoutes } from './routes.ts';
import { sweep } from './sweep.ts';

export interface RunningCertificateLog {
  readonly certificates: CertificateLog;
  readonly objections: Objections;
  readonly routes: readonly Route[];
  /** For certificates seen from then on, and the holds of others that are looked at again. */
  use(config: CertificateLogConfig): void;
  /** Before the store closes. */
  stop(): Promise<void>;
}

/** The log and what goes on in it without being asked. */
export function startCertificateLog(options: {
  readonly config: CertificateLogConfig;
  readonly store: Store;
  readonly dns: Pick<DnsClient, 'txt'>;
  /** Where the world reaches this authority, without a final slash. */
  readonly publicUrl: () => string;
  readonly newId: () => string;
  /** Whether somebody sends them. */
  readonly notices: boolean;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fail: (error: unknown) => void;
}): RunningCertificateLog {
  const { config, store, dns, publicUrl, newId, notices, telemetry, log, now, fail } = options;
  const database = () => store.database;
  let policy = holdPolicyOf(config);
  const lastSeen = new LastSeen({ database, noticeOfAddresses: notices && config.notices.ofAddresses, log });
  const certificates = new CertificateLog({
    database,
    get policy() {
      return policy;
    },
    ctLogs: ctLogsOf(config),
    lastSeen,
    noticeOfRenewals: config.notices.ofRenewals,
    notices,
    now,
  });
  const caContacts = caContactsOf(config);
  const objections = new Objections({ database, dns, caContacts, publicUrl, newId, now });
  const authorities = authoritiesOf(config);
  const { successors } = config.waivers;
  let counts: StateCounts | undefined;
  let ages: Ages | undefined;
  logMeasures(telemetry, () => ({ counts, ages, lastSeenPending: lastSeen.pending }), now);
  const writing = setInterval(() => {
    lastSeen.flush().catch(fail);
  }, config.lastSeenEveryMs);
  let swept = Promise.resolve();
  const sweepNow = async () => {
    if (!store.there) return;
    try {
      const done = await sweep({ database: store.database, keepExpiredMs: config.keepExpiredMs }, now());
      counts = await countStates(store.database, counts, now());
      ages = await agesOf(store.database);
      if (done && done.cleared + done.expired + done.forgotten > 0) log.info(done, 'certificate log swept');
    } catch (error) {
      log.warn({ reason: reasonOf(error) }, 'the certificate log could not be swept');
    }
  };
  const sweeps = setInterval(() => {
    swept = swept.then(sweepNow);
  }, config.sweepEveryMs);
  return {
    certificates,
    objections,
    routes: logRoutes({ database, objections, authorities, successors, now }),
    use(next) {
      policy = holdPolicyOf(next);
    },
    async stop() {
      clearInterval(writing);
      clearInterval(sweeps);
      await swept;
      await lastSeen.flush();
    },
  };
}
