import { AddressError, parsePrefix } from '@mecai/addresses';
import { rirs } from '@mecai/corroboration';
import { isName } from '@mecai/proto';
import { hostPort, keepStored, logLevel, path, silentMs, telemetryConfig } from '@mecai/runtime';
import * as z from 'zod';

const count = (min: number, max: number) => z.number().int().min(min).max(max);
const address = z.union([z.ipv4(), z.ipv6()]);

const prefix = () => z.string().refine(isPrefix, 'expected a prefix such as 192.0.2.0/24');

function isPrefix(text: string): boolean {
  try {
    return parsePrefix(text).length >= 0;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

export const agentConfig = z.strictObject({
  logLevel: logLevel(),
  /** Name in the registry, and last token of the agent's NATS subjects. */
  name: z.string().refine(isName, 'expected lower-case letters, digits and hyphens'),
  admin: hostPort(),
  telemetry: telemetryConfig(),
  nats: z.strictObject({
    /** The first that works: the leaf node of the region, then the cluster. */
    servers: z.array(z.string().min(1)).min(1),
    /** File with the nkey seed. */
    seedFile: path(),
    /** CA of the servers' certificates, PEM. With it a server without TLS is refused; without it any public CA will do. */
    ca: path().optional(),
    silentMs: silentMs(),
    /** What JetStream has confirmed is kept, and offered once more when the stream has another leader. */
    keepStored: keepStored(33_554_432),
    /** How often it is tried whether a server further up in the list works again; 0: never. */
    returnEveryMs: count(0, 3_600_000).default(15_000),
  }),
  /** Observation key, PKCS #8 PEM, P-256. */
  keyFile: path(),
  /** Where this agent says it is; the registry says the same. */
  location: z.strictObject({
    city: z.string().min(1).max(64),
    country: z.string().regex(/^[A-Z]{2}$/, 'expected ISO 3166-1 alpha-2'),
    latitude: z.number().min(-90).max(90),
    longitude: z.number().min(-180).max(180),
    rir: z.enum(rirs),
    asn: count(1, 0xffff_ffff),
  }),
  /** For `probe-agent join`. */
  join: z
    .strictObject({
      /** The coordinators' public URL. */
      url: z.url({ protocol: /^https$/ }),
      /** CA of its certificate, PEM, where it is none of the usual ones. */
      ca: path().optional(),
      tokenFile: path().default('/etc/mecai/secrets/join-token'),
      /** Until it is approved. */
      askEveryMs: count(100, 3_600_000).default(10_000),
    })
    .optional(),
  /** Checks the declared location against MaxMind DB files. */
  geoip: z
    .strictObject({
      /** Address that targets see this agent come from. */
      publicAddress: address,
      city: path().optional(),
      asn: path().optional(),
      /** Kilometres, beyond the database's own accuracy radius. */
      toleranceKm: count(1, 20_000).default(300),
      onContradiction: z.enum(['warn', 'refuse']).default('warn'),
    })
    .optional(),
  /** How long other agents take to answer is held against the speed of light. */
  roundTrips: z
    .strictObject({
      /** 0: it does not ask, but answers. For test networks, whose far places are all on one machine. */
      everyMs: count(0, 3_600_000).default(20_000),
    })
    .prefault({}),
  probe: z
    .strictObject({
      /**
       * Source addresses to bind, where the machine has several. Linux takes the port before it knows the target then:
       * some 28,000 connections a minute from one address, and each costs more the closer it gets.
       */
      bindIpv4: z.ipv4().optional(),
      bindIpv6: z.ipv6().optional(),
      /** Ends TLS 1.3 handshakes once the key is proven: a third less work, but HAProxy and stunnel log an error. */
      stopEarly: z.boolean().default(false),
      /** Probes at the same time; beyond it the answer is `overloaded`. */
      inFlight: count(1, 10_000).default(2_000),
      /** The same for campaigns, which also wait while coordinators use more than half of `inFlight`. */
      campaignInFlight: count(0, 10_000).default(20),
      /** Probes a second for campaigns; 0: this agent takes no part. */
      campaignPerSecond: count(0, 10_000).default(10),
    })
    .prefault({}),
  /** Observations kept until JetStream confirms them; the oldest are dropped beyond it. */
  outbox: count(1, 1_000_000).default(10_000),
  /** Special-purpose ranges that may be probed all the same; for test networks only. */
  allowedTargets: z.array(prefix()).default([]),
});

export type AgentConfig = z.output<typeof agentConfig>;

/** What may change while it runs. */
export const changeable = ['probe', 'allowedTargets'] as const;
