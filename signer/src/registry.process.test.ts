/** Who is a perspective at a running signer: by its file, by signed updates, and after a restart. */
import { generateKeyPairSync } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { signRegistry } from '@mecai/corroboration';
import { OperatorServiceClient } from '@mecai/proto/signer';
import { expect, it } from 'vitest';
import { nameOf } from './testing/client.ts';
import { registryKey } from './testing/operator.ts';
import { processBed } from './testing/process-bed.ts';
import type { RunningSigner } from './testing/signer-files.ts';
import { agentNames, chainOf, observe, registryText, todaysLeaf, webIntermediate } from './testing/world.ts';

const operator = 'spiffe://mecai.test/operator';
const [captured = '', ...others] = agentNames;
const bed = processBed();

/** A signer with a registry file of this version and these agents, on an audit log of that name. */
function serve(log: string, version: number, agents = agentNames): Promise<RunningSigner> {
  const { files } = bed;
  const registry = files.write('their-registry.json', registryText(agents, version));
  const key = registryKey.publicKey.export({ type: 'spki', format: 'pem' });
  return bed.serve({
    config: files.configure({
      registry,
      operators: [operator],
      draws: { perEndpoint: 100_000 },
      registryKeys: [files.write('registry.pub', key)],
      auditLog: files.at(`${log}.jsonl`),
    }),
  });
}

/** Version in force, and who is a perspective. */
async function inForce({ admin }: RunningSigner): Promise<[version: number, perspectives: number]> {
  const answer = await fetch(`${admin}/status`);
  const status = (await answer.json()) as { registryVersion: number; perspectives: number };
  return [status.registryVersion, status.perspectives];
}

/** The operator's update; `in force`, or what it is refused with. */
function update({ grpc }: RunningSigner, version: number, agents: readonly string[], by = registryKey) {
  const { ca, key, certificate } = bed.files.identity([operator]);
  const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
  const client = new OperatorServiceClient(grpc, secure, { 'grpc.ssl_target_name_override': 'signer' });
  bed.stops.push(() => client.close());
  const registry = Buffer.from(registryText([...agents], version));
  const signature = Buffer.from(signRegistry(registry, by.privateKey));
  return new Promise<string>((resolve) => {
    client.updateRegistry({ registry, signature, reason: 'captured', author: 'Kim' }, (error) =>
      resolve(error ? error.details : 'in force'),
    );
  });
}

it('goes back to no earlier registry, though it had the later one by its file only', async () => {
  const started = async (version: number, agents: readonly string[]) => {
    const signer = await serve('by-file', version, [...agents]);
    const found = await inForce(signer);
    expect(await signer.stop()).toBe(0);
    return [...found, signer.log().includes('does not count')];
  };
  const all = agentNames.length;
  // One that no voucher can name does not stay behind.
  await expect(serve('by-file', 2 ** 32)).rejects.toThrow(/no voucher could be made/);
  expect(await started(6, agentNames)).toEqual([6, all, false]);
  expect(await started(7, others)).toEqual([7, all - 1, false]);
  // The file of before; and one that brings the agent back under the same version.
  expect(await started(6, agentNames)).toEqual([7, all - 1, false]);
  expect(await started(7, agentNames)).toEqual([7, all - 1, true]);
  expect(await started(8, agentNames)).toEqual([8, all, false]);
});

it('takes no update but a newer one of its operators, before a restart and after it', async () => {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const all = agentNames.length;
  const first = await serve('by-update', 3);
  expect(await update(first, 4, others, stranger)).toContain('not signed by one of the registry keys');
  expect(await update(first, 3, others)).toContain('version 3 is not above 3');
  expect(await inForce(first)).toEqual([3, all]);
  expect(await update(first, 5, others)).toBe('in force');
  expect(await inForce(first)).toEqual([5, all - 1]);
  first.child.kill('SIGKILL');
  await first.stop();
  // Its file is still the old one.
  const second = await serve('by-update', 3);
  expect(await inForce(second)).toEqual([5, all - 1]);
  expect(await update(second, 4, agentNames)).toContain('version 4 is not above 5');
  expect(await update(second, 5, agentNames)).toContain('version 5 is not above 5');
  expect(await update(second, 6, agentNames, stranger)).toContain('not signed by one of the registry keys');
  expect(await inForce(second)).toEqual([5, all - 1]);
});

it('counts nothing that an agent says which is removed, though it was drawn before, wherever it is', async () => {
  const signer = await serve('open-draw', 3);
  const coordinator = bed.ask(signer);
  const draws = async (until: (agents: readonly string[]) => boolean) => {
    for (;;) {
      const drawn = await coordinator.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      if (until(drawn.agents)) return drawn;
    }
  };
  const drawn = await draws((agents) => agents.includes(captured));
  const proven = async (agents: readonly string[]) => {
    const look = { chain: chainOf(todaysLeaf, webIntermediate), observedAt: Date.now() };
    const observations = agents.map((agent) => observe(agent, drawn, look));
    return nameOf(
      await coordinator.ask({ $case: 'evidence', evidence: { nonce: drawn.nonce, observations } }),
    );
  };
  const honest = drawn.agents.filter((agent) => agent !== captured);
  const since = performance.now();
  expect(await update(signer, 4, others)).toBe('in force');
  // Nobody was told but the signer: coordinator and agent go on as if nothing had been.
  expect(await proven([captured, ...honest.slice(0, 3)])).toBe('no-quorum');
  console.log(`removed, and out of the quorum of an open draw: ${Math.round(performance.now() - since)} ms`);
  expect(await proven(honest.slice(0, 4))).toBe('issued');
  for (let i = 0; i < 10; i++) expect((await draws(() => true)).agents).not.toContain(captured);
});
