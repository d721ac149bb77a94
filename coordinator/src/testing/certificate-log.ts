/** A certificate log on a database of its own, a clock in the test's hands, and certificates to show it. */
import { type Database, type DatabaseConfig, migrate } from '@mecai/database';
import type { TestDatabases } from '@mecai/database/testing';
import type { HandshakeScts } from '@mecai/pki';
import { type TestCertificate, type TestCertificateOptions, testCertificate } from '@mecai/voucher/testing';
import { CertificateLog, type CertificateLogParts, type Standing } from '../log/certificate-log.ts';
import { sha256 } from '../log/certificate-facts.ts';
import type { HoldPolicy } from '../log/hold.ts';
import { LastSeen, type Sight } from '../log/last-seen.ts';
import { logMigrations } from '../log/schema.ts';
import { noticeMigrations } from '../notice/schema.ts';
import { webIntermediate } from './chains.ts';
import { keptLog } from './log.ts';

export const hour = 3_600_000;
export const start = Date.UTC(2026, 10, 22);
export const noWaivers: HoldPolicy = {
  maxMs: 72 * hour,
  lifetimeShare: 0.1,
  rules: [],
  waivers: { successors: false, approvals: false },
};
export const allWaivers: HoldPolicy = {
  ...noWaivers,
  waivers: { scts: 2, successors: true, expedite: 2, approvals: true },
};

export interface Asking {
  readonly address?: readonly number[];
  readonly authenticated?: boolean;
  readonly issuer?: TestCertificate;
  readonly trustContexts?: readonly string[];
}

export interface LogScene {
  readonly database: Database;
  readonly certificates: CertificateLog;
  readonly lastSeen: LastSeen;
  /** Milliseconds since 1970. */
  now: number;
  /** A corroborated request. */
  ask(leaf: TestCertificate, asking?: Asking, sent?: HandshakeScts): Promise<Standing>;
  /** Kinds of a certificate's events, in order. */
  history(leaf: TestCertificate): Promise<string[]>;
  details(leaf: TestCertificate, kind: string): Promise<Record<string, unknown>[]>;
  state(leaf: TestCertificate): Promise<string | undefined>;
  /** Subjects of notices in the outbox. */
  notices(): Promise<{ kind: string; holdUntil?: number }[]>;
}

/** For ten years, as its own names say. */
export const webServer = (
  dnsNames: readonly string[],
  rest: Partial<TestCertificateOptions> = {},
): TestCertificate =>
  testCertificate({
    subject: 'server',
    issuer: webIntermediate,
    notBefore: new Date(start - 24 * hour),
    notAfter: new Date(start + 89 * 24 * hour),
    dnsNames,
    ...rest,
  });

export const sightOf = (leaf: TestCertificate, asking: Asking = {}): Sight => {
  const { address = [198, 51, 100, 7], authenticated = true, issuer = webIntermediate } = asking;
  return {
    question: {
      subject: {
        addresses: [Uint8Array.from(address)],
        port: 443,
        serverName: 'www.example.org',
        startTls: '',
        chain: [leaf.der, issuer.der],
      },
      digests: [leaf.der, issuer.der].map(sha256),
      requester: Uint8Array.of(192, 0, 2, 1),
      authenticated,
    },
    trustContexts: asking.trustContexts ?? ['MOZ'],
    perspectives: [],
  };
};

export async function logScene(
  databases: TestDatabases,
  changes: Partial<CertificateLogParts> & {
    readonly noticeOfAddresses?: boolean;
    readonly config?: DatabaseConfig;
  } = {},
): Promise<LogScene> {
  const { noticeOfAddresses = false, config, ...parts } = changes;
  const database = await databases.open(config);
  await migrate(database, 'log', logMigrations, start);
  await migrate(database, 'notice', noticeMigrations, start);
  const lastSeen = new LastSeen({ database: () => database, noticeOfAddresses, log: keptLog().log });
  const certificates = new CertificateLog({
    database: () => database,
    policy: noWaivers,
    ctLogs: new Map(),
    lastSeen,
    noticeOfRenewals: false,
    now: () => scene.now,
    ...parts,
  });
  const events = (leaf: TestCertificate) =>
    database.query<{ kind: string; detail: string; number: number }>(
      'select kind, detail, number from certificate_event where sha256 = $1 order by number',
      [sha256(leaf.der)],
    );
  const scene: LogScene = {
    database,
    certificates,
    lastSeen,
    now: start,
    async ask(leaf, asking, sent = {}) {
      const leafSha256 = sha256(leaf.der);
      const standing = await certificates.standing(leafSha256);
      return certificates.admit(sightOf(leaf, asking), leafSha256, standing, () => sent);
    },
    async history(leaf) {
      const rows = await events(leaf);
      if (rows.some(({ number }, i) => number !== i + 1))
        throw new Error('events are not numbered without a gap');
      return rows.map(({ kind }) => kind);
    },
    async details(leaf, wanted) {
      const rows = await events(leaf);
      return rows.filter(({ kind }) => kind === wanted).map(({ detail }) => JSON.parse(detail));
    },
    state: async (leaf) => (await certificates.standing(sha256(leaf.der)))?.state,
    async notices() {
      const rows = await database.query<{ content: string }>('select content from notice order by id');
      return rows.map(({ content }) => JSON.parse(content));
    },
  };
  return scene;
}
