import { describe, expect, it } from 'vitest';
import { matchesHostName, readPublicSuffixes } from './index.ts';

describe('a public suffix list', () => {
  const list =
    '// ===BEGIN ICANN DOMAINS===\ncom\nuk\nco.uk\n*.ck\n!www.ck\n公司.cn\n// ===END ICANN DOMAINS===\n// ===BEGIN PRIVATE DOMAINS===\ngithub.io\n// ===END PRIVATE DOMAINS===\n';
  const isPublicSuffix = readPublicSuffixes(list);

  it('has rules, wildcards and exceptions', () => {
    expect(['com', 'co.uk', 'x.ck', 'xn--55qx5d.cn'].map(isPublicSuffix)).toEqual([true, true, true, true]);
    expect(['example.com', 'www.ck', 'a.x.ck', 'github.io'].map(isPublicSuffix)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(readPublicSuffixes(list, { privateDomains: true })('github.io')).toBe(true);
  });

  it('keeps a wildcard from standing right above a suffix', () => {
    const names = { dns: ['*.co.uk', '*.example.co.uk'], ip: [] };
    expect(matchesHostName(names, 'example.co.uk')).toBe(true);
    expect(matchesHostName(names, 'example.co.uk', isPublicSuffix)).toBe(false);
    expect(matchesHostName(names, 'www.example.co.uk', isPublicSuffix)).toBe(true);
  });
});
