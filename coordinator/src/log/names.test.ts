import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameOrFewerNames } from './names.ts';

const dns = (...names: string[]) => ({ dns: names, ip: [] });
const ip = (...octets: number[][]) => ({ dns: [], ip: octets.map((one) => Uint8Array.from(one)) });

describe('the names of a renewal', () => {
  it.each([
    ['the same', dns('a.test', 'b.test'), dns('b.test', 'a.test'), true],
    ['fewer', dns('a.test'), dns('b.test', 'a.test'), true],
    ['one more', dns('a.test', 'c.test'), dns('a.test'), false],
    ['a host that the wildcard stood for', dns('www.a.test'), dns('*.a.test'), true],
    ['a host two labels below the wildcard', dns('x.www.a.test'), dns('*.a.test'), false],
    ['the name above the wildcard', dns('a.test'), dns('*.a.test'), false],
    ['the same wildcard', dns('*.a.test'), dns('*.a.test'), true],
    ['a wildcard where hosts were', dns('*.a.test'), dns('www.a.test', 'mail.a.test'), false],
    ['a wildcard below a wildcard', dns('*.www.a.test'), dns('*.a.test'), false],
    ['a wildcard where there was one above', dns('*.a.test'), dns('*.test'), false],
    ['a host below a top-level wildcard, which stands for nothing', dns('a.test'), dns('*.test'), false],
    ['an A-label for the same A-label', dns('xn--bcher-kva.test'), dns('xn--bcher-kva.test'), true],
    ['an A-label under a wildcard', dns('xn--bcher-kva.a.test'), dns('*.a.test'), true],
    ['the same address', ip([192, 0, 2, 1]), ip([192, 0, 2, 1]), true],
    ['another address', ip([192, 0, 2, 2]), ip([192, 0, 2, 1]), false],
    ['an address beside a name', ip([192, 0, 2, 1]), dns('a.test'), false],
  ])('that are %s', (_, later, earlier, expected) => {
    expect(sameOrFewerNames(later, earlier)).toBe(expected);
  });

  it('are the same or fewer exactly if they stand for no host that the others did not stand for', () => {
    const label = fc.constantFrom('a', 'b', '*');
    const name = fc
      .tuple(label, fc.constantFrom('x.test', 'a.x.test', 'y.test'))
      .map((parts) => parts.join('.'));
    const names = fc.array(name, { maxLength: 4 });
    // `other` is a host that nobody lists: only wildcards stand for it.
    const universe = ['a', 'b', 'other'].flatMap((host) =>
      ['x.test', 'a.x.test', 'y.test'].map((zone) => `${host}.${zone}`),
    );
    const hosts = (given: readonly string[]) =>
      new Set(universe.filter((host) => given.includes(host) || given.includes(host.replace(/^[^.]+/, '*'))));
    fc.assert(
      fc.property(names, names, (later, earlier) => {
        const known = hosts(earlier);
        const nothingNew = [...hosts(later)].every((host) => known.has(host));
        expect(sameOrFewerNames(dns(...later), dns(...earlier))).toBe(nothingNew);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are compared in good time where there are 2,000', () => {
    const many = Array.from({ length: 2_000 }, (_, i) => `host-${i}.a.test`);
    expect(sameOrFewerNames(dns(...many), dns(...many.toReversed()))).toBe(true);
    expect(sameOrFewerNames(dns(...many), dns('*.a.test', ...many.slice(0, 1_000)))).toBe(true);
    expect(sameOrFewerNames(dns(...many, 'new.test'), dns(...many))).toBe(false);
  });
});
