/** Who shows no good SVID is refused by the processes themselves, at both ends of their gRPC connections. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentServiceClient } from '@mecai/proto/coordinator';
import { OperatorServiceClient, SignerServiceClient } from '@mecai/proto/signer';
import { Svid } from '@mecai/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestCertificate, keyPem, pem, rootCa, serverCertificate, svid } from '../network/index.ts';
import { freePort } from '@mecai/addresses/testing';
import { Asker, serverName } from '../trust/asker.ts';

const patience = { timeout: 90_000 };
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
/** Of another trust domain: a CA of the same name with another key. */
const foreignCa = rootCa('Internal CA');
const [signerId, coordinatorId, operatorId] = ['signer', 'coordinator', 'operator'].map(
  (name) => `spiffe://mecai.test/${name}`,
) as [string, string, string];
let asker: Asker;
let ask: Awaited<ReturnType<Asker['about']>>;

beforeAll(async () => {
  asker = await Asker.start({ coordinator: { listen: `127.0.0.1:${await freePort()}` } });
  const { webIntermediate } = asker.network.pki;
  ask = await asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
});
afterAll(() => asker.close());

const own = (id: string, validity = {}) => svid(asker.network.internalCa, id, {}, validity);
const expired = (id: string) => own(id, { notBefore: inDays(-2), notAfter: inDays(-1) });
const foreign = (id: string) => svid(foreignCa, id);

/** The code of an answer to `shown`, which makes a connection of its own. */
type Question = (shown: TestCertificate) => Promise<number>;
const channel = (shown: TestCertificate, server: string) => {
  const [certificate, key, ca] = [pem(shown), keyPem(shown), pem(asker.network.internalCa)].map((text) =>
    Buffer.from(text),
  ) as [Buffer, Buffer, Buffer];
  const options = { 'grpc.ssl_target_name_override': 'server', 'grpc.use_local_subchannel_pool': 1 };
  return [Svid.fixed({ certificate, key, ca }).clientCredentials(server), options] as const;
};
const code = (send: (done: (error: ServiceError | null) => void) => unknown, client: { close(): void }) =>
  new Promise<number>((resolve) => {
    send((error) => resolve(error?.code ?? status.OK));
  }).finally(() => client.close());

const askSigner: Question = (shown) => {
  const client = new SignerServiceClient(asker.network.signer.ready['grpc']!, ...channel(shown, signerId));
  return code((done) => client.describe({}, done), client);
};
const commandSigner: Question = (shown) => {
  const client = new OperatorServiceClient(asker.network.signer.ready['grpc']!, ...channel(shown, signerId));
  return code((done) => client.getRegistry({}, done), client);
};
const commandCoordinator: Question = (shown) => {
  const { operators } = asker.network.coordinator.ready;
  const client = new AgentServiceClient(operators!, ...channel(shown, coordinatorId));
  return code((done) => client.listInvitations({}, done), client);
};

describe.each<[string, string, Question]>([
  ['a signer, asked as by a coordinator', coordinatorId, askSigner],
  ['a signer, commanded as by an operator', operatorId, commandSigner],
  ['a coordinator, commanded as by an operator', operatorId, commandCoordinator],
])('%s', (_, id, question) => {
  it.each<[string, () => TestCertificate, number]>([
    ['answers a good SVID', () => own(id), status.OK],
    ['refuses one that has expired', () => expired(id), status.UNAVAILABLE],
    ['refuses one that is not valid yet', () => own(id, { notBefore: inDays(1) }), status.UNAVAILABLE],
    ['refuses one of another trust domain’s CA', () => foreign(id), status.UNAVAILABLE],
    [
      'refuses a name in another trust domain',
      () => own(id.replace('mecai.test', 'other.test')),
      status.PERMISSION_DENIED,
    ],
    ['refuses another process', () => own(signerId), status.PERMISSION_DENIED],
  ])('%s', async (__, shown, wanted) => {
    expect(await question(shown())).toBe(wanted);
  });
});

describe('a coordinator', () => {
  const file = (end: string) => join(asker.network.directory, `signer.${end}`);
  /** Rotates the signer's SVID, and waits until it is shown. */
  async function rotate(certificate: string, key: string): Promise<void> {
    const { signer } = asker.network;
    const rotations = () => signer.log().split('SVID rotated').length;
    const before = rotations();
    for (const [name, text] of [
      [file('key'), key],
      [file('pem'), certificate],
    ] as const) {
      writeFileSync(`${name}.new`, text);
      renameSync(`${name}.new`, name);
    }
    await expect.poll(rotations, patience).toBeGreaterThan(before);
  }
  const missing = async () => {
    const answer = await fetch(`${asker.network.coordinator.ready['admin']}/readyz`);
    return ((await answer.json()) as { missing: string[] }).missing;
  };

  it.each([
    ['has expired', expired, /certificate has expired/],
    [
      'is of another trust domain’s CA',
      foreign,
      /self-signed certificate|unable to verify|signature failure/,
    ],
  ])('asks no signer whose SVID %s, and the same one again with a good SVID', async (_, bad, why) => {
    const { coordinator } = asker.network;
    const [certificate, key] = [readFileSync(file('pem'), 'utf8'), readFileSync(file('key'), 'utf8')];
    const shown = bad(signerId);
    await rotate(pem(shown), keyPem(shown));
    const before = coordinator.log().length;
    await coordinator.restart();
    await expect.poll(() => coordinator.log().slice(before), patience).toMatch(why);
    expect(await missing()).toContain('signer');
    expect((await ask()).status).toBe('inconclusive');
    await rotate(certificate, key);
    await expect.poll(missing, patience).toEqual([]);
    await expect.poll(async () => (await ask()).status, patience).toBe('issued');
  });
});
