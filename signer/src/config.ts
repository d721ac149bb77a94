import { parsePrefix } from '@mecai/addresses';
import { hostPort, logLevel, mutualTls, path, reasonOf, spiffeId } from '@mecai/runtime';
import * as z from 'zod';

const prefix = () =>
  z.string().transform((text, context) => {
    try {
      return parsePrefix(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: reasonOf(error) });
      return z.NEVER;
    }
  });

const count = (min: number, max: number) => z.number().int().min(min).max(max);

export const signerConfig = z
  .strictObject({
    logLevel: logLevel(),
    /** Where coordinators connect, gRPC over mTLS. */
    listen: hostPort(),
    tls: mutualTls(),
    /** Who may connect. */
    coordinators: z.array(spiffeId()).min(1),
    /** Who may command: set and lift distrust. */
    operators: z.array(spiffeId()).default([]),
    admin: hostPort(),
    hsm: z.strictObject({
      /** PKCS #11 module, a shared library. */
      module: path(),
      token: z.string().min(1).max(32),
      key: z.string().min(1).max(255),
      /** File with the user PIN. */
      pinFile: path(),
    }),
    /** VA certificate and its intermediates without the root, PEM; `install-certificate` writes it. */
    vaCertificate: path(),
    /** Key, in the same token, and certificate that are to follow these; what is known of its revocation is kept ready. */
    nextVa: z.strictObject({ key: z.string().min(1).max(255), certificate: path() }).optional(),
    /** Certificates of the CA that runs this VA, PEM; whatever leads to one of their keys is not vouched for. */
    ownCa: z.array(path()).min(1),
    registry: path(),
    /** Public keys of the operators who may update it, PEM, P-256; without one the file is all there is. */
    registryKeys: z.array(path()).default([]),
    /** Directory with one folder per trust context: PEM files, and constraints in `context.json`. */
    trustContexts: path(),
    /** Public keys of CT logs, PEM: only SCTs that one of them signed count for constraints. */
    sctLogKeys: z.array(path()).default([]),
    auditLog: path(),
    /** From when on it goes on in another file; a start reads the last one. */
    auditSegmentOctets: count(4_096, 1_099_511_627_776).default(268_435_456),
    quorum: z
      .strictObject({
        perspectives: count(2, 64).default(6),
        minRegions: count(1, 5).default(2),
        minNetworks: count(1, 64).default(2),
        minDistanceKm: count(0, 20_000).default(500),
        matchIntermediates: z.boolean().default(true),
      })
      .refine(
        ({ perspectives, minRegions, minNetworks }) => Math.max(minRegions, minNetworks) <= perspectives,
        {
          message: 'more regions or networks than perspectives',
        },
      )
      .prefault({}),
    revocation: z
      .strictObject({
        /** Whether a chain is vouched for when nothing current says that none of it is revoked. */
        policy: z.enum(['require', 'allow-unknown']).default('require'),
        /** The same for the VA's own certificates, whose status vouchers carry where it is known. */
        vaPolicy: z.enum(['require', 'allow-unknown']).default('allow-unknown'),
        /** File that keeps the newest CRL of each issuer in mind; `<auditLog>.crls` by default. */
        newestCrls: path().optional(),
        /** The largest CRL that is taken in. */
        crlOctets: count(1_024, 67_108_864).default(67_108_864),
        /** CRLs and OCSP responses kept. */
        cacheOctets: count(65_536, 8_589_934_592).default(536_870_912),
      })
      .prefault({}),
    voucherLifetimeSeconds: count(60, 86_400).default(86_400),
    /** How far an agent's clock may be off. */
    clockToleranceMs: count(1_000, 600_000).default(120_000),
    /** How far this machine's clock may be off, by the median of the agents'; beyond it nothing is signed. */
    maxClockOffsetMs: count(500, 600_000).default(10_000),
    draws: z
      .strictObject({
        /** Within which the evidence has to arrive. */
        ttlMs: count(1_000, 300_000).default(30_000),
        /** Open draws of one coordinator. */
        open: count(1, 1_000_000).default(20_000),
        /** Times that evidence may be handed in for one draw. */
        attempts: count(1, 64).default(8),
        /** Draws of one coordinator, leaf, address and port that are open or came to nothing within `windowMs`. */
        perEndpoint: count(1, 100_000).default(16),
        windowMs: count(1_000, 3_600_000).default(60_000),
      })
      .prefault({}),
    /** How long a signer that stops waits for the evidence of open draws. */
    drainMs: count(0, 60_000).default(5_000),
    /** Special-purpose ranges that may be probed all the same; for test networks only. */
    allowedTargets: z.array(prefix()).default([]),
  })
  .refine(({ coordinators, operators }) => !operators.some((id) => coordinators.includes(id)), {
    message: 'an operator that is a coordinator',
    path: ['operators'],
  });

export type SignerConfig = z.output<typeof signerConfig>;

/** What may change while the signer runs: who may ask, what is vouched for, and with which key. */
export const changeable = [
  'coordinators',
  'operators',
  'hsm.key',
  'vaCertificate',
  'nextVa',
  'ownCa',
  'trustContexts',
  'sctLogKeys',
  'revocation.policy',
  'revocation.vaPolicy',
  'revocation.crlOctets',
  'voucherLifetimeSeconds',
  'clockToleranceMs',
  'maxClockOffsetMs',
  'draws',
  'drainMs',
  'allowedTargets',
] as const;
