import { isIPv4, isIPv6 } from 'node:net';

export class AddressError extends Error {
  override readonly name = 'AddressError';
  readonly code: 'not-an-address' | 'not-a-prefix';

  constructor(code: AddressError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A literal address: no short, octal or hexadecimal forms, and no zone. */
export const isAddress = (text: string): boolean => isIPv4(text) || (isIPv6(text) && !text.includes('%'));

/** The 4 or 16 octets of a literal address, see `isAddress`. */
export function parseAddress(text: string): Uint8Array {
  if (!isAddress(text)) {
    throw new AddressError('not-an-address', `not an IP address: ${JSON.stringify(text.slice(0, 64))}`);
  }
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  const bytes = new Uint8Array(16);
  // A dotted tail is two groups.
  const groupsOf = (part: string) =>
    part === ''
      ? []
      : part.split(':').flatMap((group) => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)];
          const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number];
          return [(a << 8) | b, (c << 8) | d];
        });
  const [head = '', tail = ''] = text.split('::');
  const first = groupsOf(head);
  const last = groupsOf(tail);
  const groups = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  groups.forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  });
  return bytes;
}

/** Canonical text (RFC 5952); IPv4-mapped addresses are written as IPv6 groups. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new AddressError('not-an-address', `${bytes.length} octets`);
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(':');
  return `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`;
}

export interface Prefix {
  readonly address: Uint8Array;
  /** Bits, 0 to 32 or 128. */
  readonly length: number;
}

/** `192.0.2.0/24`; bits beyond the length must be zero. */
export function parsePrefix(text: string): Prefix {
  const slash = text.lastIndexOf('/');
  const digits = text.slice(slash + 1);
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(digits)) {
    throw new AddressError('not-a-prefix', `not a prefix: ${text}`);
  }
  const address = parseAddress(text.slice(0, slash));
  const length = Number(digits);
  if (length > address.length * 8) throw new AddressError('not-a-prefix', `prefix too long: ${text}`);
  const prefix = { address, length };
  if (!sameBytes(truncate(address, length), address)) {
    throw new AddressError('not-a-prefix', `host bits set: ${text}`);
  }
  return prefix;
}

export function contains(prefix: Prefix, address: Uint8Array): boolean {
  if (address.length !== prefix.address.length) return false;
  const whole = prefix.length >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== prefix.address[i]) return false;
  const bits = prefix.length & 7;
  if (bits === 0) return true;
  const mask = (0xff00 >> bits) & 0xff;
  return (address[whole]! & mask) === prefix.address[whole];
}

/** The address with all but the first `length` bits cleared. */
export function truncate(address: Uint8Array, length: number): Uint8Array {
  return address.map((octet, i) => {
    const bits = Math.min(Math.max(length - 8 * i, 0), 8);
    return octet & ((0xff00 >> bits) & 0xff);
  });
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
