import { describe, expect, it } from 'vitest';
import { makeInternet } from './internet.ts';
import { Random } from './random.ts';
import { score } from './score.ts';
import { simulate } from './simulate.ts';

// Seeds that the rules were not tuned on; `npm run bench -- detection` runs more of them.
const outcome = simulate({ seed: 2001, sites: 3000, drawsPerSecond: 8 });
const { kinds, events, wrong, missed } = score([outcome]);

describe('on a synthetic internet', { timeout: 60_000 }, () => {
  it('the three attacks of the past are found within two minutes', () => {
    for (const name of ['kazakhstan-2019', 'diginotar-2011', 'syria-2011']) {
      const { happened, times } = events.find((one) => one.name === name)!;
      expect(times.filter((ms) => ms <= 120_000)).toHaveLength(happened);
    }
  });

  it('an attack next to the server is not reported, since everyone sees the same', () => {
    expect(outcome.events.map(({ name }) => name)).toContain('near-server');
    expect(events.find(({ name }) => name === 'near-server')).toMatchObject({ happened: 1, detected: 0 });
  });

  it('outages, faulty agents and clocks are called what they are, and nothing else is called anything', () => {
    expect(wrong.map(({ kind, summary }) => `${kind}: ${summary}`)).toEqual([]);
    expect(missed.map(({ name }) => name)).toEqual([]);
    expect(kinds.map(({ kind, right }) => [kind, right > 0])).toEqual([
      ['regional-interception', true],
      ['local-outage', true],
      ['faulty-agent', true],
    ]);
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
