import { expect, test } from 'vitest';
import { Stopwatch } from './stopwatch.ts';

test('steps follow one another, in microseconds since the start', () => {
  let now = 1_000;
  const watch = new Stopwatch(() => now);
  now = 1_001.5;
  watch.lap('evidence');
  now = 1_004;
  watch.lap('HSM');
  expect(watch.timings).toEqual([
    { step: 'evidence', begin: 0, end: 1_500 },
    { step: 'HSM', begin: 1_500, end: 4_000 },
  ]);
});
