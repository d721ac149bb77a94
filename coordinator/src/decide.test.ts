import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { DatabaseError } from '@mecai/database';
import { type Observation, type Task, Decision, Mismatch } from '@mecai/proto';
import { RefusalCode } from '@mecai/proto/signer';
import { jetstream } from '@nats-io/jetstream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { coordinatorConfig } from './config.ts';
import { CoordinatorError } from './error.ts';
import { type DecideParts, type Question, decide } from './decide.ts';
import type { KnownSigner } from './signers.ts';
import { Perspectives } from './perspectives.ts';
import { Records } from './records.ts';
import { ScriptedAgent, failed, names, observed, sixAgents, testRegistry } from './testing/agents.ts';
import { keptLog } from './testing/log.ts';
import { type TestNats, coordinatorName, startTestNats } from './testing/nats.ts';
import { TestSigner, refused } from './testing/signer.ts';
import { measures, telemetry } from './testing/telemetry.ts';

const chain = [randomBytes(500), randomBytes(600)];
const other = [randomBytes(500), chain[1]!];
const [oslo, rome, boston, denver, tokyo, perth] = sixAgents;
const { log, lines } = keptLog();

const silent = () => undefined;
const fail = (error: Error) => {
  throw error;
};
type Deed = (agent: ScriptedAgent, task: Task) => void;
const sendAs =
  (change: (task: Task) => Partial<Observation>): Deed =>
  (agent, task) =>
    agent.send({ ...observed(task.nonce, task.targets[0]!, agent.name, other), ...change(task) });

let nats: TestNats;
let agents: Map<string, ScriptedAgent>;
let perspectives: Perspectives;
let records: Records;
let signer: TestSigner;
/** Milliseconds, on any machine. */
const patience = 15_000;
/** What each agent does with a task. */
let act: Record<string, Deed>;
/** Patience: where everybody answers, nobody is waited for. */
const probe = coordinatorConfig.shape.probe.parse({
  timeoutMs: 20_000,
  graceMs: 20_000,
  absentAfterMs: 600_000,
});
/** Where somebody never answers. */
const impatient = { ...probe, timeoutMs: 4_000, transitMs: 50 };
const lateAnswers = (saying: Record<string, readonly Uint8Array[]>) => {
  for (const [name, seen] of Object.entries(saying)) {
    const late = agents.get(name)!;
    late.answer(late.tasks.at(-1)!, seen);
  }
};

beforeAll(async () => {
  nats = await startTestNats();
  const connection = await nats.as(coordinatorName);
  perspectives = new Perspectives(connection, coordinatorName, Date.now, fail);
  records = new Records(jetstream(connection), coordinatorName, log, () => true);
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

const cleared = { state: 'cleared', holdUntil: 0 } as const;
const allCleared: DecideParts['certificates'] = {
  standing: () => Promise.resolve(cleared),
  admit: () => Promise.resolve(cleared),
};
function question(addresses: Uint8Array[] = [Uint8Array.of(198, 51, 100, 7)]): Question {
  const subject = { addresses, port: 443, serverName: 'www.example.org', startTls: '', chain };
  return { subject, requester: Uint8Array.of(192, 0, 2, 1), authenticated: true };
}
/** As many as are there, tried in this order. */
const signersOf = (...all: readonly KnownSigner[]): DecideParts['signers'] => ({
  next: () => all[0]!,
  another: (tried) => all.find((one) => !tried.has(one)),
});
const known = (
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
function ask(rest: Partial<DecideParts> = {}, what = question()) {
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
async function stored() {
  await perspectives.quiet(patience);
  await records.drain(patience);
  const decisions = (await nats.stored('RECORDS', 'mecai.decision.')).map((bytes) => Decision.decode(bytes));
  const mismatches = (await nats.stored('RECORDS', 'mecai.mismatch.')).map((bytes) => Mismatch.decode(bytes));
  return { decisions, mismatches };
}
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

describe('a decision', () => {
  it('comes with the fourth match, and does not wait for stragglers', async () => {
    act['tokyo'] = silent;
    act['perth'] = silent;
    const { result, unavailable } = await ask();
    expect(unavailable).toBe(false);
    expect(result).toMatchObject({
      status: 'issued',
      leaf: Buffer.from(sha256(chain[0]!)),
      voucher: Uint8Array.of(0x30, 1, 0),
    });
    expect(result.perspectives).toHaveLength(6);
    expect(result.perspectives.filter(({ ipv4 }) => ipv4?.verdict === 'pending')).toHaveLength(2);
    const task = agents.get('tokyo')!.tasks.at(-1)!;
    expect(task).toMatchObject({ coordinator: coordinatorName, timeoutMs: 20_000 });
    expect(task.targets).toHaveLength(1);
    lateAnswers({ tokyo: chain, perth: chain });
  });

  it('is on record, voucher and all', async () => {
    act['perth'] = (agent, task) => agent.answer(task, [], failed('refused'));
    await ask();
    const { decisions } = await stored();
    expect(decisions).toHaveLength(1);
    expect(decisions[0]).toMatchObject({
      nonce: new Uint8Array(signer.draws[0]!.drawn.nonce),
      coordinator: coordinatorName,
      chain: chain.map(sha256),
      status: 'issued',
      voucher: Uint8Array.of(0x30, 1, 0),
      requester: Uint8Array.of(192, 0, 2, 1),
      authenticated: true,
      auditSequence: 1,
    });
    expect(decisions[0]!.perspectives.map(({ agent }) => agent)).toEqual(names);
    expect(decisions[0]!.targets[0]).toMatchObject({ port: 443, serverName: 'www.example.org' });
  });

  it('needs both addresses', async () => {
    const ipv6 = Buffer.from('20010db8000000000000000000000007', 'hex');
    const both = question([Uint8Array.of(198, 51, 100, 7), ipv6]);
    const { result } = await ask({}, both);
    expect(result.status).toBe('issued');
    expect(
      result.perspectives.filter(({ ipv4, ipv6 }) => ipv4?.verdict === 'match' && ipv6?.verdict === 'match')
        .length,
    ).toBeGreaterThanOrEqual(4);
    for (const name of names.slice(0, 3)) {
      act[name] = (agent, task) => {
        const [first, second] = task.targets;
        agent.send(observed(task.nonce, first!, name, chain));
        agent.send(observed(task.nonce, second!, name, [], failed('unreachable')));
      };
    }
    const failedResult = (await ask({}, both)).result;
    expect(failedResult).toMatchObject({ status: 'inconclusive', retryAfter: 60 });
    expect(failedResult.detail).toContain('IPv6: of 6 perspectives');
    expect(failedResult.detail).toContain('unreachable');
  });

  it('of a majority that sees another chain is a mismatch, with all evidence as events', async () => {
    for (const name of names.slice(0, 4)) act[name] = (agent, task) => agent.answer(task, other);
    const { result } = await ask();
    expect(result.status).toBe('mismatch');
    expect(result.voucher).toBeUndefined();
    expect(signer.evidence).toEqual([]);
    const { decisions, mismatches } = await stored();
    expect(decisions).toMatchObject([{ status: 'mismatch', voucher: new Uint8Array() }]);
    expect(mismatches.map(({ agent }) => agent).toSorted()).toEqual(names.slice(0, 4).toSorted());
    expect(mismatches[0]).toMatchObject({
      coordinator: coordinatorName,
      expected: chain.map(sha256),
      observed: other.map(sha256),
    });
    expect(mismatches[0]!.evidence!.signature.length).toBeGreaterThan(60);
  });

  it('of one region in the hands of an attacker is a voucher, with events', async () => {
    for (const { name } of [tokyo, perth]) act[name] = (agent, task) => agent.answer(task, other);
    expect((await ask()).result.status).toBe('issued');
    expect((await stored()).mismatches.map(({ agent }) => agent).toSorted()).toEqual(['perth', 'tokyo']);
  });
});

describe('after the decision', () => {
  it('a straggler’s mismatch still becomes an event', async () => {
    for (const { name } of [tokyo, perth]) act[name] = silent;
    expect((await ask()).result.status).toBe('issued');
    lateAnswers({ tokyo: chain, perth: other });
    expect((await stored()).mismatches).toMatchObject([{ agent: 'perth' }]);
  });

  it('listening ends with the last answer, or with the grace period', async () => {
    for (const { name } of [tokyo, perth]) act[name] = silent;
    await ask();
    expect(perspectives.listening).toBe(1);
    lateAnswers({ tokyo: chain, perth: chain });
    await perspectives.quiet(patience);
    expect(perspectives.listening).toBe(0);

    await ask({ probe: { ...probe, graceMs: 50 } });
    await perspectives.quiet(patience);
    const tooLate = agents.get('perth')!;
    tooLate.answer(tooLate.tasks.at(-1)!, other);
    await tooLate.flush();
    expect((await stored()).mismatches).toEqual([]);
  });
});

describe('an agent that', () => {
  const four = [oslo, rome, boston, denver].map(({ name }) => name);
  const nothing: readonly (readonly [string, Deed])[] = [
    ['answers for another task', sendAs(() => ({ nonce: randomBytes(32) }))],
    ['answers for another target', sendAs((task) => ({ target: { ...task.targets[0]!, port: 1 } }))],
    ['answers under another’s name', sendAs(() => ({ agent: 'oslo' }))],
    ['answers under a name that is not registered', sendAs(() => ({ agent: 'nobody' }))],
    ['sends garbage', (agent) => agent.sendBytes(randomBytes(200))],
    ['sends nothing at all', (agent) => agent.sendBytes(new Uint8Array())],
    [
      'sends an observation that is none',
      (agent) => agent.sendSigned({ observation: randomBytes(100), signature: randomBytes(70) }),
    ],
  ];
  // Three at a time: each round takes as long as the patience.
  const rounds = [0, 3, 6].map((first) => {
    const some = nothing.slice(first, first + 3);
    return [some.map(([what]) => what).join('; or '), some.map(([, deed]) => deed)] as const;
  });
  it.each(rounds)('%s: counts for nothing', async (_, deeds) => {
    for (const [i, name] of ['tokyo', 'perth', 'denver'].entries()) act[name] = deeds[i % deeds.length]!;
    const { result } = await ask({ probe: { ...impatient, graceMs: 50 } });
    expect(result.status).toBe('inconclusive');
    expect(result.detail).toBe('of 6 perspectives 3 saw this chain, 0 another, 3 none (no-answer)');
    expect((await stored()).mismatches).toEqual([]);
  });

  it('answers twice is heard once', async () => {
    for (const name of names) {
      act[name] = (agent, task) => {
        agent.answer(task, four.includes(name) ? chain : []);
        agent.answer(task, other);
      };
    }
    expect((await ask()).result.status).toBe('issued');
    const { decisions, mismatches } = await stored();
    expect(mismatches).toEqual([]);
    expect(decisions[0]!.perspectives.filter(({ verdict }) => verdict === 'mismatch')).toEqual([]);
  });

  it('repeats itself until JetStream confirms is heard once', async () => {
    for (const name of names) {
      act[name] = (agent, task) => {
        agent.answer(task, other);
        agent.answer(task, other);
      };
    }
    expect((await ask()).result.status).toBe('mismatch');
    expect((await stored()).mismatches).toHaveLength(6);
  });

  it('comes too late is inconclusive, but its mismatch is an event', async () => {
    for (const { name } of [denver, tokyo, perth]) act[name] = silent;
    const { result } = await ask({ probe: impatient });
    expect(result).toMatchObject({ status: 'inconclusive', retryAfter: 60 });
    expect(result.detail).toContain('no-answer');
    lateAnswers({ denver: chain, tokyo: chain, perth: other });
    expect((await stored()).mismatches).toMatchObject([{ agent: 'perth' }]);
  });

  it('signs badly raises no alarm', async () => {
    for (const name of names.slice(0, 4)) {
      act[name] = (agent, task) =>
        agent.send(observed(task.nonce, task.targets[0]!, name, other), perth.key.privateKey);
    }
    const { result } = await ask();
    expect(result.status).toBe('inconclusive');
    expect(result.detail).toContain('bad-signature');
    expect((await stored()).mismatches).toEqual([]);
  });

  it('signs badly is struck by the signer, and the next answer makes the quorum', async () => {
    act['oslo'] = (agent, task) =>
      agent.send(observed(task.nonce, task.targets[0]!, 'oslo', chain), perth.key.privateKey);
    act['tokyo'] = silent;
    act['perth'] = silent;
    const answer = ask();
    await until(() => signer.evidence.length === 1);
    lateAnswers({ perth: chain });
    const { result } = await answer;
    lateAnswers({ tokyo: chain });
    expect(result.status).toBe('issued');
    expect(signer.evidence.map((one) => one.length)).toEqual([4, 4]);
    expect(result.perspectives[0]!.ipv4).toEqual({ verdict: 'inconclusive', code: 'bad-signature' });
  });

  it('is struck off by the signer alone does not end the matter while others may answer', async () => {
    signer.refuseEvidence.push(
      refused(RefusalCode.REFUSAL_CODE_NO_QUORUM, 'three of six', [{ agent: '', fault: 'not-asked' }])
        .refused,
    );
    act['tokyo'] = silent;
    act['perth'] = silent;
    const answer = ask();
    await until(() => signer.evidence.length === 1);
    lateAnswers({ tokyo: chain });
    expect((await answer).result.status).toBe('issued');
    lateAnswers({ perth: chain });
    expect(signer.evidence.map((one) => one.length)).toEqual([4, 5]);
  });

  it('names its failure at length does not break the answer', async () => {
    for (const { name } of [tokyo, perth, denver]) {
      act[name] = (agent, task) => agent.answer(task, [], failed('x'.repeat(100_000)));
    }
    const { result } = await ask();
    expect(result).toMatchObject({ status: 'inconclusive' });
    expect(result.detail!.length).toBeLessThan(200);
  });

  it('is absent costs no time', async () => {
    const without = {
      ask: perspectives.ask.bind(perspectives),
      expectConnected: () => undefined,
      silentMs: (name: string) => (['denver', 'tokyo', 'perth'].includes(name) ? 60_000 : 0),
    };
    for (const { name } of [denver, tokyo, perth]) act[name] = silent;
    const rushed = { ...probe, absentAfterMs: 10_000, graceMs: 50 };
    const { result } = await ask({ perspectives: without, probe: rushed });
    expect(result.status).toBe('inconclusive');
    expect(result.detail).toContain('agent-absent');
  });

  it('is in nobody’s registry but the signer’s costs one vote', async () => {
    const five = testRegistry(sixAgents.slice(0, 5));
    const { result } = await ask({ signers: signersOf(known(signer, 'spiffe://mecai.test/signer', five)) });
    expect(result.status).toBe('issued');
    expect(result.perspectives).toHaveLength(5);
    expect(lines).toMatchObject([{ level: 'warn', members: { agents: ['perth'] } }]);
    const { decisions } = await stored();
    expect(decisions[0]!.perspectives.at(-1)).toMatchObject({ agent: 'perth', code: 'not-in-registry' });
  });
});

describe('two signers', () => {
  const away = () =>
    Promise.reject(new CoordinatorError('signer-unavailable', 'the signer cannot be reached'));
  const other = 'spiffe://mecai.test/signer-2';

  it('the second is asked when the first does not draw, and is on record', async () => {
    const second = new TestSigner(testRegistry());
    const patience: (number | undefined)[] = [];
    const first = {
      ...known(signer),
      client: {
        ...known(signer).client,
        draw: (...[, , ms]: unknown[]) => {
          patience.push(ms as number);
          return away();
        },
      },
    };
    const { result } = await ask({ signers: signersOf(first, known(second, other)) });
    expect(result.status).toBe('issued');
    expect(patience).toEqual([1_500]);
    expect([signer.draws.length, second.issued]).toEqual([0, 1]);
    expect((await stored()).decisions).toMatchObject([{ status: 'issued', signer: other }]);
  });

  it('the second is asked anew, with a draw of its own, when the first is lost with the evidence', async () => {
    const second = new TestSigner(testRegistry());
    const draw = signer.draw.bind(signer);
    const first = { ...known(signer), client: { draw, issue: away } };
    const { result } = await ask({ signers: signersOf(first, known(second, other)) });
    expect(result.status).toBe('issued');
    expect([signer.draws.length, second.draws.length, second.issued]).toEqual([1, 1, 1]);
    const { decisions } = await stored();
    expect(decisions).toHaveLength(1);
    expect(decisions[0]!.nonce).toEqual(new Uint8Array(second.draws[0]!.drawn.nonce));
  });

  it('none of which is there end the matter, each asked once', async () => {
    const one = { ...known(signer), client: { draw: signer.draw.bind(signer), issue: away } };
    const two = { ...known(signer, other), client: { draw: away, issue: away } };
    await expect(ask({ signers: signersOf(one, two) })).rejects.toMatchObject({ code: 'signer-unavailable' });
    expect(signer.draws).toHaveLength(1);
    expect((await ask({ signers: signersOf(one) })).result).toMatchObject({
      status: 'inconclusive',
      detail: 'the signer cannot be reached',
    });
  });
});

describe('the signer', () => {
  it.each([
    [RefusalCode.REFUSAL_CODE_OWN_CA, 'own-ca', undefined],
    [RefusalCode.REFUSAL_CODE_DISTRUSTED, 'distrusted', undefined],
    [RefusalCode.REFUSAL_CODE_UNTRUSTED, 'untrusted', undefined],
    [RefusalCode.REFUSAL_CODE_REVOKED, 'revoked', undefined],
    [RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET, 'forbidden-target', undefined],
    [RefusalCode.REFUSAL_CODE_MALFORMED, 'malformed', undefined],
    [RefusalCode.REFUSAL_CODE_DRAW_LIMIT, 'rate-limited', 60],
  ])('that refuses a draw with code %i gives %s, and nobody is asked', async (code, reason, retryAfter) => {
    signer.refuseDraw = refused(code, 'because').refused;
    const asked = agents.get('oslo')!.tasks.length;
    const { result } = await ask();
    expect(result).toEqual({
      leaf: Buffer.from(sha256(chain[0]!)),
      status: 'refused',
      reason,
      detail: 'because',
      perspectives: [],
      ...(retryAfter !== undefined && { retryAfter }),
    });
    await agents.get('oslo')!.flush();
    expect(agents.get('oslo')!.tasks).toHaveLength(asked);
    expect(await stored()).toEqual({ decisions: [], mismatches: [] });
  });

  it.each([
    RefusalCode.REFUSAL_CODE_TOO_FEW_PERSPECTIVES,
    RefusalCode.REFUSAL_CODE_INTERNAL,
    RefusalCode.REFUSAL_CODE_UNSPECIFIED,
  ])('that refuses with code %i says nothing about the chain', async (code) => {
    signer.refuseDraw = refused(code, 'because').refused;
    expect((await ask()).result).toMatchObject({
      status: 'inconclusive',
      detail: 'signer: because',
      retryAfter: 60,
    });
  });

  it('that has forgotten the draw is asked once more, with a new one', async () => {
    signer.refuseEvidence.push(refused(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw').refused);
    expect((await ask()).result.status).toBe('issued');
    expect(signer.draws).toHaveLength(2);
    expect((await stored()).decisions).toHaveLength(1);
  });

  it('that forgets twice is not asked a third time', async () => {
    const forgotten = refused(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw').refused;
    signer.refuseEvidence.push(forgotten, forgotten);
    expect((await ask()).result).toMatchObject({ status: 'inconclusive', detail: 'signer: no such draw' });
    expect(signer.draws).toHaveLength(2);
  });
});

describe('the audit record', () => {
  it('is stored before the voucher leaves', async () => {
    const order: string[] = [];
    const kept = {
      later: () => undefined,
      decision: async (decision: Decision) => {
        await records.decision(decision);
        order.push(`${(await nats.stored('RECORDS')).length} stored`);
      },
    };
    const { result } = await ask({ records: kept });
    order.push(result.status);
    expect(order).toEqual(['1 stored', 'issued']);
  });

  it('that cannot be stored keeps the voucher back, perspectives told all the same', async () => {
    const { result, unavailable } = await ask({
      records: {
        later: () => undefined,
        decision: () => Promise.reject(new CoordinatorError('record-not-stored', 'not stored')),
      },
    });
    expect(signer.issued).toBe(1);
    expect(unavailable).toBe(true);
    expect(result).toMatchObject({ status: 'inconclusive', detail: 'not stored', retryAfter: 10 });
    expect(result.voucher).toBeUndefined();
    expect(result.perspectives).toHaveLength(6);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('the certificate log', () => {
  /** Keeps what it is asked, and answers what the test wants. */
  const logSaying = (state: 'held' | 'cleared' | 'objected' | 'expired', known = true) => {
    const standing = { state, holdUntil: Date.now() + 3_600_000 };
    const sights: Parameters<DecideParts['certificates']['admit']>[0][] = [];
    const certificates: DecideParts['certificates'] = {
      standing: () => Promise.resolve(known ? standing : undefined),
      admit(sight) {
        sights.push(sight);
        return Promise.resolve(standing);
      },
    };
    return { certificates, sights };
  };

  it('holds a voucher back, and the signer is not even asked', async () => {
    const { certificates, sights } = logSaying('held');
    const { result } = await ask({ certificates });
    expect(result).toMatchObject({ status: 'on-hold', detail: expect.stringMatching(/^on hold until 2/) });
    expect(result.retryAfter).toBeGreaterThan(3_500);
    expect(result.retryAfter).toBeLessThanOrEqual(3_600);
    expect(result.perspectives).toHaveLength(6);
    expect(signer.evidence).toEqual([]);
    expect(sights).toMatchObject([{ question: { authenticated: true }, perspectives: { length: 6 } }]);
    expect((await stored()).decisions).toMatchObject([{ status: 'on-hold' }]);
  });

  it.each([
    ['objected', 'objected'],
    ['expired', 'untrusted'],
  ] as const)('refuses what is %s', async (state, reason) => {
    const { result } = await ask(logSaying(state));
    expect(result).toMatchObject({ status: 'refused', reason });
    expect(signer.evidence).toEqual([]);
  });

  it('hears nothing of a request that the perspectives do not corroborate', async () => {
    for (const name of names) act[name] = (agent, task) => agent.answer(task, other);
    const { certificates, sights } = logSaying('cleared', false);
    const { result } = await ask({ certificates });
    expect(result.status).toBe('mismatch');
    expect(sights).toEqual([]);
  });

  it('gets the SCTs that the server sends beside its certificate', async () => {
    const list = Uint8Array.of(1, 2, 3);
    for (const name of names) act[name] = (agent, task) => agent.answer(task, chain, { sctLists: [list] });
    const lists: unknown[] = [];
    const certificates: DecideParts['certificates'] = {
      ...allCleared,
      admit(sight, leaf, before, sent) {
        lists.push(sent?.());
        return allCleared.admit(sight, leaf, before, sent);
      },
    };
    expect((await ask({ certificates })).result.status).toBe('issued');
    expect(lists).toEqual([{ tls: [expect.objectContaining(list)], ocsp: [] }]);
  });

  it('sees nothing for the first time on the strength of forged observations', async () => {
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    for (const name of ['oslo', 'rome', 'boston']) {
      act[name] = (agent, task) =>
        agent.send(observed(task.nonce, task.targets[0]!, name, chain), stranger.privateKey);
    }
    const { certificates, sights } = logSaying('cleared', false);
    const { result } = await ask({ certificates });
    expect(result).toMatchObject({
      status: 'inconclusive',
      detail: expect.stringContaining('bad-signature'),
    });
    expect(sights).toEqual([]);
    expect(signer.evidence).toEqual([]);
  });

  it('costs the voucher while it is away, and the requester may ask again', async () => {
    const away = () => Promise.reject(new DatabaseError('unavailable', 'gone'));
    const { result, unavailable } = await ask({ certificates: { standing: away, admit: away } });
    expect(unavailable).toBe(true);
    expect(result).toMatchObject({ status: 'inconclusive', retryAfter: 10 });
    expect(signer.evidence).toEqual([]);
  });
});
