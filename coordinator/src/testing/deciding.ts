/** A coordinator's decisions on real NATS, with six agents and a signer that do as they are told. */
import { createHash, hash, randomBytes } from 'node:crypto';
import { type Observation, type Task, Decision, Mismatch } from '@mecai/proto';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { coordinatorConfig } from '../config.ts';
import { type DecideParts, type Question, decide } from '../decide.ts';
import type { KnownSigner } from '../signers.ts';
import { Perspectives } from '../perspectives.ts';
import { Records } from '../records.ts';
import { StreamPublisher } from '../stream-publisher.ts';
import { ScriptedAgent, names, observed, sixAgents, testRegistry } from './agents.ts';
import { keptLog } from './log.ts';
import { type TestNats, coordinatorName, startTestNats } from './nats.ts';
import { TestSigner } from './signer.ts';
import { measures, telemetry } from './telemetry.ts';

export const chain = [randomBytes(500), randomBytes(600)];
export const other = [randomBytes(500), chain[1]!];
export const [oslo, rome, boston, denver, tokyo, perth] = sixAgents;
export const { log, lines } = keptLog();

export const silent = () => undefined;
export const fail = (error: Error) => {
  throw error;
};
export type Deed = (agent: ScriptedAgent, task: Task) => void;
export const sendAs =
  (change: (task: Task) => Partial<Observation>): Deed =>
  (agent, task) =>
    agent.send({ ...observed(task.nonce, task.targets[0]!, agent.name, other), ...change(task) });

export let nats: TestNats;
export let agents: Map<string, ScriptedAgent>;
export let perspectives: Perspectives;
export let records: Records;
export let signer: TestSigner;
/** Milliseconds, on any machine. */
export const patience = 15_000;
/** What each agent does with a task. */
export let act: Record<string, Deed>;
/** Patience: where everybody answers, nobody is waited for. */
export const probe = coordinatorConfig.shape.probe.parse({
  timeoutMs: 20_000,
  graceMs: 20_000,
  absentAfterMs: 600_000,
});
/** Where somebody never answers. */
export const impatient = { ...probe, timeoutMs: 4_000, transitMs: 50 };
export const lateAnswers = (saying: Record<string, readonly Uint8Array[]>) => {
  for (const [name, seen] of Object.entries(saying)) {
    const late = agents.get(name)!;
    late.answer(late.tasks.at(-1)!, seen);
  }
};

/** Before and after all and each of a file's tests. */
export function setStage(): void {
  beforeAll(async () => {
    nats = await startTestNats();
    const connection = await nats.as(coordinatorName);
    perspectives = new Perspectives(connection, coordinatorName, Date.now, fail);
    records = new Records(
      new StreamPublisher(connection, coordinatorName),
      coordinatorName,
      log,
      () => true,
      {
        keepStored: { ms: 0, octets: 0 },
      },
    );
    agents = new Map();
    for (const agent of sixAgents) {
      const scripted = new ScriptedAgent(await nats.as(agent.name), agent, coordinatorName, (task, self) =>
        act[agent.name]!(self, task),
      );
      await scripted.flush();
      agents.set(agent.name, scripted);
    }
    await connection.flush();
  });
  afterAll(() => nats.close());
  beforeEach(() => {
    signer = new TestSigner(testRegistry());
    act = Object.fromEntries(names.map((name) => [name, (agent, task) => agent.answer(task, chain)]));
  });
  afterEach(async () => {
    await perspectives.quiet(patience);
    await records.drain(patience);
    expect(perspectives.listening).toBe(0);
    await nats.jsm.streams.purge('RECORDS');
    await nats.jsm.streams.purge('OBSERVATIONS');
    lines.length = 0;
  });
}

export const cleared = { state: 'cleared', holdUntil: 0 } as const;
export const allCleared: DecideParts['certificates'] = {
  standing: () => Promise.resolve(cleared),
  admit: () => Promise.resolve(cleared),
};
export function question(addresses: Uint8Array[] = [Uint8Array.of(198, 51, 100, 7)]): Question {
  const subject = { addresses, port: 443, serverName: 'www.example.org', startTls: '', chain };
  const digests = chain.map((der) => hash('sha256', der, 'buffer'));
  return { subject, digests, requester: Uint8Array.of(192, 0, 2, 1), authenticated: true };
}
/** As many as are there, tried in this order. */
export const signersOf = (...all: readonly KnownSigner[]): DecideParts['signers'] => ({
  next: () => all[0]!,
  another: (tried) => all.find((one) => !tried.has(one)),
});
export const known = (
  client: TestSigner,
  id = 'spiffe://mecai.test/signer',
  registry = testRegistry(),
): KnownSigner => ({
  id,
  client,
  revocation: { bring: () => Promise.resolve() },
  registry,
  policy: client.policy,
});
export function ask(rest: Partial<DecideParts> = {}, what = question()) {
  const parts = {
    name: coordinatorName,
    signers: signersOf(known(signer)),
    distrust: { refusal: () => undefined },
    perspectives,
    records,
    certificates: allCleared,
    probe,
    telemetry,
    measures,
    log,
    now: Date.now,
  };
  return decide({ ...parts, ...rest }, what);
}
export async function stored() {
  await perspectives.quiet(patience);
  await records.drain(patience);
  const decisions = (await nats.stored('RECORDS', 'mecai.decision.')).map((bytes) => Decision.decode(bytes));
  const mismatches = (await nats.stored('RECORDS', 'mecai.mismatch.')).map((bytes) => Mismatch.decode(bytes));
  return { decisions, mismatches };
}
export const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
