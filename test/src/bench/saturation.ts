/**
 * Signer and coordinator at the end of their strength, each by itself. In the whole network neither is: agents and nginx
 * take most of two cores, and each message wakes its process from sleep. Here the process in question, real and with all
 * its checks, has one core, and everything else the other: who asks the signer is a driver that does no more than the
 * protocol takes, and what the coordinator talks to, but for NATS, are stand-ins that look at nothing.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAddress } from '@mecai/addresses';
import { freePort } from '@mecai/addresses/testing';
import { encodeVoucherRequest } from '@mecai/voucher';
import { type Network, serverCertificate, startNetwork } from '../network/index.ts';
import { canPin, pin } from './scheduling.ts';
import { numberOption, reporter } from './figures.ts';
import { startLeanAgents } from './lean-agents.ts';
import { leanLoad } from './lean-requesters.ts';
import { startLeanSigner } from './lean-signer.ts';
import { signatureCosts, signerCryptography } from './network-floors.ts';
import { type Costs, librariesAlone } from './network-libraries.ts';
import { cpuSeconds } from './process-cpu.ts';
import { ask } from './requester.ts';
import { SignerDriver } from './signer-driver.ts';
import { startNginx } from './target-nginx.ts';

const report = reporter('saturation');
const secondsPerRun = numberOption('seconds', 8);
/** What runs for weeks has been compiled. */
const vouchersOfWarmUp = 5_000;
const outstanding = 64;
const perspectives = 6;
/** Perspectives that make a quorum of six. */
const quorum = 4;
const coordinatorName = 'coordinator-1';
const serverName = 'www.shop.test';
// One endpoint alone would run into the signer's limit of open draws.
const addresses = Array.from({ length: outstanding }, (_, i) => `127.20.0.${i + 1}`);
const unlimited = { perMinute: 100_000_000, burst: 100_000_000 };
const limits = { authenticated: unlimited, unauthenticated: unlimited, target: unlimited, global: unlimited };

const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
const network = await startNetwork({ directory, agentProcesses: 1, coordinator: { limits } });
const port = await freePort();
const chain = [
  serverCertificate(network.pki.webIntermediate, { dns: [serverName] }),
  network.pki.webIntermediate,
] as const;
const der = chain.map((one) => one.der);
const octets = der.reduce((sum, { length }) => sum + length, 0);
const body = encodeVoucherRequest({
  ipv4: parseAddress(addresses[0]!),
  port,
  serverName,
  chains: [der],
});
const agent = new Agent({ keepAlive: true, ca: readFileSync(network.files.httpsCa) });
try {
  await throughAllOfIt();
  const { saturated: libraries } = await librariesAlone(join(directory, 'libraries'), octets);
  const driver = new SignerDriver(network, { addresses, port, serverName, chain: der });
  pin(process.pid, 1);
  await saturateSigner(driver, libraries);
  await saturateCoordinator(driver, libraries);
} finally {
  agent.destroy();
  await network.stop();
  rmSync(directory, { recursive: true, force: true });
}
process.exit();

/** One voucher: the signer has the CRLs then, and the certificate is in the coordinator's log. */
async function throughAllOfIt(): Promise<void> {
  const nginx = await startNginx(directory, addresses[0]!, port, chain);
  const status = await ask(network.vrpUrl, agent, body);
  nginx.stop();
  if (status !== 'issued') throw new Error(`the chain is ${status}`);
}

async function saturateSigner(driver: SignerDriver, libraries: Costs): Promise<void> {
  const { pid } = network.signer;
  pin(pid, 0);
  for (let issued = 0; issued < vouchersOfWarmUp; ) issued += await driver.load(2, quorum);
  const signatures = await signatureCosts();
  for (const evidence of [quorum, perspectives]) {
    const { each } = await measured({ signer: pid, 'its driver': process.pid }, () =>
      driver.load(secondsPerRun, evidence),
    );
    const { name, value } = signerCryptography(signatures, evidence);
    each(`signer, ${evidence} observations verified`, {
      name: `${name}, and the libraries alone as fast as they can`,
      value: value + libraries['signer']!,
    });
  }
}

/** Takes the places of signer and agents, and the driver's and the agents' names. */
async function saturateCoordinator(driver: SignerDriver, libraries: Costs): Promise<void> {
  const { drawn, issued } = await driver.voucher(addresses[0]!, perspectives);
  const description = await driver.describe();
  driver.close();
  for (const one of new Set(network.agents.values())) await one.stop();
  await network.signer.stop();

  const at = (name: string) => join(directory, name);
  const tls = { certificate: at('signer.pem'), key: at('signer.key'), ca: at('internal-ca.pem') };
  const registry = readFileSync(at('registry.json'));
  const signer = await startLeanSigner(tls, { description, drawn, issued, registry });
  const config = JSON.parse(readFileSync(at('coordinator.json'), 'utf8')) as { signers: [object] };
  config.signers = [{ ...config.signers[0], address: signer.address }];
  writeFileSync(at('coordinator.json'), JSON.stringify(config));
  const { coordinator, nats, cities } = network;
  await coordinator.restart();
  const stopAgents = await startLeanAgents(
    nats.url,
    coordinatorName,
    cities.map(({ name }) => ({
      name,
      seedFile: at(`${name}.nk`),
      observation: driver.observation(name, drawn),
    })),
  );
  await untilReady(network);
  pin(nats.pid, 1);
  pin(coordinator.pid, 0);
  const ca = readFileSync(network.files.httpsCa);
  const load = (seconds: number) =>
    leanLoad(coordinator.ready['vrp']!, ca, outstanding, body, issued.voucher.length, seconds);
  for (let answered = 0; answered < vouchersOfWarmUp; ) {
    const { vouchers, failures } = await load(2);
    answered += vouchers + failures;
  }
  signer.evidence();
  let failures = 0;
  const { each } = await measured(
    { coordinator: coordinator.pid, 'NATS, JetStream included': nats.pid, 'the stand-ins': process.pid },
    async () => {
      const loaded = await load(secondsPerRun);
      failures = loaded.failures;
      return loaded.vouchers;
    },
  );
  each('coordinator', {
    name: 'the libraries alone as fast as they can',
    value: libraries['coordinator']!,
  });
  report('coordinator: observations it hands in', signer.evidence(), 'per voucher');
  if (failures > 0) report('coordinator: failures', failures, 'requests');
  await stopAgents();
  signer.stop();
}

/** CPU of processes during a load; the first of them is to be saturated. */
async function measured(
  pids: Readonly<Record<string, number>>,
  load: () => Promise<number>,
): Promise<{ each: (what: string, floor: { name: string; value: number }) => void }> {
  const cpu = () => Object.values(pids).map(cpuSeconds);
  const [before, since] = [cpu(), performance.now()];
  const vouchers = await load();
  const [after, seconds] = [cpu(), (performance.now() - since) / 1000];
  const spent = Object.keys(pids).map((name, i) => [name, after[i]! - before[i]!] as const);
  return {
    each(what, floor) {
      const core = canPin ? 'its core' : 'a core';
      report(`${what}: vouchers`, vouchers / seconds, 'per s');
      for (const [i, [name, used]] of spent.entries()) {
        const perVoucher = (used * 1e6) / vouchers;
        report(`${what}: CPU of ${name}`, perVoucher, 'µs per voucher', i === 0 ? floor : undefined);
        if (i === 0) report(`${what}: share of ${core} that it used`, (100 * used) / seconds, '%');
      }
    },
  };
}

async function untilReady({ coordinator }: Network): Promise<void> {
  while (!(await fetch(`${coordinator.ready['admin']}/readyz`)).ok) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
