import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { parsePrefix } from '@mecai/addresses';
import { type QuorumPolicy, parseRegistry } from '@mecai/corroboration';
import { ensureStreams, inboxPrefix } from '@mecai/proto';
import {
  type Running,
  type Start,
  loadConfig,
  readMutualTls,
  readText,
  splitHostPort,
  startAdminServer,
  untilItWorks,
} from '@mecai/runtime';
import type { DescribeResponse } from '@mecai/proto/signer';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { coordinatorConfig } from './config.ts';
import { decide } from './decide.ts';
import { CoordinatorError } from './error.ts';
import { startVrpServer } from './http-server.ts';
import { Nonces } from './nonces.ts';
import { Perspectives } from './perspectives.ts';
import { Records } from './records.ts';
import { SignerClient } from './signer-client.ts';
import { VrpHandler } from './vrp-handler.ts';

/**
 * Puts the coordinator together. It serves at once, and answers `inconclusive` with a time to retry until NATS
 * and signer have been reached; both may come, go and come back.
 */
export async function startCoordinator({ log, config: file, environment, fail }: Start): Promise<Running> {
  const config = loadConfig(coordinatorConfig, file, environment);
  const registry = parseRegistry(readText(config.registry));
  const ending = new AbortController();
  const signer = new SignerClient({
    address: config.signer.address,
    id: config.signer.id,
    tls: readMutualTls(config.signer.tls),
    log,
  });

  const described = untilItWorks('signer', () => signer.describe(), { log, signal: ending.signal });
  let policy: QuorumPolicy | undefined;
  described.then((description: DescribeResponse) => {
    policy = description.policy;
    const { registryVersion } = description;
    log.info({ policy, registryVersion }, 'signer reached');
    if (registryVersion !== registry.version) {
      log.warn({ signer: registryVersion, coordinator: registry.version }, 'registry versions differ');
    }
  }, ifNotEnding);

  let perspectives: Perspectives | undefined;
  let records: Records | undefined;
  const connected = untilItWorks(
    'NATS',
    async () => {
      const nats = await connect({
        servers: [...config.nats.servers],
        authenticator: nkeyAuthenticator(new TextEncoder().encode(readText(config.nats.seedFile))),
        name: config.name,
        inboxPrefix: inboxPrefix(config.name),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        pingInterval: 5_000,
        maxPingOut: 2,
      });
      try {
        await ensureStreams(await jetstreamManager(nats));
        return nats;
      } catch (error) {
        await nats.close();
        throw error;
      }
    },
    { log, signal: ending.signal },
  );
  connected.then((nats) => {
    perspectives = new Perspectives(nats, config.name, Date.now);
    records = new Records(jetstream(nats), config.name, log);
    log.info({ server: nats.getServer() }, 'NATS reached');
    void (async () => {
      for await (const { type } of nats.status()) log.info({ type }, 'NATS');
    })();
    nats.closed().then((error) => {
      if (!ending.signal.aborted) fail(error ?? new Error('NATS closed the connection'));
    }, fail);
  }, ifNotEnding);

  function ifNotEnding(error: unknown): void {
    if (!ending.signal.aborted) fail(error);
  }

  const nonces = new Nonces(randomBytes(32));
  const handler = new VrpHandler({
    config,
    allowedTargets: config.allowedTargets.map(parsePrefix),
    nonces,
    log,
    now: Date.now,
    decide: async (question) => {
      if (!perspectives || !records)
        throw new CoordinatorError('nats-unavailable', 'NATS has not been reached yet');
      if (!policy) throw new CoordinatorError('signer-unavailable', 'the signer has not been reached yet');
      const { name, probe } = config;
      return decide(
        { name, signer, perspectives, records, registry, policy, probe, now: Date.now },
        question,
      );
    },
  });
  const server = await startVrpServer({
    ...splitHostPort(config.listen),
    tls: { certificate: readFileSync(config.tls.certificate), key: readFileSync(config.tls.key) },
    handler,
    nonces,
    maxInFlight: config.limits.inFlight,
    log,
  });
  const admin = await startAdminServer(splitHostPort(config.admin), {
    missing: () => [...(perspectives ? [] : ['NATS']), ...(policy ? [] : ['signer'])],
    status: () => ({
      name: config.name,
      registryVersion: registry.version,
      policy,
      perspectives: Array.from(registry.agents.values(), ({ name, city, country, rir, asn }) => ({
        name,
        city,
        country,
        rir,
        asn,
        heard: perspectives?.heard(name) ?? false,
        silentMs: perspectives?.silentMs(name),
      })),
    }),
  });
  return {
    ready: { vrp: server.url, admin: admin.url },
    async stop() {
      await server.close();
      ending.abort(new Error('stopping'));
      await admin.close();
      signer.close();
      await records?.drain();
      await (await connected.catch(() => undefined))?.drain();
    },
  };
}
