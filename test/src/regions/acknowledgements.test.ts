import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inboxPrefix, natsPermissions, streams, subjects } from '@mecai/proto';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from '../parts/nats-server.ts';
import { Acknowledgements, listenerPermissions } from './acknowledgements.ts';

const agents = ['lima', 'rome'];
const roles = {
  lima: natsPermissions.agent('lima'),
  rome: natsPermissions.agent('rome'),
  operator: natsPermissions.operator,
  listener: listenerPermissions(agents),
};
type Role = keyof typeof roles;
const directory = mkdtempSync(join(tmpdir(), 'mecai-acknowledgements-'));
const keys = new Map(Object.keys(roles).map((name) => [name, nkeys.createUser()]));
let server: NatsServer;
beforeAll(async () => {
  server = await startNatsServer({
    directory,
    users: Object.entries(roles).map(([name, permissions]) => ({
      name,
      publicNkey: keys.get(name)!.getPublicKey(),
      ...permissions,
    })),
  });
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

const as = (role: Role) =>
  connect({
    servers: server.url,
    authenticator: nkeyAuthenticator(keys.get(role)!.getSeed()),
    inboxPrefix: inboxPrefix(role),
  });

const hashOf = (text: string) => createHash('sha256').update(text).digest();

/** As an agent does, without waiting for the acknowledgement. */
async function offer(agent: 'lima' | 'rome', text: string): Promise<void> {
  const nats = await as(agent);
  const header = headers();
  header.set('Nats-Msg-Id', hashOf(text).toString('base64url'));
  const reply = `${inboxPrefix(agent)}.${text}.1`;
  nats.publish(subjects.observation(agent, 'va1'), text, { headers: header, reply });
  await nats.flush();
  await nats.close();
}

it('what is not stored was acknowledged, or died with its agent, or is nobody’s fault but ours', async () => {
  const seedFile = join(directory, 'listener.nk');
  writeFileSync(seedFile, keys.get('listener')!.getSeed());
  // Of several nodes each hears the same.
  const acknowledgements = await Acknowledgements.open({
    servers: [server.url, server.url],
    seedFile,
    agents,
  });
  // Nobody takes it: there is no stream yet.
  await offer('lima', 'early');
  await offer('rome', 'other');
  const operator = await as('operator');
  const { name, subjects: taken } = streams.observations;
  await (await jetstreamManager(operator)).streams.add({ name, subjects: [...taken] });
  await operator.close();
  await offer('lima', 'stored');
  await expect.poll(() => acknowledgements.count, { timeout: 60_000 }).toBe(1);

  const hex = (text: string) => hashOf(text).toString('hex');
  const missing = (...stored: string[]) => {
    const hashes = stored.map(hex);
    return acknowledgements.missing((hash) => hashes.includes(hash), [hex('unheard')]);
  };
  const unheard = `observation ${hex('unheard')} of an agent is lost, whom nobody killed then`;
  const unkilled = (agent: string, text: string) =>
    `observation ${hex(text)} of ${agent} is lost, whom nobody killed then`;
  expect(missing('stored')).toEqual({
    lost: [unkilled('lima', 'early'), unkilled('rome', 'other'), unheard],
    unacknowledged: 0,
  });
  acknowledgements.killed(['lima']);
  expect(missing('stored')).toEqual({ lost: [unkilled('rome', 'other'), unheard], unacknowledged: 1 });
  expect(missing('other', 'unheard')).toEqual({
    lost: [
      expect.stringMatching(
        `^observation ${hex('stored')} of lima was acknowledged as 1 after [\\d.]+ s, and is lost$`,
      ),
    ],
    unacknowledged: 1,
  });
  await acknowledgements.close();
}, 120_000);
