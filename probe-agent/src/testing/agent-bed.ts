/** An agent on a real NATS server, a TLS server that it may look at, and a coordinator that hears what it says. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AgentStatus,
  KeyType,
  Observation,
  SignedObservation,
  type Target,
  Task,
  subjects,
} from '@mecai/proto';
import type { Running } from '@mecai/runtime';
import { testKey } from '@mecai/voucher/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { startAgent } from '../start.ts';
import { keptLog } from './log.ts';
import { type TestNats, startTestNats } from './nats.ts';
import { type TestServer, ecdsa, tlsServer } from './servers.ts';
import { oslo } from './oslo.ts';

export const key = testKey();
export const { log, lines } = keptLog();
export let nats: TestNats;
export let va1: NatsConnection;
export let server: TestServer;
export let running: Running | undefined;
export const heard: { agent: string; observation: Observation; signed: SignedObservation }[] = [];
export const statuses: { agent: string; status: AgentStatus }[] = [];
let changed = Promise.withResolvers<void>();

function wake(): void {
  changed.resolve();
  changed = Promise.withResolvers();
}

export function setBed(): void {
  beforeAll(async () => {
    nats = await startTestNats();
    server = await tlsServer([ecdsa]);
    va1 = await nats.as('va1');
    const listen = (subject: string, take: (agent: string, data: Uint8Array) => void) =>
      va1.subscribe(subject, {
        callback: (error, message) => {
          if (error) throw error;
          take(message.subject.split('.')[2]!, message.data);
          wake();
        },
      });
    listen(subjects.observation('*', 'va1'), (agent, data) => {
      const signed = SignedObservation.decode(data);
      heard.push({ agent, signed, observation: Observation.decode(signed.observation) });
    });
    listen(subjects.agentStatus('*'), (agent, data) =>
      statuses.push({ agent, status: AgentStatus.decode(data) }),
    );
    await va1.flush();
  });
  afterAll(async () => {
    await server.close();
    await nats.close();
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    // What the agent of this test has said does not count in the next; a broken connection brings nothing more.
    await va1.flush().catch(() => undefined);
    heard.length = 0;
    statuses.length = 0;
    lines.length = 0;
  });
}

export function configFile(changes: Record<string, unknown> = {}, directory = nats.directory): string {
  const keyFile = join(directory, 'observation.key');
  writeFileSync(keyFile, key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const file = join(directory, 'agent.json');
  const config = {
    name: 'oslo',
    admin: '127.0.0.1:0',
    nats: { servers: [nats.server.url], seedFile: nats.seedFile('oslo') },
    keyFile: 'observation.key',
    location: oslo,
    allowedTargets: ['127.0.0.0/8', '::1/128'],
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

export const failures: unknown[] = [];
export async function start(
  changes: Record<string, unknown> = {},
  environment: NodeJS.ProcessEnv = {},
): Promise<Running> {
  running = await startAgent({
    log,
    config: configFile(changes),
    environment,
    fail: (error) => failures.push(error),
  });
  return running;
}
/** Stops the agent that runs. */
export function stop(): Promise<void> {
  const one = running!;
  running = undefined;
  return one.stop();
}

/** What `find` finds, once something was heard that it finds. */
export async function until<T>(find: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = find();
    if (found) return found;
    await changed.promise;
  }
}
/** Asks for one observation, once the agent has shown that it listens. */
export async function ask(target: Partial<Target> = {}, timeoutMs = 5_000, agent = 'oslo') {
  await until(() => statuses.some((one) => one.agent === agent));
  const nonce = randomBytes(32);
  const whole = {
    address: Uint8Array.of(127, 0, 0, 1),
    port: server.port,
    serverName: 'www.example.org',
    startTls: '',
    keyType: KeyType.KEY_TYPE_UNSPECIFIED,
    ...target,
  };
  va1.publish(
    subjects.task(agent),
    Task.encode({ nonce, targets: [whole], timeoutMs, coordinator: 'va1' }).finish(),
  );
  return { answer: () => until(() => heard.find(({ observation }) => nonce.equals(observation.nonce))) };
}
export const answerOf = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).answer();
/** Has the campaigns ask, and finds the answer where analytics will. */
export async function campaignAnswer() {
  await until(() => statuses.some((one) => one.agent === 'oslo'));
  const campaigns = await nats.as('campaigns');
  const operator = await nats.as('operator');
  const answers = operator.subscribe('mecai.observation.>', { max: 1 });
  await operator.flush();
  const target = {
    address: Uint8Array.of(127, 0, 0, 1),
    port: server.port,
    serverName: 'www.example.org',
    startTls: '',
    keyType: KeyType.KEY_TYPE_UNSPECIFIED,
  };
  const task = { nonce: randomBytes(32), targets: [target], timeoutMs: 5_000, coordinator: 'campaigns' };
  campaigns.publish(subjects.campaignTask('oslo'), Task.encode(task).finish());
  for await (const { subject, data } of answers) {
    const observation = Observation.decode(SignedObservation.decode(data).observation);
    expect(Buffer.from(observation.nonce)).toEqual(task.nonce);
    return { subject, observation };
  }
  throw new Error('no answer');
}
export const status = async () => {
  const text = await (await fetch(`${String(running!.ready['admin'])}/status`)).text();
  const parsed: Record<string, unknown> = JSON.parse(text);
  return parsed;
};
