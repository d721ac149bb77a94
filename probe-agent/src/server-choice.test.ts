import { describe, expect, it } from 'vitest';
import { ServerChoice } from './server-choice.ts';

const servers = ['leaf', 'one', 'two'].map((listen) => ({ listen }));

function choice() {
  let now = 1_000_000;
  const one = new ServerChoice(() => now);
  return { one, next: () => one.next(servers).listen, pass: (ms: number) => void (now += ms) };
}

describe('the next NATS server', () => {
  it('is the first that was not tried just now, and the one tried longest ago when all were', () => {
    const { next, pass } = choice();
    const tried = Array.from({ length: 5 }, () => {
      pass(100);
      return next();
    });
    expect(tried).toEqual(['leaf', 'one', 'two', 'leaf', 'one']);
    pass(5_000);
    expect(next()).toBe('leaf');
  });

  it('is not the one that has just been lost', () => {
    const { one, next, pass } = choice();
    one.connected('leaf');
    pass(3_600_000);
    expect(next()).toBe('one');
    one.connected('one');
    pass(5_000);
    expect(next()).toBe('leaf');
  });

  it('may be better than the one that is left on purpose', () => {
    const { one, next, pass } = choice();
    one.connected('two');
    pass(60_000);
    one.leave();
    expect(next()).toBe('leaf');
    expect(one.avoids('two')).toBe(false);
  });

  it('is none where nobody was heard, for a while', () => {
    const { one, next, pass } = choice();
    one.avoid('leaf', 60_000);
    pass(59_000);
    expect(next()).toBe('one');
    pass(1_000);
    expect(next()).toBe('leaf');
  });
});
