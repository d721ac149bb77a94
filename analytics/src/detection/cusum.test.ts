import { expect, it } from 'vitest';
import { Cusum } from './cusum.ts';
import { rules } from './rules.ts';

const common = 0.01;
const { alarm } = rules.outage;
/** A tenth fails, always in the same places of the list. */
const flaky = Array.from({ length: 200 }, (_, i) => i % 10 === 3);

it.each([
  ['at once', false],
  ['together, when others have looked', true],
])('an agent that always fails now and then raises no alarm: failures count %s', (_, late) => {
  const cusum = new Cusum();
  let highest = 0;
  for (let round = 0; round < 50; round++) {
    const trials = flaky.map((failed, i) => ({ failed, at: round * 60_000 + i * 10 }));
    const inOrder = late ? trials.toSorted((a, b) => Number(a.failed) - Number(b.failed)) : trials;
    for (const { failed, at } of inOrder) cusum.add(failed, at, common, rules.outage);
    // After some rounds the rate is the usual one.
    if (round > 10) highest = Math.max(highest, cusum.sum);
  }
  expect(highest).toBeLessThan(rules.outage.together * alarm);
});

it('failures without successes raise the alarm, late ones too', () => {
  for (const late of [0, 5000]) {
    const cusum = new Cusum();
    for (let i = 0; i < 500; i++) cusum.add(false, i * 100, common, rules.outage);
    for (let i = 0; i < 20; i++) cusum.add(true, 60_000 + i * 100 - late, common, rules.outage);
    expect(cusum.sum).toBeGreaterThanOrEqual(alarm);
    expect(cusum.since).toBe(60_000 - late);
  }
});
