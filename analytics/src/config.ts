import { hostPort, loadConfig, logLevel, path, silentMs, telemetryConfig } from '@mecai/runtime';
import { isName } from '@mecai/proto';
import * as z from 'zod';
import { apiConfig } from './api/config.ts';

/** The default TCP ports are those of the programs at the far end. */
export const configSchema = z.strictObject({
  logLevel: logLevel(),
  nats: z.strictObject({
    servers: z.array(z.string().regex(/^(nats|tls):\/\/\S+$/, 'expected nats://host:port')).min(1),
    /** Seed (`SU…`) of the nkey that nats-server knows with `natsPermissions.analytics(name)`. */
    seedFile: path(),
    /** CA of the servers' certificates, PEM. With it a server without TLS is refused; without it any public CA will do. */
    ca: path().optional(),
    silentMs: silentMs(),
    /** Name of this process: its durable consumers, its inbox, its dead letters. */
    name: z.string().refine(isName, 'lower-case letters, digits and hyphens').default('analytics'),
    /** Of the streams it creates: 3 on a cluster of three nodes or more. */
    streamReplicas: z.literal([1, 3, 5]).default(1),
    /** Milliseconds: how far back it looks at the start for records that the consumer passed over; 0: never looks. */
    readAgainMs: z.int().min(0).max(3_600_000).default(180_000),
  }),
  /** The registry of agents, as coordinator and signer have it; read again when it changes. */
  registry: path(),
  /** Public keys of operators, PEM: then a registry counts only with a signature (`<registry>.sig`), and no older one. */
  registryKeys: z.array(path()).default([]),
  store: z.discriminatedUnion('kind', [
    /** ClickHouse inside this process; one process per directory. */
    z.strictObject({ kind: z.literal('embedded'), directory: path() }),
    z
      .strictObject({
        kind: z.literal('server'),
        url: z.url({ protocol: /^https?$/ }),
        /** CA of the server's certificate, PEM. With it `url` is https and no other CA is trusted; without it any public CA will do. */
        ca: path().optional(),
        user: z.string().min(1).default('default'),
        passwordFile: path().optional(),
        /** Created if absent. */
        database: z
          .string()
          .regex(/^[a-z][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _')
          .default('mecai'),
        /** Of several processes with one database one writes; silent for this long, in milliseconds, it is replaced. */
        leaseMs: z.int().min(500).max(600_000).default(10_000),
        /** Tables are replicated over this cluster (one shard); absent: one server. */
        cluster: z
          .strictObject({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,63}$/, 'letters, digits, _ . -') })
          .optional(),
      })
      .refine(({ url, ca }) => ca === undefined || URL.parse(url)?.protocol !== 'http:', {
        path: ['ca'],
        error: 'expected a URL with https beside it',
      }),
  ]),
  batch: z
    .strictObject({
      /** Rows stored at once, at most. Twice as many messages may be under way. */
      rows: z.int().min(1).max(100_000).default(40_000),
      /** Milliseconds a row waits for others. */
      ms: z.int().min(1).max(10_000).default(250),
    })
    .prefault({}),
  /** Milliseconds after which NATS hands out again what was not stored; an insert may take half of it. */
  redeliverMs: z.int().min(1000).max(600_000).default(30_000),
  /** Address of the HTTP interface, which has no authentication of its own. */
  admin: hostPort().default('127.0.0.1:7480'),
  /** API and dashboard; absent: not served. */
  api: apiConfig.optional(),
  /** Rows older than this many days are removed; 0 keeps all. Certificates stay. */
  retentionDays: z.int().min(0).max(36_500).default(0),
  /** The same for what is counted by minute and hour. */
  ratesRetentionDays: z.int().min(0).max(36_500).default(0),
  /** Share of matches that is stored, each standing for the others; what is no match is always stored. */
  matchesStored: z.number().min(0.001).max(1).default(1),
  /**
   * With more observations waiting than this, those that only repeat what the same agent saw before are stored
   * unverified, on nats-server's word for their sender: verifying costs more than all the rest.
   */
  unverifiedBeyond: z.int().min(0).max(1_000_000_000).default(10_000),
  /** GeoIP databases (MMDB), for country and network of what is probed. */
  geoip: z.strictObject({ country: path().optional(), asn: path().optional() }).prefault({}),
  telemetry: telemetryConfig(),
  detection: z
    .strictObject({
      /** Seconds between evaluations. */
      everySeconds: z.number().min(0.1).max(3600).default(5),
      /** Endpoints remembered, about 2 KB each. */
      maxEndpoints: z.int().min(100).max(10_000_000).default(50_000),
      /** Orders a campaign, with SNI and without, where agents disagree; one a minute at most. */
      lookAgain: z.boolean().default(false),
    })
    .prefault({}),
  /** Who is told when an incident opens or is over. */
  alerts: z
    .strictObject({
      kinds: z
        .array(z.enum(['regional-interception', 'local-outage', 'faulty-agent']))
        .default(['regional-interception', 'local-outage']),
      webhook: z
        .strictObject({
          url: z.url({ protocol: /^https?$/ }),
          /** File with the key of the signatures, base64 (`whsec_…` as in Standard Webhooks). */
          secretFile: path(),
        })
        .optional(),
      mail: z
        .strictObject({
          /** `smtp://` or `smtps://`, with user and password if need be. */
          server: z.string().regex(/^smtps?:\/\/\S+$/, 'expected smtp://host:port'),
          from: z.email(),
          to: z.array(z.email()).min(1).max(100),
        })
        .optional(),
    })
    .prefault({}),
});

export type AnalyticsConfig = z.output<typeof configSchema>;

/** What may change while it runs. */
export const changeable = [
  'matchesStored',
  'unverifiedBeyond',
  'alerts.kinds',
  'api.anonymousRead',
  'api.requestsPerMinute',
] as const;

export type StoreConfig = AnalyticsConfig['store'];

/** @throws RuntimeError like loadConfig */
export function loadAnalyticsConfig(
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): AnalyticsConfig {
  return loadConfig(configSchema, file, environment);
}
