/**
 * Three regions on one machine: a NATS cluster of three nodes, a leaf node and agents in each region, several
 * coordinators on one Postgres, several signers with an HSM token and a VA certificate each, several sinks.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseConfig } from '@mecai/database';
import { startPostgres } from '@mecai/database/postgres-server';
import { natsPermissions } from '@mecai/proto';
import {
  type City,
  type TestCa,
  type TestWeb,
  type WebPki,
  Workshop,
  eightCities,
  keyPem,
  pem,
  prepareSigner,
  rootCa,
  serverCertificate,
  startProcess,
  startWeb,
  writeGeoip,
} from '../network/index.ts';
import { type Fabric, type Place, openFabric } from './fabric.ts';
import { type Listener, listenerPermissions } from './acknowledgements.ts';
import { natsServerVersion } from '../parts/nats-server.ts';
import { startAgents } from './agents.ts';
import { startNats } from './nats.ts';
import { type Kind, type Part, ourProcess, postgresPart } from './part.ts';
import { watchNodes } from './watch.ts';

const repository = join(import.meta.dirname, '../../..');

/** Eight perspectives in three regions, each with a leaf node: those of a RIR beside their neighbours. */
const regionOf: Readonly<Record<City['rir'], string>> = {
  ripencc: 'europe',
  afrinic: 'europe',
  arin: 'america',
  lacnic: 'america',
  apnic: 'asia',
};

export interface RegionsOptions {
  readonly directory: string;
  readonly coordinators?: number;
  readonly signers?: number;
  /** Sinks of analytics, each with a store of its own. */
  readonly sinks?: number;
  /** The agents of a region in one process; one each by default. */
  readonly agentsTogether?: boolean;
  /** Where processes live; the caller's to close. */
  readonly fabric?: Fabric;
  /** Of coordinators and agents. */
  readonly telemetry?: object;
  /** Laid over the configuration of each coordinator. */
  readonly coordinator?: object;
  readonly progress?: (what: string) => void;
}

export interface Coordinator extends Part {
  readonly vrpUrl: string;
  readonly adminUrl: string;
}

export interface Regions {
  readonly directory: string;
  readonly fabric: Fabric;
  readonly cities: readonly City[];
  readonly parts: readonly Part[];
  readonly coordinators: readonly Coordinator[];
  readonly pki: WebPki & { readonly vaRoot: TestCa };
  readonly web: TestWeb;
  readonly signers: readonly {
    /** SPIFFE ID. */
    readonly id: string;
    readonly config: string;
    readonly auditLog: string;
  }[];
  readonly sinks: readonly { readonly adminUrl: string; readonly apiUrl: string }[];
  readonly operator: { readonly servers: readonly string[]; readonly ca: string; readonly seedFile: string };
  readonly listener: Listener;
  /** Nodes of NATS that stayed behind and were restarted for it, and what they had said. */
  readonly natsRestarts: readonly string[];
  /** Status pages of all agents. */
  readonly agentUrls: readonly string[];
  /** The coordinators' database. */
  readonly database: DatabaseConfig;
  /** Configuration of `mecai-admin`. */
  readonly admin: string;
  /** CA of the coordinators' certificates, PEM. */
  readonly httpsCa: string;
  stop(): Promise<void>;
}

export async function startRegions(options: RegionsOptions): Promise<Regions> {
  const { directory, progress = () => undefined } = options;
  const cities = eightCities;
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const end of stops.toReversed()) await end();
  };
  try {
    const fabric = options.fabric ?? openFabric();
    if (!options.fabric) stops.push(() => fabric.close());
    const web = await startWeb(fabric.host);
    stops.push(() => web.crls.close());
    return { ...(await layout(options, { fabric, web, cities, stops, progress })), directory, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Ground {
  readonly fabric: Fabric;
  readonly web: TestWeb;
  readonly cities: readonly City[];
  readonly stops: (() => unknown)[];
  readonly progress: (what: string) => void;
}

async function layout(
  options: RegionsOptions,
  { fabric, web, cities, stops, progress }: Ground,
): Promise<Omit<Regions, 'directory' | 'stop'>> {
  const workshop = new Workshop(options.directory, ['logs', 'nats', 'trust/MOZ', 'trust/CHROME']);
  const at = (...names: string[]) => workshop.at(...names);
  const write = (name: string, content: string | object, mode?: number) =>
    workshop.write(name, content, mode);
  const numbered = (kind: string, count: number) =>
    Array.from({ length: count }, (_, i) => {
      const name = `${kind}-${i + 1}`;
      return { name, place: fabric.place(name) };
    });
  const coordinatorPlaces = numbered('coordinator', options.coordinators ?? 2);
  const signerPlaces = numbered('signer', options.signers ?? 2);
  const sinkPlaces = numbered('analytics', options.sinks ?? 2);

  const pki = { ...web.pki, vaRoot: rootCa('Second Opinion Root', web.crls.url()) };
  web.crls.publish(pki.vaRoot);
  write('trust/MOZ/roots.pem', pem(pki.webRoot, pki.brokenRoot, pki.vaRoot));
  write('trust/CHROME/roots.pem', pem(pki.webRoot));
  const vaRoot = write('va-root.pem', pem(pki.vaRoot));
  const https = serverCertificate(pki.vaRoot, { ip: coordinatorPlaces.map(({ place }) => place.address) });
  const httpsFiles = {
    certificate: write('https.pem', pem(https)),
    key: write('https.key', keyPem(https), 0o600),
  };

  const agents = cities.map((city) => workshop.agent(city));
  const { registry, publicKey: registryKey } = workshop.registry(agents);
  const geoip = writeGeoip(options.directory, cities);
  const seeds = coordinatorPlaces.map(({ name }) =>
    workshop.natsUser(name, natsPermissions.coordinator(name)),
  );
  const sinkSeed = workshop.natsUser('analytics', natsPermissions.analytics('analytics'));
  const operatorSeed = workshop.natsUser('operator', natsPermissions.operator);
  const agentNames = cities.map(({ name }) => name);
  const listenerSeed = workshop.natsUser('listener', listenerPermissions(agentNames));
  const operatorId = workshop.identity('operator');
  const coordinatorIds = coordinatorPlaces.map(({ name }) => workshop.identity(name));
  progress(`certificates, keys and registry of ${agents.length} perspectives`);

  const regions = Map.groupBy(agents, ({ city }) => regionOf[city.rir]);
  const names = new Map(Array.from(regions, ([region, all]) => [region, all.map(({ city }) => city.name)]));
  const parts: Part[] = [];
  const run = async (
    kind: Kind,
    name: string,
    place: Place,
    script: string,
    args: string[],
    {
      environment = {},
      agents = [],
    }: { environment?: Record<string, string>; agents?: readonly string[] } = {},
  ) => {
    const managed = await startProcess({
      name,
      script: join(repository, script),
      args,
      logFile: at('logs', `${name}.log`),
      environment,
      command: place.command,
      readyWithinMs: 120_000,
    });
    const part = { ...ourProcess(kind, place, managed), agents };
    parts.push(part);
    stops.push(() => part.stop());
    return part;
  };

  const started = async <T>(what: string, start: Promise<T>): Promise<T> => {
    const value = await start;
    progress(what);
    return value;
  };
  const postgresPlace = fabric.place('postgres');
  const bus = { ca: at('internal-ca.pem') };
  const startBus = async () => {
    const nats = await startNats(workshop, fabric, names);
    const all = [...nats.nodes, ...nats.leaves.values()];
    parts.push(...all);
    stops.push(() => Promise.all(all.map((part) => part.stop())));
    const watch = watchNodes(nats.nodes);
    stops.push(() => watch.stop());
    return { ...nats, restarts: watch.restarts };
  };
  const base = async () => {
    const postgres = await startPostgres({ place: { ...postgresPlace, clients: fabric.prefix } });
    stops.push(() => postgres.stop());
    parts.push(postgresPart(postgresPlace, postgres));
    return postgres.fresh();
  };
  const startSigner = async ({ name, place }: (typeof signerPlaces)[number]) => {
    const { id, files } = workshop.identity(name);
    mkdirSync(at(name), { recursive: true });
    const auditLog = at(name, 'audit.jsonl');
    const token = await prepareSigner({ at, write, vaRoot: pki.vaRoot }, name, {
      listen: `${place.address}:7443`,
      tls: files,
      coordinators: coordinatorIds.map((one) => one.id),
      operators: [operatorId.id],
      admin: `${place.address}:9103`,
      ownCa: [vaRoot],
      registry,
      registryKeys: [registryKey],
      trustContexts: at('trust'),
      auditLog,
      allowedTargets: [fabric.prefix],
      draws: { perEndpoint: 100_000 },
    });
    const args = ['serve', '--config', token.config];
    await run('signer', name, place, 'signer/src/main.ts', args, token);
    return { id, address: `${place.address}:7443`, auditLog, ...token };
  };
  const [nats, database, signers] = await Promise.all([
    started(
      `three NATS nodes, and leaf nodes for ${[...regions.keys()].join(', ')} (${natsServerVersion()})`,
      startBus(),
    ),
    started('Postgres', base()),
    started(
      `${signerPlaces.length} signers, each with a SoftHSM token and a certified VA key of its own`,
      Promise.all(signerPlaces.map(startSigner)),
    ),
  ]);

  const telemetry = options.telemetry && { telemetry: options.telemetry };
  const generous = { perMinute: 100_000_000, burst: 100_000_000 };
  const coordinators = await Promise.all(
    coordinatorPlaces.map(async ({ name, place }, i): Promise<Coordinator> => {
      const tls = coordinatorIds[i]!.files;
      const config = write(`${name}.json`, {
        name,
        listen: `${place.address}:8443`,
        tls: httpsFiles,
        admin: `${place.address}:9101`,
        nats: { ...bus, servers: nats.servers, seedFile: seeds[i], streamReplicas: 3 },
        signers: signers.map(({ id, address }) => ({ id, address, tls })),
        registry,
        operators: { listen: `${place.address}:9443`, tls, identities: [operatorId.id] },
        database,
        allowedTargets: [fabric.prefix],
        certificateLog: { hold: { maxMs: 0 } },
        // Handshakes get half of it, on a machine that may do ten other things.
        probe: { timeoutMs: 6_000, transitMs: 1_000, graceMs: 1_000 },
        limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
        ...telemetry,
        ...options.coordinator,
      });
      const part = await run('coordinator', name, place, 'coordinator/src/main.ts', ['--config', config]);
      return {
        ...part,
        vrpUrl: `https://${place.address}:8443/vrp`,
        adminUrl: `http://${place.address}:9101`,
      };
    }),
  );
  progress(`${coordinators.length} coordinators`);

  const agentUrls = await startAgents(regions, {
    workshop,
    fabric,
    together: options.agentsTogether ?? false,
    serversOf: (region) => [nats.leafServer(region), ...nats.servers],
    geoip,
    config: { allowedTargets: [fabric.prefix], ...telemetry },
    bus,
    run: (names, name, place, script, args) => run('agent', name, place, script, args, { agents: names }),
  });
  progress(`probe agents: ${Array.from(names, ([region, all]) => `${region} ${all.join(', ')}`).join('; ')}`);

  await Promise.all(
    sinkPlaces.map(({ name, place }) => {
      mkdirSync(at(name), { recursive: true });
      const config = write(`${name}.json`, {
        // One name: they share the durable consumer.
        nats: { ...bus, servers: nats.servers, seedFile: sinkSeed, name: 'analytics', streamReplicas: 3 },
        registry,
        store: { kind: 'embedded', directory: at(name) },
        admin: `${place.address}:7480`,
        api: { listen: `${place.address}:7481`, anonymousRead: true, requestsPerMinute: 1_000_000 },
        redeliverMs: 5_000,
        batch: { rows: 2_000, ms: 200 },
      });
      return run('analytics', name, place, 'analytics/src/main.ts', ['--config', config]);
    }),
  );
  if (sinkPlaces.length > 0) progress(`${sinkPlaces.length} sinks on one durable consumer`);

  const admin = write('admin.json', {
    signers: signers.map(({ id, address }) => ({ id, address, tls: operatorId.files })),
    coordinator: {
      address: `${coordinatorPlaces[0]!.place.address}:9443`,
      id: coordinatorIds[0]!.id,
      tls: operatorId.files,
    },
  });
  for (const { adminUrl } of coordinators) {
    await untilOk(`${adminUrl}/readyz`, () => true);
    await untilOk(`${adminUrl}/status`, (status) => !status.includes('"heard":false'));
  }
  progress('every coordinator has heard every perspective');
  const cluster = { servers: nats.servers, ca: pem(workshop.internalCa) };
  return {
    fabric,
    cities,
    parts,
    coordinators,
    pki,
    web,
    signers,
    sinks: sinkPlaces.map(({ place: { address } }) => ({
      adminUrl: `http://${address}:7480`,
      apiUrl: `http://${address}:7481`,
    })),
    operator: { ...cluster, seedFile: operatorSeed },
    listener: { ...cluster, seedFile: listenerSeed, agents: agentNames },
    natsRestarts: nats.restarts,
    agentUrls,
    database,
    admin,
    httpsCa: pem(pki.vaRoot),
  };
}

async function untilOk(url: string, good: (body: string) => boolean): Promise<void> {
  const until = Date.now() + 120_000;
  let last = '';
  while (Date.now() < until) {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    last = response ? await response.text() : 'no answer';
    if (response?.ok && good(last)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} is not as it should be after two minutes: ${last.slice(0, 500)}`);
}
