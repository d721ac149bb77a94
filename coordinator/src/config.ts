import { isIP } from 'node:net';
import { AddressError, parsePrefix } from '@mecai/addresses';
import { databaseConfig } from '@mecai/database';
import { isName } from '@mecai/proto';
import {
  hostPort,
  keepStored,
  logLevel,
  mutualTls,
  path,
  silentMs,
  spiffeId,
  telemetryConfig,
} from '@mecai/runtime';
import * as z from 'zod';
import { certificateLogConfig } from './log/config.ts';
import { approvalConfig } from './approval/config.ts';
import { noticeConfig } from './notice/config.ts';

const count = (min: number, max: number) => z.number().int().min(min).max(max);
const bucket = (perMinute: number, burst: number) =>
  z
    .strictObject({
      perMinute: count(1, 100_000_000).default(perMinute),
      burst: count(1, 100_000_000).default(burst),
    })
    .prefault({});

const prefix = () => z.string().refine(isPrefix, 'expected a prefix such as 192.0.2.0/24');

function isPrefix(text: string): boolean {
  try {
    return parsePrefix(text).length >= 0;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

/** As `setServers` of node:dns takes it. */
function isResolver(text: string): boolean {
  const address = text.replace(/^\[(.*)\](:\d{1,5})?$/, '$1');
  return isIP(address) !== 0 || isIP(address.replace(/:\d{1,5}$/, '')) === 4;
}

const members = z.strictObject({
  logLevel: logLevel(),
  /** Last token of this coordinator's NATS subjects. */
  name: z.string().refine(isName, 'expected lower-case letters, digits and hyphens'),
  /** Where requesters connect, HTTPS. */
  listen: hostPort(),
  tls: z.strictObject({ certificate: path(), key: path() }),
  /** How the world reaches it, for what it tells people; where it listens by default. */
  publicUrl: z.url({ protocol: /^https$/ }).optional(),
  admin: hostPort(),
  /** gRPC for `mecai-admin`: certificate log and outbox. */
  operators: z
    .strictObject({
      listen: hostPort(),
      tls: mutualTls(),
      /** SPIFFE IDs of who may command. */
      identities: z.array(spiffeId()).min(1),
    })
    .optional(),
  telemetry: telemetryConfig(),
  /** Certificate log and outbox; Postgres where there are several coordinators. */
  database: databaseConfig().default({ engine: 'sqlite', file: 'coordinator.sqlite' }),
  nats: z.strictObject({
    servers: z.array(z.string().min(1)).min(1),
    /** File with the nkey seed. */
    seedFile: path(),
    /** CA of the servers' certificates, PEM. With it a server without TLS is refused; without it any public CA will do. */
    ca: path().optional(),
    silentMs: silentMs(),
    /** Records that are offered again when their stream has another leader. */
    keepStored: keepStored(67_108_864),
    /** Of the streams it creates: 3 on a cluster of three nodes or more. */
    streamReplicas: z.literal([1, 3, 5]).default(1),
  }),
  /** Those that answer take turns. Each has its own HSM, VA certificate and SPIFFE ID. */
  signers: z
    .array(z.strictObject({ address: hostPort(), id: spiffeId(), tls: mutualTls() }))
    .min(1)
    .refine(
      (all) => new Set(all.map(({ id }) => id)).size === all.length,
      'expected an id of its own for each',
    ),
  registry: path(),
  probe: z
    .strictObject({
      /** What an agent is given for one target. */
      timeoutMs: count(100, 60_000).default(10_000),
      /** How much longer the coordinator waits for its answer to arrive. */
      transitMs: count(0, 10_000).default(1_000),
      /** How often who has not answered is asked again: task or answer may be lost while NATS changes its ways. */
      askAgainMs: count(100, 60_000).default(1_500),
      /** After a decision: how long stragglers are still listened to. */
      graceMs: count(0, 60_000).default(5_000),
      /** An agent not heard of for so long counts as absent at once. */
      absentAfterMs: count(1_000, 600_000).default(10_000),
    })
    .prefault({}),
  revocation: z
    .strictObject({
      /** How long a voucher waits for CRLs and OCSP responses. */
      deadlineMs: count(100, 60_000).default(5_000),
      /** What one fetch is given, redirects and all; it goes on after the deadline, for the next question. */
      fetchTimeoutMs: count(100, 600_000).default(30_000),
      /** A CRL or response is renewed after this long even if it lasts longer. */
      maxAgeMs: count(100, 86_400_000).default(3_600_000),
      /** A source that failed is left alone for this long. */
      retryAfterMs: count(100, 3_600_000).default(60_000),
      /** How often the cache is looked through for what has to be renewed. */
      refreshEveryMs: count(100, 3_600_000).default(60_000),
      /** The longest CRL that is fetched. */
      crlOctets: count(1_024, 67_108_864).default(67_108_864),
      /** CRLs kept. */
      cacheOctets: count(65_536, 8_589_934_592).default(268_435_456),
    })
    .prefault({}),
  certificateLog: certificateLogConfig.prefault({}),
  renewal: z
    .strictObject({
      /** How often requesters are told to ask what to renew early. */
      pollSeconds: count(10, 86_400).default(900),
      /** Over which they spread what they renew early. */
      windowSeconds: count(0, 86_400).default(3_600),
      /** How often the signer is asked. */
      askSignerMs: count(100, 3_600_000).default(10_000),
    })
    .prefault({}),
  dns: z
    .strictObject({
      /**
       * `address` or `address:port` of validating resolvers; without any, those of the system. Proofs of control
       * count only if each of them sees the record: with some in other networks a hijack nearby proves nothing.
       */
      resolvers: z.array(z.string().refine(isResolver, 'expected an address, or address:port')).default([]),
      /** For the first try; the second and last is given twice that. */
      timeoutMs: count(50, 60_000).default(3_000),
    })
    .prefault({}),
  /** Telling domain owners; without it nobody is told. */
  notice: noticeConfig.optional(),
  /** Approval out of band; with `notice` only. */
  approval: approvalConfig.optional(),
  limits: z
    .strictObject({
      /** Requests of one requester (IPv4 address or IPv6 /64), and its chains with a key proof. */
      authenticated: bucket(600, 200),
      /** Its chains without a key proof. */
      unauthenticated: bucket(60, 20),
      /** Chains at one target (IPv4 address or IPv6 /64); with and without a key proof are counted apart. */
      target: bucket(120, 40),
      /** Chains of everyone. */
      global: bucket(60_000, 2_000),
      /** Requests of one requester for anything but vouchers: pages, objections, subscriptions. */
      routes: bucket(60, 30),
      /** Reports of clients, of everyone. */
      reports: bucket(600, 200),
      /** Requests in progress. */
      inFlight: count(1, 100_000).default(2_000),
    })
    .prefault({}),
  /** How long requests are still taken once `/readyz` says that it stops: load balancers have to notice. */
  lameDuckMs: count(0, 300_000).default(0),
  /** Refuse requesters that do not prove the server key. */
  requireKeyProof: z.boolean().default(false),
  /** Special-purpose ranges that may be probed all the same; for test networks only. */
  allowedTargets: z.array(prefix()).default([]),
});

export const coordinatorConfig = members
  .refine(({ notice, publicUrl }) => !notice || publicUrl !== undefined, {
    path: ['publicUrl'],
    message: 'notice needs it: mails have to name it',
  })
  .refine(({ approval, notice }) => !approval || notice, {
    path: ['approval'],
    message: 'needs notice, whose identity signs approvals',
  });

export type CoordinatorConfig = z.output<typeof coordinatorConfig>;

/** What may change while it runs: who may ask how much, what is held, and what is written to the log. */
export const changeable = [
  'limits',
  'requireKeyProof',
  'probe',
  'certificateLog.hold',
  'tls',
  'operators.identities',
  'lameDuckMs',
] as const;
