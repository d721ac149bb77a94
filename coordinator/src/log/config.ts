import { readFileSync } from 'node:fs';
import {
  type Certificate,
  PkiError,
  type LogKey,
  pemCertificates,
  plainOrganization,
  readLogKey,
} from '@mecai/pki';
import { RuntimeError, path } from '@mecai/runtime';
import * as z from 'zod';
import { caOfOrganizations, hex } from './certificate-facts.ts';
import type { HoldPolicy } from './hold.ts';
import type { KnownLog } from './scts.ts';

const milliseconds = (max: number) => z.number().int().min(0).max(max);
const year = 366 * 24 * 3_600_000;
const share = () => z.number().min(0).max(1);

export const certificateLogConfig = z.strictObject({
  hold: z
    .strictObject({
      /** The proposal's three days. */
      maxMs: milliseconds(year).default(72 * 3_600_000),
      /** Of the certificate's lifetime: there are some that live six days. */
      lifetimeShare: share().default(0.1),
      /** Instead, for some; the first that fits counts, and the longest among the trust contexts of a chain. */
      rules: z
        .array(
          z.strictObject({
            /** organizationName of the issuer; its commonName where it has none. */
            ca: z.string().min(1).optional(),
            trustContext: z.string().min(1).optional(),
            requester: z.enum(['authenticated', 'unauthenticated']).optional(),
            maxMs: milliseconds(year),
            lifetimeShare: share(),
          }),
        )
        .default([]),
    })
    .prefault({}),
  /** What may end a hold early; each is off unless it is here. */
  waivers: z
    .strictObject({
      /** A hold counts from when logs of so many operators had the certificate. */
      scts: z
        .strictObject({
          operators: z.number().int().min(2).max(10).default(2),
          logs: z.array(
            z.strictObject({
              operator: z.string().min(1),
              /** SubjectPublicKeyInfo, base64. */
              key: z.base64().min(1),
            }),
          ),
        })
        .optional(),
      /** What the holder of a cleared certificate's key declares in advance. */
      successors: z.boolean().default(false),
      /** What other VAs have checked by themselves. */
      expedite: z
        .strictObject({
          authorities: z.number().int().min(2).max(10).default(2),
          /** Who may sign such statements: the certificate, PEM. */
          from: z.array(z.strictObject({ authority: z.string().min(1), certificate: path() })),
        })
        .optional(),
      /** What a contact has approved out of band. */
      approvals: z.boolean().default(false),
    })
    .prefault({}),
  notices: z
    .strictObject({
      /** Also of what is not held because it renews a certificate. */
      ofRenewals: z.boolean().default(false),
      /** Of known certificates at addresses where they were not before. */
      ofAddresses: z.boolean().default(false),
    })
    .prefault({}),
  /** Who at a CA is told of an objection to a certificate of its own. */
  caContacts: z
    .array(
      z.strictObject({
        /** organizationName in its issuing certificates. */
        ca: z.string().min(1),
        mail: z.array(z.email()).min(1),
      }),
    )
    .default([]),
  /** How often the times of last requests are written. */
  lastSeenEveryMs: z.number().int().min(10).max(600_000).default(1_000),
  /** How often holds that have ended, and certificates that have expired, are looked for. */
  sweepEveryMs: z.number().int().min(100).max(3_600_000).default(60_000),
  /** How long an expired certificate and its history are kept. */
  keepExpiredMs: milliseconds(10 * year).default(90 * 24 * 3_600_000),
});

export type CertificateLogConfig = z.output<typeof certificateLogConfig>;

export function holdPolicyOf({ hold, waivers }: CertificateLogConfig): HoldPolicy {
  const { scts, successors, expedite, approvals } = waivers;
  return {
    ...hold,
    rules: hold.rules.map((rule) => ({ ...rule, ca: rule.ca && plainOrganization(rule.ca) })),
    waivers: { scts: scts?.operators, successors, expedite: expedite?.authorities, approvals },
  };
}

/** @throws RuntimeError `bad-configuration` */
export function ctLogsOf({ waivers }: CertificateLogConfig): ReadonlyMap<string, KnownLog> {
  const logs = (waivers.scts?.logs ?? []).map(({ operator, key }): [string, KnownLog] => {
    const log = usable<LogKey>(`CT log of ${operator}`, () => readLogKey(Buffer.from(key, 'base64')));
    return [log.id, { key: log, operator }];
  });
  return new Map(logs);
}

/** Mail addresses by `ca` of the log, hexadecimal. */
export const caContactsOf = ({ caContacts }: CertificateLogConfig): ReadonlyMap<string, readonly string[]> =>
  new Map(caContacts.map(({ ca, mail }) => [hex(caOfOrganizations([plainOrganization(ca)])), mail]));

export interface Authority {
  readonly name: string;
  readonly certificate: Certificate;
}

/** @throws RuntimeError `bad-configuration` */
export const authoritiesOf = ({ waivers }: CertificateLogConfig): Authority[] =>
  (waivers.expedite?.from ?? []).map(({ authority: name, certificate: file }) =>
    usable(`certificate of ${name}`, () => {
      const [certificate, ...others] = pemCertificates(readFileSync(file, 'utf8'));
      if (!certificate || others.length > 0)
        throw new PkiError('configuration', 'one certificate is expected');
      return { name, certificate };
    }),
  );

function usable<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RuntimeError('bad-configuration', `${what}: ${reason}`, { cause });
  }
}
