/** What a domain owner is told of: a certificate, where it was seen, and who asked for a voucher. */
import { createHash } from 'node:crypto';
import { formatAddress, parseAddress } from '@mecai/addresses';
import type { Statements } from '@mecai/database';
import { parseCertificate, subjectAltNames } from '@mecai/pki';
import type { PerspectiveOutcome } from '@mecai/voucher';
import { isDnsName } from './names.ts';

export interface Endpoint {
  /** 4 or 16 octets each. */
  readonly addresses: readonly Uint8Array[];
  readonly port: number;
  readonly serverName: string;
  readonly startTls: string;
}

export interface Notice {
  /** `unexpected-address`: the certificate is known, but not from there. */
  readonly kind: 'first-sight' | 'unexpected-address';
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly endpoint: Endpoint;
  /** Address, 4 or 16 octets. */
  readonly requester: Uint8Array;
  /** The requester proved to hold the certificate's key. */
  readonly authenticated: boolean;
  /** Milliseconds since 1970. */
  readonly seenAt: number;
  /** Until when no voucher is issued, milliseconds since 1970; absent where nothing holds. */
  readonly holdUntil?: number;
  readonly perspectives: readonly PerspectiveOutcome[];
}

/**
 * Puts a notice into the outbox, in the transaction that records what it is about: either both happen or neither.
 * Once for each certificate; for `unexpected-address` once for each certificate and endpoint.
 *
 * @throws DatabaseError
 */
export async function enqueueNotice(statements: Statements, notice: Notice): Promise<void> {
  const names = noticeNames(notice).map((name) => [name, 0]);
  await statements.query(
    `insert into notice (id, content, enqueued_at, names, failed, next_at, leased_until, lease)
     values ($1, $2, $3, $4, '[]', $3, 0, '') on conflict (id) do nothing`,
    [noticeId(notice), encodeNotice(notice), notice.seenAt, JSON.stringify(names)],
  );
}

/** Names that DNS can be asked about, each once, without the asterisk of wildcards. */
export function noticeNames({ chain }: Pick<Notice, 'chain'>): string[] {
  const { dns } = subjectAltNames(parseCertificate(chain[0]!));
  return [...new Set(dns.map((name) => name.replace(/^\*\./, '')).filter(isDnsName))];
}

/** SHA-256 of the leaf, lower-case hexadecimal; an endpoint behind it where there was one too many. */
export function noticeId({ kind, chain, endpoint }: Notice): string {
  const fingerprint = sha256Hex(chain[0]!);
  if (kind === 'first-sight') return fingerprint;
  return `${fingerprint} ${endpoint.addresses.map(formatAddress).join(' ')} ${endpoint.port}`;
}

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

interface Stored {
  readonly kind: Notice['kind'];
  readonly chain: readonly string[];
  readonly endpoint: Omit<Endpoint, 'addresses'> & { readonly addresses: readonly string[] };
  readonly requester: string;
  readonly authenticated: boolean;
  readonly seenAt: number;
  readonly holdUntil?: number;
  readonly perspectives: readonly PerspectiveOutcome[];
}

function encodeNotice(notice: Notice): string {
  const { chain, endpoint, requester } = notice;
  const stored: Stored = {
    ...notice,
    // Nothing is told of what stands above it.
    chain: [Buffer.from(chain[0]!).toString('base64')],
    endpoint: { ...endpoint, addresses: endpoint.addresses.map(formatAddress) },
    requester: formatAddress(requester),
  };
  return JSON.stringify(stored);
}

/** From our own table. */
export function decodeNotice(text: string): Notice {
  const stored: Stored = JSON.parse(text);
  const { chain, endpoint, requester } = stored;
  return {
    ...stored,
    chain: chain.map((base64) => Uint8Array.from(Buffer.from(base64, 'base64'))),
    endpoint: { ...endpoint, addresses: endpoint.addresses.map(parseAddress) },
    requester: parseAddress(requester),
  };
}
