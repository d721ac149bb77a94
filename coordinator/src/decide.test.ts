import { randomBytes } from 'node:crypto';
import { RefusalCode } from '@mecai/proto/signer';
import { describe, expect, it } from 'vitest';
import { failed, names, observed, sixAgents, testRegistry } from './testing/agents.ts';
import { coordinatorName } from './testing/nats.ts';
import { refused } from './testing/signer.ts';
import {
  type Deed,
  act,
  agents,
  ask,
  boston,
  chain,
  denver,
  impatient,
  known,
  lateAnswers,
  lines,
  oslo,
  other,
  patience,
  perspectives,
  perth,
  probe,
  question,
  rome,
  sendAs,
  setStage,
  sha256,
  signer,
  signersOf,
  silent,
  stored,
  tokyo,
  until,
} from './testing/deciding.ts';

setStage();

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
