/** IP addresses as certificates carry them (RFC 5280 section 4.2.1.6) and as people write them. */
import { isIPv4, isIPv6 } from 'node:net';

/** 4 or 16 octets of a literal without zone or prefix, or undefined. */
export function ipOctets(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  let plain = text;
  const dotted = text.slice(text.lastIndexOf(':') + 1);
  if (dotted.includes('.')) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number);
    const last = [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16)).join(':');
    plain = text.slice(0, text.length - dotted.length) + last;
  }
  const [head = '', tail] = plain.split('::');
  const before = groups(head);
  const after = groups(tail);
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Uint8Array.from(
    all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16)]),
  );
}

/** Dotted decimal, or the form of RFC 5952 section 4. */
export function ipText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  const all = Array.from({ length: 8 }, (_, i) => (octets[2 * i]! << 8) | octets[2 * i + 1]!);
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && all[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return hex(all);
  return `${hex(all.slice(0, best.start))}::${hex(all.slice(best.start + best.length))}`;
}

const groups = (part: string | undefined) => (part ? part.split(':') : []);

const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');

export const sameOctets = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
