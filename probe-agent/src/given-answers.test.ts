import { randomBytes } from 'node:crypto';
import { Task } from '@mecai/proto';
import { describe, expect, it } from 'vitest';
import { GivenAnswers } from './given-answers.ts';

const task = (timeoutMs = 10_000, nonce = randomBytes(32)): Task => ({
  nonce,
  targets: [],
  timeoutMs,
  coordinator: 'va1',
});
const octets = (one: Task) => Task.encode(one).finish();
const answer = (n: number) => ({
  coordinator: 'va1',
  campaign: false,
  signed: { observation: Uint8Array.of(n), signature: Uint8Array.of(n) },
});

describe('who asks again', () => {
  it('gets what was given so far, and nothing under a nonce that was another task’s', () => {
    const given = new GivenAnswers();
    const one = task();
    expect(given.recall(octets(one), one, 0)).toBeUndefined();
    expect(given.recall(octets(one), one, 1)).toEqual([]);
    given.keep(one.nonce, answer(1));
    given.keep(one.nonce, answer(2));
    expect(given.recall(octets(one), one, 2)).toEqual([answer(1), answer(2)]);
    const other = { ...one, timeoutMs: 9_999 };
    expect(given.recall(octets(other), other, 3)).toEqual([]);
    const third = task();
    expect(given.recall(octets(third), third, 3)).toBeUndefined();
  });

  it('does so for as long as a coordinator may wait, and not for ever', () => {
    const given = new GivenAnswers();
    const one = task(10_000);
    given.recall(octets(one), one, 0);
    given.keep(one.nonce, answer(1));
    // Its own time, and the most that `probe.transitMs` allows.
    expect(given.recall(octets(one), one, 20_000)).toHaveLength(1);
    expect(given.recall(octets(one), one, 22_000)).toBeUndefined();
  });

  it('is one of so many: the oldest is forgotten', () => {
    const given = new GivenAnswers();
    const tasks = Array.from({ length: 20_002 }, () => task());
    for (const one of tasks) expect(given.recall(octets(one), one, 0)).toBeUndefined();
    expect(given.recall(octets(tasks.at(-1)!), tasks.at(-1)!, 1)).toEqual([]);
    expect(given.recall(octets(tasks[0]!), tasks[0]!, 1)).toBeUndefined();
  });
});
