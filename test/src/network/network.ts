/**
 * A whole MECAI network on this machine, of real parts: nats-server with nkeys, a signer on a SoftHSM token, a
 * coordinator, agents, analytics, and the certificates they need. For demo, cross-process tests and benches.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { natsPermissions } from '@mecai/proto';
import { type NatsServer, startNatsServer } from '../parts/nats-server.ts';
import { type TestCa, keyPem, pem, rootCa, serverCertificate } from './certificates.ts';
import { type City, sixCities } from './cities.ts';
import type { CrlServer } from './crl-server.ts';
import { writeGeoip } from './geoip.ts';
import { type ManagedProcess, startProcess } from './managed-process.ts';
import { prepareSigner } from './signer-token.ts';
import { startWeb, type TestWeb, type WebPki } from './web.ts';
import { Workshop } from './workshop.ts';

const repository = join(import.meta.dirname, '../../..');
export const testNetworks = ['127.0.0.0/8'];

export interface NetworkOptions {
  /** Keys, configurations, logs and stores; made if absent, and used again if it is there. */
  readonly directory: string;
  readonly cities?: readonly City[];
  /** Whether there is one, or what its configuration has besides. */
  readonly analytics?: boolean | Readonly<Record<string, unknown>>;
  /** Builds the dashboard, and runs campaigns, beside analytics. */
  readonly dashboard?: boolean;
  /** Members laid over the configuration files. */
  readonly signer?: object;
  readonly coordinator?: object;
  readonly agent?: object;
  /** The CAs of the web, shared by several networks; each network has its own by default. */
  readonly web?: TestWeb;
  /** Of the CA that runs the VA. */
  readonly caName?: string;
  /** All agents in this many processes; one each by default. */
  readonly agentProcesses?: number;
  /** NATS over TLS, by a private CA. */
  readonly natsTls?: boolean;
  /** What starts a process of this name, such as `env NAME=value`. */
  readonly command?: (name: string) => readonly string[];
  /** Called as each part comes up. */
  readonly progress?: (what: string) => void;
}

export interface Network {
  readonly directory: string;
  readonly cities: readonly City[];
  readonly nats: NatsServer;
  readonly signer: ManagedProcess;
  readonly coordinator: ManagedProcess;
  readonly agents: ReadonlyMap<string, ManagedProcess>;
  readonly analytics?: ManagedProcess;
  readonly campaigns?: ManagedProcess;
  /** Token of all scopes for the API of analytics. */
  readonly token: string;
  readonly vrpUrl: string;
  readonly pki: NetworkPki;
  readonly crls: CrlServer;
  /** Issues the SVIDs. */
  readonly internalCa: TestCa;
  readonly files: {
    /** Root that VA certificates are checked against, PEM. */
    readonly vaRoot: string;
    /** CA of the coordinator's HTTPS certificate, PEM. */
    readonly httpsCa: string;
    readonly coordinatorSvid: { readonly certificate: string; readonly key: string; readonly ca: string };
    readonly operatorSeed: string;
    /** Configuration of `mecai-admin`. */
    readonly admin: string;
    /** The operator's key for registry updates, PEM. */
    readonly registryKey: string;
  };
  stop(): Promise<void>;
}

export interface NetworkPki extends WebPki {
  /** The CA that runs the VA. */
  readonly vaRoot: TestCa;
}

export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { directory, cities = sixCities, caName = 'Second Opinion', progress = () => undefined } = options;
  const workshop = new Workshop(directory, ['logs', 'nats', 'trust/MOZ', 'trust/CHROME', 'analytics']);
  const { users } = workshop;
  const at = (...parts: string[]) => workshop.at(...parts);
  const write = (name: string, content: string | object, mode?: number) =>
    workshop.write(name, content, mode);

  const web = options.web ?? (await startWeb());
  const { crls } = web;
  const pki: NetworkPki = { ...web.pki, vaRoot: rootCa(`${caName} Root`, crls.url()) };
  crls.publish(pki.vaRoot);
  write('trust/MOZ/roots.pem', pem(pki.webRoot, pki.brokenRoot, pki.vaRoot));
  write('trust/CHROME/roots.pem', pem(pki.webRoot));
  const vaRoot = write('va-root.pem', pem(pki.vaRoot));

  const httpsCa = write('https-ca.pem', pem(pki.vaRoot));
  const https = serverCertificate(pki.vaRoot, {
    dns: ['localhost', 'va.second-opinion.test'],
    ip: ['127.0.0.1'],
  });
  const httpsFiles = {
    certificate: write('https.pem', pem(https)),
    key: write('https.key', keyPem(https), 0o600),
  };

  const agents = cities.map((city) => workshop.agent(city));
  const geoip = writeGeoip(directory, cities);
  const coordinatorSeed = workshop.natsUser('coordinator-1', natsPermissions.coordinator('coordinator-1'));
  const analyticsSeed = workshop.natsUser('analytics-1', natsPermissions.analytics('analytics-1'));
  const campaignsSeed = workshop.natsUser('campaigns', natsPermissions.campaigns('campaigns'));
  const token = randomBytes(32).toString('base64url');
  const tokens = write('tokens.json', [
    {
      name: 'operator',
      sha256: createHash('sha256').update(token).digest('hex'),
      scopes: ['read', 'sql', 'operate'],
    },
  ]);
  const tokenFile = write('operator.token', token, 0o600);
  const operatorSeed = workshop.natsUser('operator', natsPermissions.operator);
  const { registry, privateKey: registryKey, publicKey: registryPublicKey } = workshop.registry(agents);
  progress(`certificates, keys and registry of ${agents.length} perspectives`);

  const stops: (() => Promise<unknown>)[] = options.web ? [] : [() => crls.close()];
  const stop = async () => {
    for (const end of stops.toReversed()) await end();
  };
  try {
    const { natsTls = false } = options;
    const natsCertificate = serverCertificate(workshop.internalCa, { dns: ['localhost'] });
    const nats = await startNatsServer({
      directory: at('nats'),
      users,
      ...(natsTls && {
        tls: {
          certificate: write('nats.pem', pem(natsCertificate)),
          key: write('nats.key', keyPem(natsCertificate), 0o600),
        },
      }),
    });
    const natsServers = { servers: [nats.url], ...(natsTls && { ca: workshop.internalCaFile }) };
    stops.push(() => nats.stop());
    progress(`nats-server with ${users.length} nkeys on ${nats.url}`);

    const run = async (name: string, script: string, args: string[], environment = {}) => {
      const started = await startProcess({
        name,
        script: join(repository, script),
        args,
        logFile: at('logs', `${name}.log`),
        environment,
        command: options.command?.(name) ?? [],
      });
      stops.push(() => started.stop());
      return started;
    };

    const signerId = workshop.identity('signer');
    const coordinatorId = workshop.identity('coordinator');
    const operatorId = workshop.identity('operator');
    const hsm = await prepareSigner({ at, write, vaRoot: pki.vaRoot }, 'signer', {
      listen: '127.0.0.1:0',
      tls: signerId.files,
      coordinators: [coordinatorId.id],
      operators: [operatorId.id],
      admin: '127.0.0.1:0',
      ownCa: [vaRoot],
      registry,
      registryKeys: [registryPublicKey],
      trustContexts: at('trust'),
      auditLog: at('audit.jsonl'),
      allowedTargets: testNetworks,
      ...options.signer,
    });
    progress('VA key generated in the SoftHSM token, certificate installed');
    const signer = await run(
      'signer',
      'signer/src/main.ts',
      ['serve', '--config', hsm.config],
      hsm.environment,
    );
    progress(`signer on ${signer.ready['grpc']}`);

    const coordinator = await run('coordinator', 'coordinator/src/main.ts', [
      '--config',
      write('coordinator.json', {
        name: 'coordinator-1',
        listen: '127.0.0.1:0',
        tls: httpsFiles,
        admin: '127.0.0.1:0',
        nats: { ...natsServers, seedFile: coordinatorSeed },
        signers: [{ address: signer.ready['grpc'], id: signerId.id, tls: coordinatorId.files }],
        registry,
        operators: { listen: '127.0.0.1:0', tls: coordinatorId.files, identities: [operatorId.id] },
        allowedTargets: testNetworks,
        // Vouchers come at once, unless a test is about holds.
        certificateLog: { hold: { maxMs: 0 } },
        ...options.coordinator,
      }),
    ]);
    const admin = {
      signers: [{ address: signer.ready['grpc'], id: signerId.id, tls: operatorId.files }],
      coordinator: { address: coordinator.ready['operators'], id: coordinatorId.id, tls: operatorId.files },
    };
    progress(`coordinator on ${coordinator.ready['vrp']}`);

    const configs = agents.map(({ city, keyFile, seedFile }) => ({
      name: city.name,
      file: write(`${city.name}.json`, {
        name: city.name,
        admin: '127.0.0.1:0',
        nats: { ...natsServers, seedFile },
        keyFile,
        location: {
          city: city.city,
          country: city.country,
          latitude: city.latitude,
          longitude: city.longitude,
          rir: city.rir,
          asn: city.asn,
        },
        geoip: { publicAddress: city.address, ...geoip },
        // All cities are on this machine, and light would have to wait.
        roundTrips: { everyMs: 0 },
        probe: { bindIpv4: city.address },
        allowedTargets: testNetworks,
        ...options.agent,
      }),
    }));
    const running = new Map<string, ManagedProcess>();
    const processes = options.agentProcesses ?? configs.length;
    await Promise.all(
      Array.from({ length: processes }, async (_, i) => {
        const mine = configs.filter((__, j) => j % processes === i);
        const name = mine.length === 1 ? mine[0]!.name : `agents-${i + 1}`;
        const script = mine.length === 1 ? 'probe-agent/src/main.ts' : 'test/src/network/several-agents.ts';
        const one = await run(
          name,
          script,
          mine.flatMap(({ file }) => ['--config', file]),
        );
        for (const { name: agent } of mine) running.set(agent, one);
      }),
    );
    progress(
      `probe agents, their places checked against GeoIP: ${cities.map(({ city }) => city).join(', ')}`,
    );

    if (options.dashboard) {
      execFileSync(process.execPath, [join(repository, 'analytics/src/build-dashboard.ts')]);
      progress('dashboard built');
    }
    const analytics = options.analytics
      ? await run('analytics', 'analytics/src/main.ts', [
          '--config',
          write('analytics.json', {
            nats: { ...natsServers, seedFile: analyticsSeed, name: 'analytics-1' },
            registry,
            registryKeys: [registryPublicKey],
            store: { kind: 'embedded', directory: at('analytics') },
            admin: '127.0.0.1:0',
            api: { listen: '127.0.0.1:0', tokens, anonymousRead: true },
            ...(typeof options.analytics === 'object' && options.analytics),
          }),
        ])
      : undefined;
    if (analytics)
      progress(`analytics on ${analytics.ready['admin']}, its dashboard on ${analytics.ready['api']}`);
    const campaigns =
      options.dashboard && analytics
        ? await run('campaigns', 'analytics/src/campaigns/main.ts', [
            '--config',
            write('campaigns.json', {
              admin: '127.0.0.1:0',
              nats: { ...natsServers, seedFile: campaignsSeed },
              analytics: { url: analytics.ready['api'], tokenFile },
            }),
          ])
        : undefined;
    const adminConfig = write('admin.json', {
      ...admin,
      ...(analytics && { analytics: { url: analytics.ready['api'], tokenFile } }),
    });
    if (campaigns) progress('campaigns, which ask the same agents at a lower priority');

    await untilReady(`${coordinator.ready['admin']}/readyz`);
    await untilAllHeard(`${coordinator.ready['admin']}/status`);
    return {
      directory,
      cities,
      nats,
      signer,
      coordinator,
      agents: running,
      ...(analytics && { analytics }),
      ...(campaigns && { campaigns }),
      token,
      vrpUrl: coordinator.ready['vrp']!,
      pki,
      crls,
      internalCa: workshop.internalCa,
      files: {
        vaRoot,
        httpsCa,
        coordinatorSvid: coordinatorId.files,
        operatorSeed,
        admin: adminConfig,
        registryKey,
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function poll(url: string, done: (response: Response) => Promise<boolean>): Promise<void> {
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    const response = await fetch(url).catch(() => undefined);
    if (response && (await done(response))) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${url} is not as it should be after 30 s`);
}

const untilReady = (url: string) => poll(url, (response) => Promise.resolve(response.ok));

/** The coordinator has had a sign of life from every agent. */
const untilAllHeard = (url: string) =>
  poll(url, async (response) => {
    const status = (await response.json()) as { perspectives: { heard: boolean }[] };
    return status.perspectives.every(({ heard }) => heard);
  });
