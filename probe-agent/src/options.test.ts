/** Each option of the whole process does what it says. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifyObservationSignature } from '@mecai/corroboration';
import { ensureStreams, leaderElected, streams } from '@mecai/proto';
import { describe, expect, it } from 'vitest';
import {
  answerOf,
  ask,
  campaignAnswer,
  key,
  lines,
  nats,
  server,
  setBed,
  start,
  status,
  statuses,
  stop,
  until,
} from './testing/agent-bed.ts';
import { oslo } from './testing/oslo.ts';
import { mmdb } from './testing/mmdb.ts';
import { ecdsa, silentServer, tlsServer } from './testing/servers.ts';
import { Way } from './testing/way.ts';

setBed();

describe('configuration', () => {
  it('name, seed and servers: whose tasks are answered', async () => {
    await start({ name: 'lima', nats: { servers: [nats.server.url], seedFile: nats.seedFile('lima') } });
    expect((await answerOf({}, 5_000, 'lima')).observation.agent).toBe('lima');
  });

  const told = (what: string) =>
    expect.poll(() => lines.some(({ message }) => message.includes(what)), { timeout: 60_000 }).toBe(true);

  it('nats.silentMs: when a server counts as gone', async () => {
    await start({ nats: { servers: [nats.server.url], seedFile: nats.seedFile('oslo'), silentMs: 300 } });
    await until(() => statuses[0]);
    nats.server.pause();
    await told('NATS lost');
    nats.server.resume();
    await told('NATS reached again');
  });

  it('nats.returnEveryMs: how often a better server is tried', async () => {
    const way = new Way(nats.server.port);
    await way.open();
    await way.close();
    const servers = [way.url, nats.server.url];
    await start({ nats: { servers, seedFile: nats.seedFile('oslo'), returnEveryMs: 50 } });
    await until(() => statuses[0]);
    await way.open();
    await told('a better NATS server works again');
    await told('NATS reached again');
    await stop();
    await way.close();
  });

  const hex = ({ nonce }: { readonly nonce: Uint8Array }) => Buffer.from(nonce).toString('hex');
  const nonces = async () => (await nats.stored()).map(hex);
  /** Of an observation that JetStream has confirmed. */
  async function storedNonce(): Promise<string> {
    const { observation } = await answerOf();
    const unconfirmed = async () => ((await status()) as { unconfirmed: number }).unconfirmed;
    await expect.poll(unconfirmed, { timeout: 60_000 }).toBe(0);
    return hex(observation);
  }

  /** With none of what was stored. */
  async function anotherLeader(): Promise<void> {
    await nats.jsm.streams.delete(streams.observations.name);
    await ensureStreams(nats.jsm);
    const cluster = await nats.as('cluster');
    cluster.publish(leaderElected(streams.observations.name));
    await cluster.flush();
  }

  it('what was stored is offered once more when the stream has another leader', async () => {
    await start();
    const nonce = await storedNonce();
    await anotherLeader();
    await expect.poll(nonces, { timeout: 60_000 }).toEqual([nonce]);
  });

  it('nats.keepStored: how much of it', async () => {
    const seedFile = nats.seedFile('oslo');
    await start({ nats: { servers: [nats.server.url], seedFile, keepStored: { ms: 0 } } });
    await storedNonce();
    await anotherLeader();
    const later = await storedNonce();
    expect(await nonces()).toEqual([later]);
  });

  it('what was stored is offered once more when NATS is back: another may lead then', async () => {
    await start();
    const nonce = await storedNonce();
    await nats.jsm.streams.delete(streams.observations.name);
    nats.server.kill();
    await told('NATS lost');
    await nats.server.restart();
    await expect
      .poll(
        () =>
          ensureStreams(nats.jsm).then(
            () => true,
            () => false,
          ),
        { timeout: 60_000 },
      )
      .toBe(true);
    await expect.poll(nonces, { timeout: 60_000 }).toEqual([nonce]);
  });

  it('keyFile: what signs, relative to the file', async () => {
    await start();
    const { signed } = await answerOf();
    expect(verifyObservationSignature(signed, key.publicKey)).toBe(true);
    await stop();
    mkdirSync(join(nats.directory, 'other'), { recursive: true });
    await expect(start({ keyFile: 'other/absent.key' })).rejects.toMatchObject({ code: 'unreadable-file' });
  });

  it('admin and location: what is shown, and where', async () => {
    const { ready } = await start({ location: { ...oslo, city: 'Bergen' } });
    expect(ready['admin']).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await until(() => statuses[0]);
    expect(await status()).toMatchObject({ name: 'oslo', location: { city: 'Bergen' }, dropped: 0 });
  });

  it('probe.bindIpv4 and probe.bindIpv6: where probes come from', async () => {
    await start({ probe: { bindIpv4: '127.7.7.7', bindIpv6: '2001:db8::1' } });
    await answerOf();
    expect(server.peers.at(-1)).toBe('127.7.7.7');
    const loopback = Uint8Array.of(...Array<number>(15).fill(0), 1);
    // An address that this machine does not have cannot be bound.
    expect((await answerOf({ address: loopback })).observation.failure?.class).toMatch(
      /local-error|unreachable/,
    );
  });

  it.each([
    [false, 'finished'],
    [true, 'broken off'],
  ])('probe.stopEarly %j: servers see the handshake %s', async (stopEarly, end) => {
    const asked = await tlsServer([ecdsa]);
    await start({ probe: { stopEarly } });
    const { observation } = await answerOf({ port: asked.port });
    expect(observation).toMatchObject({ possessionProven: true, failure: undefined });
    expect(await asked.handshake).toBe(end);
    await asked.close();
  });

  it('probe.inFlight: how much at once', async () => {
    const silent = await silentServer();
    await start({ probe: { inFlight: 1 } });
    const first = await ask({ port: silent.port }, 1_000);
    expect((await answerOf()).observation.failure).toMatchObject({ class: 'overloaded' });
    expect((await first.answer()).observation.failure).toMatchObject({ class: 'timeout-handshake' });
    await silent.close();
  });

  it('probe.campaignInFlight and probe.campaignPerSecond: what campaigns get', async () => {
    for (const probe of [{ campaignInFlight: 0 }, { campaignPerSecond: 0 }]) {
      await start({ probe });
      expect((await campaignAnswer()).observation.failure).toMatchObject({ class: 'overloaded' });
      await stop();
      statuses.length = 0;
    }
  });

  it('allowedTargets: what may be probed although it is special', async () => {
    await start({ allowedTargets: ['10.0.0.0/8'] });
    expect((await answerOf()).observation.failure).toMatchObject({ class: 'forbidden-target' });
  });

  it('outbox: how much is kept', async () => {
    await nats.jsm.streams.delete('OBSERVATIONS');
    await start({ outbox: 1 });
    await answerOf();
    await answerOf();
    expect(await status()).toMatchObject({ unconfirmed: 1, dropped: 1 });
    await nats.jsm.streams.add({ name: 'OBSERVATIONS', subjects: ['mecai.observation.>'] });
  });

  it('geoip: what the status says, and whether it stops the agent', async () => {
    writeFileSync(
      join(nats.directory, 'city.mmdb'),
      mmdb('GeoLite2-City', '198.51.100.0/24', { country: { iso_code: 'SE' } }),
    );
    const geoip = { publicAddress: '198.51.100.7', city: 'city.mmdb' };
    await start({ geoip });
    const { status: sent } = await until(() => statuses[0]);
    expect(sent).toMatchObject({
      locationCheck: 'contradicts',
      contradictions: ['country: declared NO, GeoIP SE'],
    });
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'GeoIP contradicts the declared location' }),
    );
    await stop();
    await expect(start({ geoip: { ...geoip, onContradiction: 'refuse' } })).rejects.toMatchObject({
      code: 'location-contradicted',
      message: 'country: declared NO, GeoIP SE',
    });
    await start({ geoip: { ...geoip, onContradiction: 'refuse', publicAddress: '192.0.2.1' } });
    expect(await status()).toMatchObject({ locationCheck: { result: 'unknown' } });
  });

  it('the environment comes before the file', async () => {
    await start({}, { MECAI_LOCATION__CITY: 'Moss' });
    expect(await status()).toMatchObject({ location: { city: 'Moss' } });
  });

  it.each([
    ['an unknown member', { hurry: true }, 'hurry'],
    ['a name that is a wildcard', { name: '*' }, 'name'],
    ['a bad prefix', { allowedTargets: ['10.0.0.1/8'] }, 'allowedTargets.0'],
    ['a country in small letters', { location: { ...oslo, country: 'no' } }, 'location.country'],
    ['a bind address that is a name', { probe: { bindIpv4: 'localhost' } }, 'probe.bindIpv4'],
    ['no servers', { nats: { servers: [], seedFile: 'x' } }, 'nats.servers'],
  ])('%s is named', async (_, changes, member) => {
    const failed = start(changes);
    await expect(failed).rejects.toMatchObject({ code: 'bad-configuration' });
    await expect(failed).rejects.toThrow(member);
  });
});
