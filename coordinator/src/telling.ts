/** What the coordinator tells operators of itself: metrics, and `/status`. */
import type { Telemetry } from '@mecai/runtime';
import type { Messaging } from './messaging.ts';
import type { Places } from './places.ts';
import type { Reports } from './reports/reports.ts';
import type { SignerLinks } from './signer-links.ts';
import type { Store } from './store.ts';
import type { VrpServer } from './http-server.ts';

export interface Told {
  readonly messaging: Messaging;
  readonly signerLinks: SignerLinks;
  readonly store: Pick<Store, 'there'>;
  readonly server: Pick<VrpServer, 'inFlight'>;
  readonly reports: Pick<Reports, 'counts'>;
  readonly places: Places;
}

const parts = ({ messaging, signerLinks, store }: Told) => [
  { label: 'nats', words: 'NATS', there: messaging.there },
  { label: 'signer', words: 'signer', there: signerLinks.there > 0 },
  { label: 'database', words: 'database', there: store.there },
];

/** In the words of `/readyz`. */
export const missingParts = (told: Told): string[] =>
  parts(told).flatMap(({ words, there }) => (there ? [] : [words]));

export function gauges(telemetry: Telemetry, told: Told): void {
  const { messaging, signerLinks, server, reports, places } = told;
  const agents = () => [...signerLinks.registry.agents.keys()];
  telemetry.gauge('part.there', 'Whether a part that is needed can be reached.', () =>
    parts(told).map(({ label, there }) => [there ? 1 : 0, { part: label }] as const),
  );
  telemetry.gauge(
    'stream.replicas.behind',
    'Nodes of NATS that lack what the stream has, or are gone, as its leader sees it.',
    () => Array.from(messaging.replicasBehind, ([stream, nodes]) => [nodes, { stream }] as const),
  );
  telemetry.gauge('signers.there', 'Signers that can be reached.', () => signerLinks.there);
  telemetry.gauge('vrp.in.flight', 'Requests being decided.', () => server.inFlight);
  telemetry.gauge('records.unconfirmed', 'Records not stored yet.', () => messaging.records?.unconfirmed);
  telemetry.gauge('records.dropped', 'Records lost since the start.', () => messaging.records?.dropped);
  telemetry.gauge(
    'reports.repeated',
    'Reports of clients that were known already.',
    () => reports.counts.repeated,
  );
  telemetry.gauge('reports.refused', 'Reports of clients beyond the limit.', () => reports.counts.refused);
  telemetry.gauge('agent.silent.seconds', 'Since the last sign of life of each agent.', () =>
    agents().map((agent) => [(messaging.perspectives?.silentMs(agent) ?? 0) / 1000, { agent }] as const),
  );
  telemetry.gauge('agent.place.contradicted', 'Agents that are nearer to this one than light allows.', () =>
    agents().map((agent) => [places.tooNear(agent), { agent }] as const),
  );
}

export const statusOf = (coordinator: string, { messaging, signerLinks, server, places }: Told) => ({
  name: coordinator,
  registryVersion: signerLinks.registry.version,
  policy: signerLinks.policy,
  signers: signerLinks.all.map(({ id, there }) => ({ id, there })),
  distrusted: signerLinks.distrusted,
  requestsInFlight: server.inFlight,
  listening: messaging.perspectives?.listening,
  recordsUnconfirmed: messaging.records?.unconfirmed,
  recordsDropped: messaging.records?.dropped,
  perspectives: Array.from(signerLinks.registry.agents.values(), ({ name, city, country, rir, asn }) => ({
    name,
    city,
    country,
    rir,
    asn,
    heard: messaging.perspectives?.heard(name) ?? false,
    silentMs: messaging.perspectives?.silentMs(name),
    contradictions: places.contradictions(name),
  })),
});
