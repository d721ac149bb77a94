import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { testDatabases } from '@mecai/database/testing';
import { describe, expect, it, vi } from 'vitest';
import { Store } from './store.ts';
import { keptLog } from './testing/log.ts';

describe('Postgres below a coordinator', () => {
  const databases = testDatabases('postgres');

  it('that goes is noticed, and again when it comes back', async () => {
    const { log, lines } = keptLog();
    const failures: unknown[] = [];
    const store = new Store({
      config: await databases.config(),
      migrations: {},
      log,
      now: () => 0,
      random: Math.random,
      fail: (error) => failures.push(error),
    });
    expect(store.there).toBe(false);
    const reached = (there: boolean) => vi.waitUntil(() => store.there === there, { timeout: 30_000 });
    await reached(true);
    store.expectThere();
    await databases.server!.kill();
    await reached(false);
    expect(() => store.expectThere()).toThrow('the certificate log is away');
    await databases.server!.restart();
    await reached(true);
    store.expectThere();
    expect(await store.database.query('select 1 as one')).toEqual([{ one: 1 }]);
    expect(lines.map(({ message }) => message)).toEqual([
      'database reached',
      'database lost',
      'database reached again',
    ]);
    await store.close();
    expect(failures).toEqual([]);
  });

  it('that was cut off for a moment does not count as gone once it can be reached again', async () => {
    const { log, lines } = keptLog();
    const config = await databases.config();
    if (config.engine !== 'postgres') throw new Error('not Postgres');
    const url = new URL(config.url);
    await using relay = await relayTo(Number(url.port), url.hostname);
    url.host = `127.0.0.1:${relay.port}`;
    const store = new Store({
      config: { ...config, url: url.href },
      migrations: {},
      log,
      now: () => 0,
      random: Math.random,
      fail: (error) => log.error({ err: error }, 'failed'),
    });
    await vi.waitUntil(() => store.there, { timeout: 30_000 });
    const lost = await relay.loseNext();
    await once(lost, 'close');
    await relay.nextAnswer();
    store.expectThere();
    await store.close();
    expect(lines.map(({ message }) => message)).toEqual(['database reached']);
  }, 60_000);
});

/** Stands between a coordinator and its database. */
async function relayTo(port: number, host: string) {
  let losing: ((near: Socket) => void) | undefined;
  let answered: (() => void) | undefined;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, host);
    let deaf = false;
    near.on('data', (octets) => {
      deaf ||= losing !== undefined;
      losing?.(near);
      losing = undefined;
      if (!deaf) far.write(octets);
    });
    far.on('data', (octets) => {
      near.write(octets);
      answered?.();
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => [near, far].map((one) => one.destroy()));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    /** What comes next is lost, and all that follows on its connection, which is given. */
    loseNext: () => new Promise<Socket>((resolve) => (losing = resolve)),
    nextAnswer: () => new Promise<void>((resolve) => (answered = resolve)),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
