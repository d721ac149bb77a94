/** What a generated chain is, and the usual way to make one. */
import type { FaultCode } from '../index.ts';
import { authority, type Issued, now, server } from './issue.ts';

export interface GeneratedChain {
  readonly id: string;
  readonly anchors: readonly Issued[];
  /** Leaf first. */
  readonly chain: readonly Issued[];
  readonly name: { readonly dns: string } | { readonly ip: string };
  readonly now: Date;
  readonly expected: 'trusted' | FaultCode;
  /** Where openssl verify decides otherwise: what it does, and why that is no reason to follow it. */
  readonly openssl?: { readonly accepts: boolean; readonly because: string };
}

export const host = 'www.example.com';
export const root = authority('Root');

export function chain(
  id: string,
  expected: GeneratedChain['expected'],
  certificates: readonly Issued[],
  rest: Partial<GeneratedChain> = {},
): GeneratedChain {
  return { id, expected, chain: certificates, anchors: [root], name: { dns: host }, now, ...rest };
}

/** A chain of intermediates, the topmost first in `change`, and a server at its end; leaf first. */
export function below(
  anchor: Issued,
  changes: readonly Parameters<typeof authority>[1][],
  leaf: Parameters<typeof server>[2] = {},
): Issued[] {
  const out: Issued[] = [];
  let issuer = anchor;
  for (const [index, change] of changes.entries()) {
    issuer = authority(`Intermediate ${index + 1}`, { issuer, ...change });
    out.unshift(issuer);
  }
  return [server(host, issuer, leaf), ...out];
}

export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
export const plain = (count: number) => times(count, () => ({}));

/** openssl verify accepts, for a reason. */
export const accepted = (because: string): Pick<GeneratedChain, 'openssl'> => ({
  openssl: { accepts: true, because },
});
/** openssl verify refuses, for a reason. */
export const refused = (because: string): Pick<GeneratedChain, 'openssl'> => ({
  openssl: { accepts: false, because },
});
export const br = accepted('the Baseline Requirements ask for more than RFC 5280');
