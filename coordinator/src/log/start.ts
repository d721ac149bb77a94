import type { Logger } from '@mecai/runtime';
import { reasonOf } from '@mecai/runtime';
import type { Store } from '../store.ts';
import { CertificateLog } from './certificate-log.ts';
import { type CertificateLogConfig, ctLogsOf, holdPolicyOf } from './config.ts';
import { LastSeen } from './last-seen.ts';
import { sweep } from './sweep.ts';

export interface RunningCertificateLog {
  readonly certificates: CertificateLog;
  /** Endpoints whose last request is not written yet. */
  readonly lastSeenPending: number;
  /** Before the store closes. */
  stop(): Promise<void>;
}

/** The log and what goes on in it without being asked. */
export function startCertificateLog(options: {
  readonly config: CertificateLogConfig;
  readonly store: Store;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fail: (error: unknown) => void;
}): RunningCertificateLog {
  const { config, store, log, now, fail } = options;
  const database = () => store.database;
  const lastSeen = new LastSeen({ database, noticeOfAddresses: config.notices.ofAddresses, log });
  const certificates = new CertificateLog({
    database,
    policy: holdPolicyOf(config),
    ctLogs: ctLogsOf(config),
    lastSeen,
    noticeOfRenewals: config.notices.ofRenewals,
    now,
  });
  const writing = setInterval(() => {
    lastSeen.flush().catch(fail);
  }, config.lastSeenEveryMs);
  let swept = Promise.resolve();
  const sweepNow = async () => {
    if (!store.there) return;
    try {
      const done = await sweep({ database: store.database, keepExpiredMs: config.keepExpiredMs }, now());
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
    get lastSeenPending() {
      return lastSeen.pending;
    },
    async stop() {
      clearInterval(writing);
      clearInterval(sweeps);
      await swept;
      await lastSeen.flush();
    },
  };
}
