/** The certificate log by itself, and what it is asked in benches. */
import { createHash, hash } from 'node:crypto';
import { CertificateLog, LastSeen, type Sight } from '@mecai/coordinator/certificate-log';
import type { Database } from '@mecai/database';
import { createLogger } from '@mecai/runtime';

export const now = Date.UTC(2026, 10, 22);
/** Of the i-th certificate: the same on both engines. */
export const idOf = (i: number): Buffer => {
  const octets = Buffer.alloc(8);
  octets.writeBigInt64BE(BigInt(i));
  return createHash('sha256').update(octets).digest();
};

export function parts(database: Database) {
  const lastSeen = new LastSeen({
    database: () => database,
    noticeOfAddresses: false,
    log: createLogger('bench', 'silent'),
  });
  const log = new CertificateLog({
    database: () => database,
    policy: {
      maxMs: 259_200_000,
      lifetimeShare: 0.1,
      rules: [],
      waivers: { successors: false, approvals: false },
    },
    ctLogs: new Map(),
    lastSeen,
    noticeOfRenewals: false,
    now: () => now,
  });
  return { log, lastSeen };
}

export function sight(leaf: Uint8Array): Sight {
  return {
    question: {
      subject: {
        addresses: [Uint8Array.of(198, 51, 100, 7)],
        port: 443,
        serverName: 'www.example.org',
        startTls: '',
        chain: [leaf],
      },
      digests: [leaf].map((der) => hash('sha256', der, 'buffer')),
      requester: Uint8Array.of(192, 0, 2, 1),
      authenticated: true,
    },
    trustContexts: ['MOZ'],
    perspectives: [],
  };
}
