import { describe, expect, it } from 'vitest';
import { makeInternet } from './internet.ts';
import { Random } from './random.ts';
import { score } from './score.ts';
import { simulate } from './simulate.ts';

// Seeds that the rules were not chosen on; `npm run bench -- detection` runs more of them.
const outcome = simulate({ seed: 2001, sites: 3000, drawsPerSecond: 8, minutes: 25 });
const { kinds, events, wrong, missed } = score(outcome);

describe('on a synthetic internet', { timeout: 60_000 }, () => {
  it('the three attacks of the past are found each time, all but one at most within two minutes', () => {
    const regional = ['kazakhstan-2019', 'diginotar-2011', 'syria-2011'].map((name) => events.get(name)!);
    for (const { happened, detected } of regional) expect([happened, detected]).toEqual([3, 3]);
    const fast = regional.flatMap(({ times }) => times).filter((ms) => ms <= 120_000);
    expect(fast.length).toBeGreaterThanOrEqual(8);
  });

  it('an attack next to the server is not reported, since everyone sees the same', () => {
    expect(events.get('near-server')).toMatchObject({ detected: 0, mistaken: 0 });
    expect(events.get('near-server')!.happened).toBeGreaterThan(0);
  });

  it('outages, faulty agents and clocks are called what they are, and nothing else is called anything', () => {
    expect(wrong.map(({ kind, summary }) => `${kind}: ${summary}`)).toEqual([]);
    expect(missed).toEqual([]);
    for (const { right } of Object.values(kinds)) expect(right).toBeGreaterThan(0);
  });

  it('every incident closes by itself', () => {
    expect(outcome.incidents.filter(({ state }) => state === 'open')).toEqual([]);
  });

  it('the same seed gives the same internet', () => {
    const sites = (seed: number) => JSON.stringify(makeInternet(new Random(seed), 50));
    expect(sites(7)).toBe(sites(7));
    expect(sites(7)).not.toBe(sites(8));
  });
});

describe('where somebody knows the rules', { timeout: 120_000 }, () => {
  const attacks = [
    'slow-onset',
    'issuer-per-name',
    'two-minutes-at-night',
    'during-rotation',
    'where-agents-join',
  ] as const;
  const harmless = ['split-horizon', 'cdn-differs-by-country'] as const;
  const all = [...attacks, ...harmless, 'corporate-proxy'] as const;
  const hard = score(
    simulate({
      seed: 2002,
      sites: 2000,
      drawsPerSecond: 4,
      minutes: 25,
      events: Object.fromEntries(all.map((name) => [name, 1])),
    }),
  );

  it.each([...attacks, 'corporate-proxy'])('%s is called what it is', (name) => {
    expect(hard.events.get(name)).toMatchObject({ happened: 1, detected: 1 });
  });

  it.each(harmless)('%s is called nothing', (name) => {
    expect(hard.events.get(name)).toMatchObject({ happened: 1, mistaken: 0 });
  });

  it('nothing else is called anything', () => {
    expect(hard.wrong.map(({ kind, summary }) => `${kind}: ${summary}`)).toEqual([]);
  });
});
