import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type NatsPermissions,
  ensureStreams,
  deadLetters,
  inboxPrefix,
  natsPermissions,
  streams,
} from '@mecai/proto';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from './nats-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-nats-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const roles: Record<string, NatsPermissions> = {
  lima: natsPermissions.agent('lima'),
  oslo: natsPermissions.agent('oslo'),
  va1: natsPermissions.coordinator('va1'),
  va2: natsPermissions.coordinator('va2'),
  analytics: natsPermissions.analytics('analytics'),
  operator: natsPermissions.operator,
};
const keys = new Map(Object.keys(roles).map((name) => [name, nkeys.createUser()]));

describe('permissions', () => {
  let server: NatsServer;
  const open: NatsConnection[] = [];

  beforeAll(async () => {
    server = await startNatsServer({
      directory: join(directory, 'roles'),
      users: Object.entries(roles).map(([name, { publish, subscribe }]) => ({
        name,
        publicNkey: keys.get(name)!.getPublicKey(),
        publish,
        subscribe,
      })),
    });
    const jsm = await jetstreamManager(await as('operator'));
    await ensureStreams(jsm, { only: [streams.observations.name, streams.records.name, deadLetters.name] });
  });
  afterEach(async () => {
    for (const connection of open.splice(0)) await connection.close();
  });
  afterAll(() => server.stop());

  async function as(name: string): Promise<NatsConnection> {
    const connection = await connect({
      servers: server.url,
      authenticator: nkeyAuthenticator(keys.get(name)!.getSeed()),
      inboxPrefix: inboxPrefix(name),
      reconnect: false,
    });
    open.push(connection);
    return connection;
  }

  /** Permission errors of the server, in the order made, up to the round trip that ends the attempt. */
  async function refusals(name: string, attempt: (connection: NatsConnection) => void): Promise<string[]> {
    const connection = await as(name);
    const refused: string[] = [];
    const status = (async () => {
      for await (const event of connection.status()) {
        if (event.type === 'error') refused.push(event.error.message);
      }
    })();
    attempt(connection);
    await connection.flush();
    await connection.close();
    await status;
    return refused;
  }
  const publishing = (name: string, subject: string) => refusals(name, (nats) => nats.publish(subject, 'x'));
  const subscribing = (name: string, subject: string) =>
    refusals(name, (nats) => nats.subscribe(subject, { callback: () => {} }));

  it.each([
    ['lima', 'mecai.observation.oslo.va1'],
    ['lima', 'mecai.agent.oslo'],
    ['lima', 'mecai.task.oslo'],
    ['lima', 'mecai.task.lima'],
    ['lima', 'mecai.decision.va1'],
    ['lima', 'mecai.mismatch.va1'],
    ['lima', '_INBOX.oslo.1'],
    ['lima', '$JS.API.STREAM.DELETE.OBSERVATIONS'],
    ['lima', '$JS.API.STREAM.INFO.OBSERVATIONS'],
    ['lima', '$JS.ACK.OBSERVATIONS.analytics.1.1.1.1.0'],
    ['va1', 'mecai.decision.va2'],
    ['va1', 'mecai.mismatch.va2'],
    ['va1', 'mecai.observation.lima.va1'],
    ['va1', 'mecai.agent.lima'],
    ['va1', '$JS.API.STREAM.PURGE.RECORDS'],
    ['va1', '$JS.API.STREAM.UPDATE.RECORDS'],
    ['va1', '$JS.API.STREAM.DELETE.RECORDS'],
    ['va1', '$JS.API.STREAM.CREATE.DEAD_LETTERS'],
    ['va1', '$JS.API.CONSUMER.CREATE.OBSERVATIONS.va1'],
    ['analytics', 'mecai.observation.lima.va1'],
    ['analytics', 'mecai.decision.va1'],
    ['analytics', 'mecai.task.lima'],
    ['analytics', '$JS.API.STREAM.PURGE.OBSERVATIONS'],
    ['analytics', '$JS.API.STREAM.MSG.DELETE.OBSERVATIONS'],
    ['analytics', '$JS.API.CONSUMER.DELETE.OBSERVATIONS.analytics'],
    ['operator', 'mecai.task.lima'],
    ['operator', 'mecai.observation.lima.va1'],
    ['operator', 'mecai.decision.va1'],
  ])('%s may not publish on %s', async (name, subject) => {
    expect(await publishing(name, subject)).toEqual([expect.stringContaining('Permissions Violation')]);
  });

  it.each([
    ['lima', 'mecai.task.oslo'],
    ['lima', 'mecai.task.*'],
    ['lima', 'mecai.>'],
    ['lima', 'mecai.observation.lima.va1'],
    ['lima', '_INBOX.oslo.>'],
    ['lima', '_INBOX.>'],
    ['va1', 'mecai.observation.*.va2'],
    ['va1', 'mecai.observation.>'],
    ['va1', 'mecai.decision.va2'],
    ['va1', '_INBOX.va2.>'],
    ['analytics', 'mecai.observation.>'],
    ['analytics', 'mecai.task.lima'],
    ['analytics', '$JS.ACK.>'],
    ['operator', '_INBOX.va1.>'],
  ])('%s may not subscribe to %s', async (name, subject) => {
    expect(await subscribing(name, subject)).toEqual([expect.stringContaining('Permissions Violation')]);
  });

  it('lets each role do its work: task, observation with acknowledgement, decision, dead letter', async () => {
    const lima = await as('lima');
    const va1 = await as('va1');
    const observed = va1.subscribe('mecai.observation.*.va1', { max: 1 });
    const alive = va1.subscribe('mecai.agent.*', { max: 1 });
    const task = lima.subscribe('mecai.task.lima', { max: 1 });
    await Promise.all([lima.flush(), va1.flush()]);

    va1.publish('mecai.task.lima', 'look');
    for await (const message of task) expect(message.string()).toBe('look');
    lima.publish('mecai.agent.lima');
    for await (const message of alive) expect(message.subject).toBe('mecai.agent.lima');
    const stored = await jetstream(lima).publish('mecai.observation.lima.va1', 'seen');
    expect(stored).toMatchObject({ stream: 'OBSERVATIONS', seq: 1 });
    for await (const message of observed) expect(message.string()).toBe('seen');
    expect(await jetstream(va1).publish('mecai.decision.va1', 'issued')).toMatchObject({ stream: 'RECORDS' });
    expect(await jetstream(va1).publish('mecai.mismatch.va1', 'other')).toMatchObject({ stream: 'RECORDS' });

    const analytics = await as('analytics');
    const jsm = await jetstreamManager(analytics);
    await ensureStreams(jsm, { only: [streams.observations.name, streams.records.name, deadLetters.name] });
    for (const [stream, count] of [
      ['OBSERVATIONS', 1],
      ['RECORDS', 2],
    ] as const) {
      await jsm.consumers.add(stream, { durable_name: 'analytics', ack_policy: AckPolicy.Explicit });
      const consumer = await jetstream(analytics).consumers.get(stream, 'analytics');
      let seen = 0;
      for await (const message of await consumer.fetch({ max_messages: count, expires: 5000 })) {
        expect(await message.ackAck()).toBe(true);
        seen++;
      }
      expect(seen).toBe(count);
    }
    expect(await jetstream(analytics).publish('mecai.dead-letter.analytics', '')).toMatchObject({
      stream: 'DEAD_LETTERS',
    });
    // Stored by analytics, so gone from the work queue; records stay for their time.
    const operator = await jetstreamManager(await as('operator'));
    expect((await operator.streams.info('OBSERVATIONS')).state.messages).toBe(0);
    expect((await operator.streams.info('RECORDS')).state.messages).toBe(2);
  });

  it('lets a coordinator create its streams, and leaves those an operator made', async () => {
    const operator = await jetstreamManager(await as('operator'));
    await operator.streams.delete('RECORDS');
    const coordinator = await jetstreamManager(await as('va1'));
    await ensureStreams(coordinator, { limits: { recordBytes: 1_000_000 } });
    expect((await operator.streams.info('RECORDS')).config.max_bytes).toBe(1_000_000);
    await ensureStreams(coordinator, { limits: { recordBytes: 2_000_000 } });
    expect((await operator.streams.info('RECORDS')).config.max_bytes).toBe(1_000_000);
  });

  it('refuses a stranger, and a name that is a wildcard', async () => {
    const stranger = nkeyAuthenticator(nkeys.createUser().getSeed());
    await expect(connect({ servers: server.url, authenticator: stranger, reconnect: false })).rejects.toThrow(
      /authorization/i,
    );
    for (const name of ['*', '>', 'a.b', '']) {
      expect(() => natsPermissions.agent(name)).toThrow(TypeError);
      expect(() => natsPermissions.coordinator(name)).toThrow(TypeError);
      expect(() => natsPermissions.analytics(name)).toThrow(TypeError);
    }
  });
});

describe('streams', () => {
  it('refuse observations when full, and drop the oldest records', async () => {
    const server = await startNatsServer({ directory: join(directory, 'full') });
    const connection = await connect({ servers: server.url });
    await ensureStreams(await jetstreamManager(connection), {
      limits: { observationBytes: 4096, recordBytes: 4096 },
    });
    const client = jetstream(connection);
    const kilobyte = new Uint8Array(1000);
    const publish = async (subject: string) => {
      for (let i = 0; i < 8; i++) await client.publish(subject, kilobyte);
    };
    await expect(publish('mecai.observation.lima.va1')).rejects.toThrow(/maximum bytes exceeded/);
    await publish('mecai.decision.va1');
    const { state } = await (await jetstreamManager(connection)).streams.info('RECORDS');
    expect(state.last_seq).toBe(8);
    expect(state.messages).toBeLessThan(8);
    await connection.close();
    await server.stop();
  });
});

describe('nats-server', () => {
  it('keeps port and acknowledged messages over kill and restart', async () => {
    const server = await startNatsServer({ directory: join(directory, 'restart') });
    const { port, pid } = server;
    const connection = await connect({
      servers: server.url,
      reconnectTimeWait: 20,
      maxReconnectAttempts: -1,
    });
    await ensureStreams(await jetstreamManager(connection));
    const ack = await jetstream(connection).publish('mecai.observation.lima.va1', 'kept');
    server.kill();
    await server.restart();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    const again = await connect({ servers: server.url });
    const message = await (await jetstreamManager(again)).streams.getMessage('OBSERVATIONS', {
      seq: ack.seq,
    });
    expect(message?.string()).toBe('kept');
    await connection.close();
    await again.close();
    await server.stop();
    await expect(connect({ servers: server.url, reconnect: false, timeout: 500 })).rejects.toThrow();
  });

  it('pauses and resumes', async () => {
    const server = await startNatsServer({ directory: join(directory, 'pause') });
    const connection = await connect({ servers: server.url });
    server.pause();
    const answered = connection.flush().then(() => 'answered');
    const silent = new Promise((resolve) => setTimeout(resolve, 200, 'silent'));
    expect(await Promise.race([answered, silent])).toBe('silent');
    server.resume();
    expect(await answered).toBe('answered');
    await connection.close();
    server.pause();
    await server.stop();
  });

  it('says why it does not come up', async () => {
    const server = await startNatsServer({ directory: join(directory, 'first') });
    await expect(
      startNatsServer({ directory: join(directory, 'second'), port: server.port }),
    ).rejects.toThrow(/did not come up:[^]*address already in use/);
    await server.stop();
  });

  it('names the package when nats-server is missing', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = directory;
    try {
      await expect(startNatsServer({ directory: join(directory, 'missing') })).rejects.toThrow(
        /apt-get install nats-server/,
      );
    } finally {
      process.env['PATH'] = path;
    }
  });
});
