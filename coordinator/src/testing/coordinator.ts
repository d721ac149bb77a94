/** A coordinator of the real parts, with scripted agents and a signer of this process: one for each test. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Running } from '@mecai/runtime';
import { type VoucherRequest, decodeVoucherResponse, encodeVoucherRequest } from '@mecai/voucher';
import { testCertificate } from '@mecai/voucher/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest';
import { startCoordinator } from '../start.ts';
import { ScriptedAgent, registryText, sixAgents, testRegistry } from './agents.ts';
import { chainOf, keyPemOf, pemOf, serverName, webLeaf } from './chains.ts';
import { call } from './https.ts';
import { keptLog } from './log.ts';
import { type TestNats, coordinatorName, startTestNats } from './nats.ts';
import { TestSigner } from './signer.ts';
import { type SignerServer, startSignerServer, svidFiles } from './signer-server.ts';

export const leaf = webLeaf();
export const https = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
export const { log, lines } = keptLog();
export const signerId = 'spiffe://mecai.test/signer';
export const brief = { timeoutMs: 300, transitMs: 100, graceMs: 100 };
const failures: unknown[] = [];

interface CoordinatorScene {
  nats: TestNats;
  signer: TestSigner;
  server: SignerServer;
  running: Running | undefined;
  agents: ScriptedAgent[];
  /** Agents that do not answer. */
  silentAgents: ReadonlySet<string>;
  files: {
    tls: { certificate: string; key: string };
    coordinator: object;
    signer: ReturnType<typeof svidFiles>;
  };
}
// Filled before the first test.
export const scene = { running: undefined, silentAgents: new Set() } as unknown as CoordinatorScene;

/** In a test file, once. */
export function coordinatorScene(): void {
  beforeAll(async () => {
    const nats = (scene.nats = await startTestNats());
    scene.agents = await Promise.all(
      sixAgents.map(async (agent) => {
        const connection = await nats.as(agent.name);
        return new ScriptedAgent(connection, agent, coordinatorName, (task, self) => {
          if (!scene.silentAgents.has(agent.name)) self.answer(task, chainOf(leaf));
        });
      }),
    );
    await Promise.all(scene.agents.map((agent) => agent.flush()));
    const { certificate, key, ca } = svidFiles(nats.directory, 'spiffe://mecai.test/coordinator');
    scene.files = {
      tls: { certificate: write('https.pem', pemOf(https)), key: write('https.key', keyPemOf(https)) },
      coordinator: { certificate, key, ca },
      signer: svidFiles(nats.directory, signerId),
    };
    write('registry.json', registryText());
  });
  afterAll(() => scene.nats.close());
  beforeEach(async () => {
    scene.signer = new TestSigner(testRegistry());
    scene.server = await startSignerServer(scene.signer, scene.files.signer.pem);
  });
  afterEach(async () => {
    scene.silentAgents = new Set();
    await scene.running?.stop();
    scene.running = undefined;
    scene.server.kill();
    lines.length = 0;
    expect(failures).toEqual([]);
  });
}

/** Into the directory that the configuration is read from; its name there. */
export function write(name: string, text: string | Buffer): string {
  writeFileSync(join(scene.nats.directory, name), text);
  return name;
}

/** Writes the configuration with these members changed, and says where. */
export function configFile(changes: Record<string, unknown>): string {
  const { nats, server, files } = scene;
  const config = {
    name: coordinatorName,
    listen: '127.0.0.1:0',
    tls: files.tls,
    admin: '127.0.0.1:0',
    nats: { servers: [nats.server.url], seedFile: nats.seedFile(coordinatorName) },
    signers: [{ address: `127.0.0.1:${server.port}`, id: signerId, tls: files.coordinator }],
    registry: 'registry.json',
    probe: brief,
    database: { engine: 'sqlite', file: 'test.sqlite' },
    certificateLog: { hold: { maxMs: 0 } },
    ...changes,
  };
  return join(nats.directory, write('coordinator.json', JSON.stringify(config)));
}

/** Where it takes requests. */
export async function start(
  changes: Record<string, unknown> = {},
  environment: NodeJS.ProcessEnv = {},
): Promise<string> {
  scene.running = await startCoordinator({
    log,
    config: configFile(changes),
    environment,
    fail: (error) => failures.push(error),
  });
  return String(scene.running.ready['vrp']);
}
/** As `start`, once it is ready. */
export async function ready(
  changes: Record<string, unknown> = {},
  environment: NodeJS.ProcessEnv = {},
): Promise<string> {
  const url = await start(changes, environment);
  await vi.waitUntil(async () => (await readyz()).status === 200, { timeout: 60_000, interval: 20 });
  return url;
}
export const admin = (path: string) => fetch(`${String(scene.running!.ready['admin'])}${path}`);
export const readyz = () => admin('/readyz');
export async function status() {
  const parsed: Record<string, unknown> = JSON.parse(await (await admin('/status')).text());
  return parsed;
}
export const good: VoucherRequest = {
  ipv4: Uint8Array.of(45, 90, 1, 1),
  port: 443,
  serverName,
  chains: [chainOf(leaf)],
};
export async function ask(url: string, changes: Partial<VoucherRequest> = {}, cert?: typeof leaf) {
  const body = encodeVoucherRequest({ ...good, ...changes });
  const proof = cert && { cert: pemOf(cert), key: keyPemOf(cert) };
  const reply = await call(url, { body, ...proof });
  return { ...reply, result: decodeVoucherResponse(reply.body).results[0]! };
}
