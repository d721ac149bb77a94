/**
 * The part of a coordinator that must not forget: certificate log, outbox and couriers on one database. Its parent
 * sends certificates that were seen, is told when one has been dealt with, and kills it whenever it likes.
 */
import { type DatabaseConfig, migrate, openDatabase } from '@mecai/database';
import { CertificateLog } from '../log/certificate-log.ts';
import { sha256 } from '../log/certificate-facts.ts';
import { LastSeen } from '../log/last-seen.ts';
import { logMigrations } from '../log/schema.ts';
import { noticeConfig } from '../notice/config.ts';
import { openNotices, readNoticeSecrets } from '../notice/open.ts';
import { noticeMigrations } from '../notice/schema.ts';
import { noWaivers, sightOf, start } from './certificate-log.ts';
import { webIntermediate } from './chains.ts';
import { keptLog } from './log.ts';

export interface LogProcessOptions {
  readonly database: DatabaseConfig;
  /** Of noticeConfig. */
  readonly notice: object;
}

const options: LogProcessOptions = JSON.parse(process.argv[2]!);
const database = await openDatabase(options.database, Math.random);
await migrate(database, 'log', logMigrations, start);
await migrate(database, 'notice', noticeMigrations, start);
const { log } = keptLog();
const lastSeen = new LastSeen({ database: () => database, noticeOfAddresses: false, log });
const certificates = new CertificateLog({
  database: () => database,
  policy: noWaivers,
  ctLogs: new Map(),
  lastSeen,
  noticeOfRenewals: false,
  now: () => start,
});
const config = noticeConfig.parse(options.notice);
const { notices } = openNotices(database, readNoticeSecrets(config), {
  config,
  publicUrl: 'https://va.test',
  allowedTargets: [],
  dns: {
    txt: () => Promise.resolve([]),
    caa: () => Promise.resolve([]),
    addresses: () => Promise.resolve([]),
  },
  log,
  now: Date.now,
  random: Math.random,
  tries: () => undefined,
});

async function take({ number, leaf }: { number: number; leaf: string }): Promise<void> {
  const der = Buffer.from(leaf, 'base64');
  const id = sha256(der);
  const sight = sightOf({ ...webIntermediate, der });
  const { state } = await certificates.admit(sight, id, await certificates.standing(id));
  notices.wake();
  process.send!({ number, state });
}

setInterval(() => void lastSeen.flush(), 50);
process.on('message', (message: { number: number; leaf: string }) => {
  take(message).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));
process.send!('ready');
