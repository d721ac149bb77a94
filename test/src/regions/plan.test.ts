import { describe, expect, it } from 'vitest';
import { allFaults, oneOfEach } from './faults.ts';
import { type Kind, type Part, kinds } from './part.ts';
import type { Regions } from './regions.ts';

const part = (kind: Kind, number: number, wired: boolean): Part => ({
  name: `${kind}-${number}`,
  kind,
  place: {
    address: '127.0.0.1',
    command: [],
    ...(wired && { wire: { cut: () => undefined, mend: () => undefined } }),
  },
  pids: () => [],
  kill: () => Promise.resolve(),
  start: () => Promise.resolve(),
  stop: () => Promise.resolve(),
});
const layout = (wired = true) =>
  ({ parts: kinds.flatMap((kind) => [1, 2].map((i) => part(kind, i, wired))) }) as unknown as Regions;
const words = (faults: ReturnType<typeof allFaults>) => faults.map((one) => `${one.part.name} ${one.deed}`);

describe('the plan of faults', () => {
  it('has everything that can happen once, in the order of the seed', () => {
    const plan = words(allFaults(layout(), 7));
    expect(new Set(plan).size).toBe(kinds.length * 2 * 3);
    expect(words(allFaults(layout(), 7))).toEqual(plan);
    expect(words(allFaults(layout(), 8))).not.toEqual(plan);
    expect(words(allFaults(layout(), 8)).toSorted()).toEqual(plan.toSorted());
  });

  it('cuts nobody off who has no wire', () => {
    expect(words(allFaults(layout(false), 7)).filter((one) => one.endsWith('cut off'))).toEqual([]);
  });

  it('in short has one process of each kind, and all three for it', () => {
    const short = oneOfEach(layout(), 7);
    expect(short.map((one) => one.part.kind)).toEqual(kinds.flatMap((kind) => [kind, kind, kind]));
    expect(new Set(short.map((one) => one.part.name)).size).toBe(kinds.length);
  });
});
