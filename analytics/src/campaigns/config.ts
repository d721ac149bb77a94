import { isName } from '@mecai/proto';
import { hostPort, logLevel, path, silentMs, telemetryConfig } from '@mecai/runtime';
import * as z from 'zod';

export const campaignsConfig = z.strictObject({
  logLevel: logLevel(),
  /** Name of this process: last token of the subject that agents answer on. */
  name: z.string().refine(isName, 'lower-case letters, digits and hyphens').default('campaigns'),
  admin: hostPort(),
  nats: z.strictObject({
    servers: z.array(z.string().min(1)).min(1),
    /** Seed of the nkey that nats-server knows with `natsPermissions.campaigns(name)`. */
    seedFile: path(),
    /** CA of the servers' certificates, PEM. With it a server without TLS is refused; without it any public CA will do. */
    ca: path().optional(),
    silentMs: silentMs(),
  }),
  /** Where campaigns are ordered. */
  analytics: z.strictObject({
    url: z.url({ protocol: /^https?$/ }),
    /** A token with scopes read and operate. */
    tokenFile: path(),
  }),
  /** Probes a minute of all campaigns together, whatever they were ordered with. */
  maxPerMinute: z.int().min(1).max(600_000).default(600),
  /** Milliseconds an agent has for one probe. */
  timeoutMs: z.int().min(1000).max(60_000).default(10_000),
  telemetry: telemetryConfig(),
});

/** What may change while it runs. */
export const changeable = ['maxPerMinute', 'timeoutMs'] as const;

export type CampaignsConfig = z.output<typeof campaignsConfig>;
