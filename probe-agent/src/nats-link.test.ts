/** Two ways to one nats-server, of which one comes and goes, and a server that is joined to nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inboxPrefix, natsPermissions, subjects } from '@mecai/proto';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type NatsServer, startNatsServer } from '../../test/src/parts/nats-server.ts';
import { type NatsLink, openNatsLink } from './nats-link.ts';
import { keptLog } from './testing/log.ts';
import { Way } from './testing/way.ts';

const patience = { timeout: 60_000, interval: 20 };
const { log, lines } = keptLog();
const users = { oslo: nkeys.createUser(), va1: nkeys.createUser() };
const rights = { oslo: natsPermissions.agent('oslo'), va1: natsPermissions.coordinator('va1') };

let directory: string;
let seedFile: string;
let server: NatsServer;
let alone: NatsServer;
let way: Way;
let link: NatsLink | undefined;
const plain = () => server.url.replace('nats://', '');
const lonely = () => alone.url.replace('nats://', '');

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-nats-link-'));
  seedFile = join(directory, 'oslo.nk');
  writeFileSync(seedFile, users.oslo.getSeed(), { mode: 0o600 });
  const start = (name: string) =>
    startNatsServer({
      directory: join(directory, name),
      users: (['oslo', 'va1'] as const).map((user) => ({
        name: user,
        publicNkey: users[user].getPublicKey(),
        ...rights[user],
      })),
    });
  [server, alone] = await Promise.all([start('one'), start('alone')]);
  way = new Way(server.port);
  await way.open();
});
afterEach(async () => {
  await link?.close();
  link = undefined;
  await way.close();
  await way.open();
  lines.length = 0;
});
afterAll(async () => {
  await way.close();
  await Promise.all([server.stop(), alone.stop()]);
  rmSync(directory, { recursive: true, force: true });
});

async function open(servers: readonly string[], silentMs = 3_000): Promise<NatsLink> {
  link = await openNatsLink(
    { name: 'oslo', nats: { servers: [...servers], seedFile, silentMs, returnEveryMs: 0 } },
    log,
  );
  return link;
}

async function hearing(at: NatsServer): Promise<NatsConnection> {
  const va1 = await connect({
    servers: at.url,
    authenticator: nkeyAuthenticator(users.va1.getSeed()),
    inboxPrefix: inboxPrefix('va1'),
  });
  va1.subscribe(subjects.agentStatus('*'), { callback: () => undefined });
  await va1.flush();
  return va1;
}

describe('an agent and its NATS servers', () => {
  it('leaves the one that breaks, and goes back when it works again', async () => {
    const { nats, goBack } = await open([way.url, plain()]);
    expect(nats.getServer()).toBe(way.url);
    await way.close();
    await vi.waitUntil(() => nats.getServer() === plain(), patience);
    await goBack();
    expect(nats.getServer()).toBe(plain());
    await way.open();
    // What has just been lost is left alone for a few seconds.
    await vi.waitUntil(async () => {
      await goBack();
      return nats.getServer() === way.url;
    }, patience);
    await nats.flush();
  });

  it('finds the better one although it could not be reached at the start', async () => {
    await way.close();
    const { nats, goBack } = await open([way.url, plain()]);
    expect(nats.getServer()).toBe(plain());
    await way.open();
    await vi.waitUntil(async () => {
      await goBack();
      return nats.getServer() === way.url;
    }, patience);
  });

  it('does not go to one that is not joined to where it is', async () => {
    await way.close();
    const { nats, goBack } = await open([lonely(), plain()]);
    expect(nats.getServer()).toBe(lonely());
    await alone.stop();
    await vi.waitUntil(() => nats.getServer() === plain(), patience);
    await alone.restart();
    // Reached, and found alone: that takes a while of waiting.
    await vi.waitUntil(async () => {
      const since = performance.now();
      await goBack();
      return performance.now() - since > 1_500;
    }, patience);
    expect(nats.getServer()).toBe(plain());
  });

  it('leaves one where nobody hears it', async () => {
    const va1 = await hearing(server);
    const { nats, beat } = await open([lonely(), plain()]);
    expect(nats.getServer()).toBe(lonely());
    await vi.waitUntil(async () => {
      beat(subjects.agentStatus('oslo'), new Uint8Array());
      await nats.flush().catch(() => undefined);
      return nats.getServer() === plain();
    }, patience);
    expect(lines).toMatchObject([
      { level: 'warn', message: expect.stringContaining('nobody hears') as string },
    ]);
    await va1.close();
  });

  it('stays where it is heard, and where there is no other', async () => {
    const va1 = await hearing(server);
    const first = await open([plain(), lonely()]);
    for (let i = 0; i < 10; i++) {
      first.beat(subjects.agentStatus('oslo'), new Uint8Array());
      await first.nats.flush();
    }
    expect(first.nats.getServer()).toBe(plain());
    await first.close();
    const second = await open([lonely()]);
    for (let i = 0; i < 10; i++) {
      second.beat(subjects.agentStatus('oslo'), new Uint8Array());
      await second.nats.flush();
    }
    expect(lines).toEqual([]);
    await va1.close();
  });

  it('silentMs: leaves one that says nothing', async () => {
    const { nats } = await open([lonely(), plain()], 300);
    alone.pause();
    const since = performance.now();
    await vi.waitUntil(() => nats.getServer() === plain(), patience);
    expect(performance.now() - since).toBeGreaterThan(150);
    alone.resume();
  });
});
