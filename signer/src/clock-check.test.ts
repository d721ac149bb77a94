import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClockCheck, clockOffset } from './clock-check.ts';
import { drawn, evidence, issue, outcome, refusal, second } from './testing/attempts.ts';
import { type World, createWorld, observe } from './testing/world.ts';

const hour = 3_600 * second;

describe('the offset that times tell', () => {
  it.each<[string, readonly number[], number]>([
    ['all within', [100, 150, 200], 0],
    ['all before: the clock is ahead', [70, 80, 90], 20],
    ['all after: the clock is behind', [210, 220, 230], -20],
    ['a minority before', [1, 2, 150, 160, 170], 0],
    ['half before, half within', [1, 2, 150, 160], 0],
    ['half before, half after', [1, 2, 300, 400], 0],
    ['most before', [1, 2, 3, 160], 97],
    ['one alone', [250], -50],
  ])('%s', (_, times, offset) => {
    expect(clockOffset(times, 100, 200)).toBe(offset);
  });

  it('is not moved by a minority, whatever it says and in whatever order', () => {
    const honest = fc.array(fc.integer({ min: 1_000, max: 2_000 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(honest, fc.array(fc.integer(), { maxLength: 9 }), fc.integer(), (good, bad, seed) => {
        const times = [...good, ...bad.slice(0, good.length - 1)];
        const shuffled = times.toSorted((a, b) => ((a * 31 + seed) % 97) - ((b * 31 + seed) % 97));
        expect(clockOffset(shuffled, 1_000, 2_000)).toBe(0);
      }),
    );
  });
});

describe('a clock', () => {
  const clockOf = () => {
    const at = { now: hour, uptime: 0 };
    const parts = { now: () => at.now, uptime: () => at.uptime, maxOffsetMs: 10 * second };
    return { at, clock: new ClockCheck(parts) };
  };

  it('of which nothing is known is taken for right', () => {
    expect(clockOf().clock).toMatchObject({ offsetMs: 0, refusal: undefined });
  });

  it('that stood still between question and answer is right however long the answer took', () => {
    const { at, clock } = clockOf();
    at.now += 30 * second;
    at.uptime += 30 * second;
    clock.hear([hour, hour], 0);
    expect(clock).toMatchObject({ offsetMs: 0, refusal: undefined });
  });

  it('that is stepped is wrong at once, and right again when it is stepped back', () => {
    const { at, clock } = clockOf();
    clock.hear([hour], 0);
    at.now += 11 * second;
    expect(clock).toMatchObject({
      offsetMs: 11 * second,
      refusal: 'the clock is 11 s ahead of the perspectives',
    });
    at.now -= 22 * second;
    expect(clock.refusal).toBe('the clock is 11 s behind the perspectives');
    at.now += 11 * second;
    expect(clock.refusal).toBeUndefined();
  });

  it('of a machine that slept is right again as soon as perspectives say so', () => {
    const { at, clock } = clockOf();
    clock.hear([hour], 0);
    at.now += hour;
    at.uptime += second;
    expect(clock.refusal).toMatch(/ahead/);
    clock.hear([2 * hour], second);
    expect(clock).toMatchObject({ offsetMs: 0, refusal: undefined });
  });

  it('that is before the last record is behind, by that much at least', () => {
    const { clock } = clockOf();
    clock.notBefore(hour - second);
    expect(clock.offsetMs).toBe(0);
    clock.notBefore(hour + 60 * second);
    expect(clock.refusal).toBe('the clock is 60 s behind the perspectives');
    clock.hear([hour], 0);
    expect(clock.refusal).toBeUndefined();
  });
});

describe('a voucher by a clock that is wrong', () => {
  const create = () => createWorld({ maxClockOffsetMs: 10 * second });
  /** What honest agents say, by the right time. */
  const seenNow = (world: World, draw: ReturnType<typeof drawn>, agents = 4) =>
    draw.agents.slice(0, agents).map((agent) => observe(agent, draw, { observedAt: world.time }));

  it.each([
    ['an hour ahead', hour],
    ['an hour behind', -hour],
    ['11 s ahead', 11 * second],
    ['11 s behind', -11 * second],
  ])('%s is refused, on record, and comes once the clock is right', async (_, ahead) => {
    const world = create();
    world.clockAhead = ahead;
    const draw = drawn(world);
    const refused = await refusal(() => issue(world, draw, seenNow(world, draw)));
    expect(refused.detail).toMatch(/^the clock is \d+ s (ahead of|behind) the perspectives$/);
    expect(world.records.at(-1)).toMatchObject({ event: 'refused', code: 'clock', detail: refused.detail });
    world.clockAhead = 0;
    // The draw is still open.
    expect(await outcome(() => issue(world, draw, seenNow(world, draw)))).toBe('issued');
  });

  it.each([9 * second, -9 * second])('within the bound is issued: %i ms', async (ahead) => {
    const world = create();
    world.clockAhead = ahead;
    const draw = drawn(world);
    expect(await outcome(() => issue(world, draw, seenNow(world, draw)))).toBe('issued');
  });

  it.each([hour, -hour])('that jumps between draw and evidence is refused: %i ms', async (ahead) => {
    const world = create();
    const draw = drawn(world);
    world.clockAhead = ahead;
    expect(await outcome(() => issue(world, draw, seenNow(world, draw)))).toBe('clock');
  });

  it('draws that nobody answers still run out while the clock stands an hour back', async () => {
    const world = create();
    drawn(world);
    world.clockAhead = -hour;
    const later = drawn(world);
    world.time += 31 * second;
    expect(await outcome(() => issue(world, later, seenNow(world, later)))).toBe('unknown-draw');
    expect(world.parts.draws.size).toBe(0);
  });

  it('is not made to look wrong by evidence that comes late, nor by two agents of six', async () => {
    const world = create();
    const draw = drawn(world);
    const early = evidence(draw, 4);
    world.time += 29 * second;
    expect(await outcome(() => issue(world, draw, early))).toBe('issued');
    const next = drawn(world);
    const liars = next.agents
      .slice(0, 2)
      .map((agent) => observe(agent, next, { observedAt: world.time - 100 * second }));
    const honest = next.agents.slice(2).map((agent) => observe(agent, next, { observedAt: world.time }));
    expect(await outcome(() => issue(world, next, [...liars, ...honest]))).toBe('issued');
  });

  it('is not judged by too few', async () => {
    const world = create();
    const draw = drawn(world);
    const three = draw.agents
      .slice(0, 3)
      .map((agent) => observe(agent, draw, { observedAt: world.time + hour }));
    expect(await outcome(() => issue(world, draw, three))).toBe('no-quorum');
    expect(world.parts.clock.refusal).toBeUndefined();
  });

  it('is not judged by times that nobody signed', async () => {
    const world = create();
    const draw = drawn(world);
    const forged = seenNow(world, draw, 6).map((one) => ({ ...one, signature: new Uint8Array(70) }));
    expect(await outcome(() => issue(world, draw, forged))).toBe('no-quorum');
    expect(world.parts.clock.offsetMs).toBe(0);
  });
});
