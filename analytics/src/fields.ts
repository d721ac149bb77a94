import { hash } from 'node:crypto';
import { KeyType, type Target } from '@mecai/proto';

/** Marks what no field may be; the readers turn it into the fault. */
export class Unfit extends Error {
  readonly fault: 'malformed' | 'too-large';

  constructor(fault: 'malformed' | 'too-large', what: string) {
    super(what);
    this.fault = fault;
  }
}

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

export const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

/** 16 octets tell rows apart: two of 10¹² share one with a probability below 10⁻¹⁴. */
export const rowId = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex').slice(0, 32);

/** Address as ClickHouse reads it into IPv6; of 4 or 16 octets. */
export function ipv6(address: Uint8Array): string {
  if (address.length === 4) return `::ffff:${address.join('.')}`;
  if (address.length !== 16) throw new Unfit('malformed', 'address');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((address[i]! << 8) | address[i + 1]!).toString(16));
  return groups.join(':');
}

export function atMost(max: number, value: number, what: string): number {
  if (value > max) throw new Unfit('malformed', what);
  return value;
}

/** DateTime64 ends with the year 2299. */
const lastTime = Date.UTC(2299, 0);

export const time = (ms: number): number => atMost(lastTime, ms, 'time');

export function few<T>(max: number, list: readonly T[], what: string): readonly T[] {
  if (list.length > max) throw new Unfit('too-large', what);
  return list;
}

export function short(max: number, text: string, what: string): string {
  if (text.length > max) throw new Unfit('too-large', what);
  return text;
}

/** Half a surrogate pair, which a cut can leave, is no text for ClickHouse. */
export const cut = (max: number, text: string): string => text.slice(0, max).toWellFormed();

export const keyTypeText = (type: KeyType): string =>
  type === KeyType.KEY_TYPE_RSA ? 'rsa' : type === KeyType.KEY_TYPE_ECDSA ? 'ecdsa' : 'any';

export interface TargetFields {
  readonly address: string;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly key_type: string;
}

/** Names are at most 253 octets long (RFC 1035 section 2.3.4). */
export function targetFields(target: Target | undefined): TargetFields {
  if (!target) throw new Unfit('malformed', 'target');
  return {
    address: ipv6(target.address),
    port: atMost(0xffff, target.port, 'port'),
    server_name: short(253, target.serverName, 'serverName'),
    start_tls: short(32, target.startTls, 'startTls'),
    key_type: keyTypeText(target.keyType),
  };
}

/** More than any server of good will sends; the probe stops earlier. */
export const maxCertificates = 100;
