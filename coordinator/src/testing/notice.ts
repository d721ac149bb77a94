import type { Notice } from '../notice/notice.ts';
import { chainOf, serverName, webLeaf } from './chains.ts';

/** A first sight of a certificate for these names. */
export function testNotice(names: readonly string[], rest: Partial<Notice> = {}): Notice {
  return {
    kind: 'first-sight',
    chain: chainOf(webLeaf({ dnsNames: [...names] })),
    endpoint: { addresses: [Uint8Array.of(192, 0, 2, 1)], port: 443, serverName, startTls: '' },
    requester: Uint8Array.of(203, 0, 113, 5),
    authenticated: true,
    seenAt: Date.UTC(2026, 10, 21, 12),
    holdUntil: Date.UTC(2026, 10, 24, 12),
    perspectives: [
      { country: 'DE', rir: 'ripencc', asn: 64497, ipv4: { verdict: 'match' } },
      { country: 'SG', rir: 'apnic', asn: 64501, ipv4: { verdict: 'inconclusive', code: 'timeout' } },
    ],
    ...rest,
  };
}
