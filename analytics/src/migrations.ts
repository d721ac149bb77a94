import { aggregates, endpointSummary } from './schema/aggregates.ts';
import { campaignTargets, campaigns, observationCampaign } from './schema/campaigns.ts';
import { alerts, incidentEvidence, incidents } from './schema/incidents.ts';
import { certificates, evidence, observations, verdicts } from './schema/observations.ts';
import {
  clientReports,
  clientStatistics,
  decisionSigner,
  decisions,
  mismatches,
  vouchers,
} from './schema/records.ts';
import { verdictComments } from './schema/verdict-comments.ts';

/**
 * The schema, as numbered steps that only go forward. A step that was released is never changed: what follows
 * from it is a new one. Each statement may be run again, since a step may end half-way.
 *
 * Digests, nonces and keys are lower-case hexadecimal text. An IPv4 address is stored as ::ffff:a.b.c.d. Times
 * are UTC. Rows are kept apart by `id`: what is delivered or published twice is stored once. What every column
 * means is its COMMENT, and all of them are in SCHEMA.md.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  /** For one server or a cluster, by `rendered`. */
  readonly statements: readonly string[];
}

export const migrations: readonly Migration[] = [
  { number: 1, name: 'observations', statements: [observations, certificates, evidence, verdicts] },
  {
    number: 2,
    name: 'records',
    statements: [decisions, vouchers, mismatches, clientReports, clientStatistics],
  },
  { number: 3, name: 'aggregates', statements: aggregates },
  { number: 4, name: 'incidents', statements: [incidents, incidentEvidence, alerts] },
  { number: 5, name: 'campaigns', statements: [campaigns, campaignTargets, observationCampaign] },
  { number: 6, name: 'endpoints', statements: endpointSummary },
  { number: 7, name: 'verdict comments', statements: verdictComments },
  { number: 8, name: 'signers of decisions', statements: [decisionSigner] },
];

export const migrationTable = `CREATE TABLE IF NOT EXISTS migrations @cluster (
  number UInt32 COMMENT 'Steps are taken in this order',
  name String COMMENT 'What the step brought',
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was complete'
) ENGINE = @MergeTree ORDER BY number COMMENT 'Steps of the schema taken so far'`;
