import { generateKeyPairSync } from 'node:crypto';
import { DatabaseError } from '@mecai/database';
import { Decision } from '@mecai/proto';
import { describe, expect, it } from 'vitest';
import { CoordinatorError } from './error.ts';
import { type DecideParts } from './decide.ts';
import { names, observed } from './testing/agents.ts';
import {
  act,
  allCleared,
  ask,
  chain,
  nats,
  other,
  records,
  setStage,
  signer,
  stored,
} from './testing/deciding.ts';

setStage();

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
