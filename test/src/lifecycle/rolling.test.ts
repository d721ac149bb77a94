/** The release before and this one, side by side, as in a rolling upgrade. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { VoucherVerifier } from '@mecai/voucher';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Endpoint,
  type ManagedProcess,
  type Network,
  serverCertificate,
  startNetwork,
  startProcess,
  tlsServer,
} from '../network/index.ts';
import { hasRelease, previousRelease, unpackRelease } from './release.ts';

const there = hasRelease(previousRelease);
if (!there) console.warn(`not in this clone: the release before, ${previousRelease}; git fetch --unshallow`);
const today = join(import.meta.dirname, '../../..');
const serverName = 'www.example.test';
type Json = Record<string, unknown>;

describe.skipIf(!there)('beside the release before', () => {
  let directory: string;
  let network: Network;
  let endpoint: Endpoint;
  const running: ManagedProcess[] = [];
  const at = (name: string) => join(directory, name);
  const before = () => at('release');
  const configOf = (name: string): Json => JSON.parse(readFileSync(at(`${name}.json`), 'utf8')) as Json;
  const write = (name: string, content: object) => {
    writeFileSync(at(name), JSON.stringify(content));
    return at(name);
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mecai-rolling-'));
    unpackRelease(previousRelease, before());
    network = await startNetwork({ directory, agentProcesses: 1, coordinator: { probe: { graceMs: 0 } } });
    const { webIntermediate } = network.pki;
    const chain = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
    endpoint = await tlsServer(chain, '127.0.0.80');
    ask = async (url) => {
      const request = {
        ipv4: Uint8Array.of(127, 0, 0, 80),
        port: endpoint.port,
        serverName,
        chains: [chain.map(({ der }) => der)],
      };
      const { results } = await requestVoucher(url, request, {
        ca: readFileSync(network.files.httpsCa, 'utf8'),
      });
      return results[0]!;
    };
  }, 120_000);
  let ask: (url: string) => Promise<Awaited<ReturnType<typeof requestVoucher>>['results'][number]>;
  afterAll(async () => {
    for (const one of running.toReversed()) await one.stop();
    await network.stop();
    await endpoint.close();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  async function run(name: string, script: string, args: readonly string[], environment = {}) {
    const one = await startProcess({ name, script, args, logFile: at(`logs/${name}.log`), environment });
    running.push(one);
    return one;
  }
  /** A voucher, once whoever is asked has heard of its agents and signer. */
  async function voucher(url: string): Promise<void> {
    await expect.poll(async () => (await ask(url)).status, { timeout: 60_000, interval: 200 }).toBe('issued');
    const result = await ask(url);
    if (!('voucher' in result) || !result.voucher) throw new Error(result.detail);
    new VoucherVerifier({ roots: [network.pki.vaRoot.der] }).verify(result.voucher, new Date());
  }
  /** Its agents in one process, with what they need to know of the configuration. */
  const startAgents = (root: string, name: string) => {
    const configs = network.cities.map((city) => {
      const { admin, nats: bus, keyFile, location, allowedTargets } = configOf(city.name);
      const { servers, seedFile } = bus as Json;
      const nats = { servers, seedFile };
      const probe = { bindIpv4: city.address };
      const config = { name: city.name, admin, nats, keyFile, location, probe, allowedTargets };
      return write(`${name}.${city.name}.json`, config);
    });
    const script = join(root, 'test/src/network/several-agents.ts');
    return run(
      name,
      script,
      configs.flatMap((file) => ['--config', file]),
    );
  };

  /** The registry in the form that the release before knows: without what was added since. */
  function registryBefore(): string {
    const { version, agents } = configOf('registry') as { version: number; agents: Json[] };
    return write('registry-before.json', {
      version,
      agents: agents.map((agent) => ({ ...agent, natsKey: undefined })),
    });
  }

  it('agents of the release before answer today’s coordinator and signer', async () => {
    await [...network.agents.values()][0]!.stop();
    const agents = await startAgents(before(), 'agents-before');
    await voucher(network.vrpUrl);
    await voucher(network.vrpUrl);
    expect(agents.log()).not.toMatch(/"level":[56]0/);
  }, 180_000);

  it('a coordinator of the release before takes vouchers from today’s signer, with agents of either', async () => {
    const { signers, ...rest } = configOf('coordinator') as { signers: Json[] } & Json;
    const { name, listen, tls, admin, nats, allowedTargets } = rest;
    const { servers, seedFile } = nats as Json;
    const config = {
      name,
      listen,
      tls,
      admin,
      registry: registryBefore(),
      allowedTargets,
      nats: { servers, seedFile },
      signer: signers[0],
    };
    const script = join(before(), 'coordinator/src/main.ts');
    const coordinator = await run('coordinator-before', script, [
      '--config',
      write('coordinator-before.json', config),
    ]);
    await voucher(coordinator.ready['vrp']!);
    await running
      .splice(
        running.findIndex((one) => one.name === 'agents-before'),
        1,
      )[0]!
      .stop();
    await startAgents(today, 'agents-today');
    await voucher(coordinator.ready['vrp']!);
    await voucher(network.vrpUrl);
  }, 180_000);

  it('today’s coordinator takes vouchers from a signer of the release before', async () => {
    const signerConfig = { ...configOf('signer'), registryKeys: undefined };
    const environment = { SOFTHSM2_CONF: at('softhsm2.conf') };
    const script = join(before(), 'signer/src/main.ts');
    const config = write('signer-before.json', {
      ...signerConfig,
      registry: registryBefore(),
      auditLog: at('audit-before.jsonl'),
    });
    const signer = await run('signer-before', script, ['serve', '--config', config], environment);
    const coordinatorConfig = configOf('coordinator') as { signers: Json[] } & Json;
    const coordinator = await run('coordinator-today', join(today, 'coordinator/src/main.ts'), [
      '--config',
      write('coordinator-today.json', {
        ...coordinatorConfig,
        operators: undefined,
        database: { engine: 'sqlite', file: 'today.sqlite' },
        signers: [{ ...coordinatorConfig.signers[0], address: signer.ready['grpc'] }],
      }),
    ]);
    await voucher(coordinator.ready['vrp']!);
  }, 180_000);
});
