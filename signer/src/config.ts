import { hostPort, mutualTls, path, spiffeId } from '@mecai/runtime';
import * as z from 'zod';

const count = (min: number, max: number) => z.number().int().min(min).max(max);

export const signerConfig = z.strictObject({
  /** Where coordinators connect, gRPC over mTLS. */
  listen: hostPort(),
  tls: mutualTls(),
  /** Who may connect. */
  coordinators: z.array(spiffeId()).min(1),
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
  /** Certificates of the CA that runs this VA, PEM; whatever leads to one of their keys is not vouched for. */
  ownCa: z.array(path()).min(1),
  registry: path(),
  /** Directory with one folder of PEM files per trust context. */
  trustContexts: path(),
  auditLog: path(),
  quorum: z
    .strictObject({
      perspectives: count(2, 64).default(6),
      minRegions: count(1, 5).default(2),
      minNetworks: count(1, 64).default(2),
      minDistanceKm: count(0, 20_000).default(500),
      matchIntermediates: z.boolean().default(true),
    })
    .prefault({}),
  voucherLifetimeSeconds: count(60, 86_400).default(86_400),
  /** How far an agent's clock may be off. */
  clockToleranceMs: count(1_000, 600_000).default(120_000),
  draws: z
    .strictObject({
      ttlMs: count(1_000, 300_000).default(30_000),
      open: count(1, 1_000_000).default(20_000),
      attempts: count(1, 64).default(8),
      failures: count(1, 100_000).default(10),
      failureWindowMs: count(1_000, 3_600_000).default(60_000),
    })
    .prefault({}),
  /** Special-purpose ranges that may be probed all the same; for test networks only. */
  allowedTargets: z.array(z.string()).default([]),
});

export type SignerConfig = z.output<typeof signerConfig>;
