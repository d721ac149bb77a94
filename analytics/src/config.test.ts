import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadAnalyticsConfig } from './config.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-analytics-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

const least = {
  nats: { servers: ['nats://127.0.0.1:4222'], seedFile: 'nats.seed' },
  registry: 'registry.json',
  store: { kind: 'embedded', directory: 'store' },
};
function load(changes: object = {}, environment: Record<string, string> = {}) {
  const file = join(directory, 'analytics.json');
  writeFileSync(file, JSON.stringify({ ...least, ...changes }));
  return loadAnalyticsConfig(file, environment);
}

it('fills in defaults, and takes paths from the directory of the file', () => {
  expect(load()).toEqual({
    nats: {
      servers: ['nats://127.0.0.1:4222'],
      seedFile: join(directory, 'nats.seed'),
      name: 'analytics',
      silentMs: 3000,
      streamReplicas: 1,
      readAgainMs: 180_000,
    },
    registry: join(directory, 'registry.json'),
    store: { kind: 'embedded', directory: join(directory, 'store') },
    batch: { rows: 40_000, ms: 250 },
    redeliverMs: 30_000,
    admin: '127.0.0.1:7480',
    retentionDays: 0,
    ratesRetentionDays: 0,
    registryKeys: [],
    matchesStored: 1,
    unverifiedBeyond: 10_000,
    geoip: {},
    telemetry: { traceShare: expect.any(Number), metricsEveryMs: expect.any(Number) },
    detection: { everySeconds: 5, maxEndpoints: 50_000, lookAgain: false },
    alerts: { kinds: ['regional-interception', 'local-outage'] },
  });
  expect(
    load({ store: { kind: 'server', url: 'https://ch.example:8443', passwordFile: 'pw', ca: 'ca.pem' } })
      .store,
  ).toEqual({
    kind: 'server',
    leaseMs: 10_000,
    url: 'https://ch.example:8443',
    user: 'default',
    passwordFile: join(directory, 'pw'),
    ca: join(directory, 'ca.pem'),
    database: 'mecai',
  });
});

it('serves no API unless it is wanted', () => {
  expect(load().api).toBeUndefined();
  expect(load({ api: { tokens: 'tokens.json' } }).api).toEqual({
    listen: '127.0.0.1:7481',
    tokens: join(directory, 'tokens.json'),
    anonymousRead: false,
    requestsPerMinute: 600,
    sql: { seconds: 10, rows: 100_000, resultBytes: 2 ** 27, memoryBytes: 2 ** 30 },
  });
});

it('lets the environment override', () => {
  const config = load(
    {},
    { MECAI_RETENTION_DAYS: '9', MECAI_STORE__DIRECTORY: '/var/lib/x', MECAI_BATCH__MS: '5' },
  );
  expect(config).toMatchObject({ retentionDays: 9, store: { directory: '/var/lib/x' }, batch: { ms: 5 } });
});

it.each<[string, object]>([
  ['nats.servers', { nats: { ...least.nats, servers: ['http://x'] } }],
  ['nats.servers', { nats: { ...least.nats, servers: [] } }],
  ['nats.streamReplicas', { nats: { ...least.nats, streamReplicas: 2 } }],
  ['nats.name', { nats: { ...least.nats, name: 'a.b' } }],
  ['store', { store: { kind: 'file', directory: 'x' } }],
  ['store.url', { store: { kind: 'server', url: 'ftp://x' } }],
  ['store.ca', { store: { kind: 'server', url: 'http://x', ca: 'ca.pem' } }],
  ['store.url', { store: { kind: 'server', url: 'x', ca: 'ca.pem' } }],
  ['store.database', { store: { kind: 'server', url: 'http://x', database: 'a b' } }],
  ['store.leaseMs', { store: { kind: 'server', url: 'http://x', leaseMs: 1 } }],
  ['batch.rows', { batch: { rows: 100_001 } }],
  ['batch.ms', { batch: { ms: 0 } }],
  ['redeliverMs', { redeliverMs: 10 }],
  ['admin', { admin: 'nowhere' }],
  ['retentionDays', { retentionDays: -1 }],
  ['retentionDays', { retentionDays: 1.5 }],
  ['ratesRetentionDays', { ratesRetentionDays: -1 }],
  ['matchesStored', { matchesStored: 0 }],
  ['unverifiedBeyond', { unverifiedBeyond: -1 }],
  ['geoip', { geoip: { city: 'x' } }],
  ['detection.everySeconds', { detection: { everySeconds: 0 } }],
  ['detection.maxEndpoints', { detection: { maxEndpoints: 1 } }],
  ['alerts.kinds', { alerts: { kinds: ['weather'] } }],
  ['alerts.webhook.url', { alerts: { webhook: { url: 'ftp://x', secretFile: 'key' } } }],
  ['alerts.mail.server', { alerts: { mail: { server: 'x', from: 'a@b.example', to: ['c@d.example'] } } }],
  ['alerts.mail.to', { alerts: { mail: { server: 'smtp://x', from: 'a@b.example', to: [] } } }],
  ['api.listen', { api: { listen: 'x' } }],
  ['api.requestsPerMinute', { api: { requestsPerMinute: 0 } }],
  ['api.sql.seconds', { api: { sql: { seconds: 0 } } }],
  ['api.sql.rows', { api: { sql: { rows: 9_999 } } }],
  ['api.sql.memoryBytes', { api: { sql: { memoryBytes: 1 } } }],
  ['surplus', { surplus: 1 }],
])('refuses a wrong %s', (member, changes) => {
  expect(() => load(changes)).toThrow(member);
});
