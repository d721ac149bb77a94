/**
 * A delivery as a call of a webhook: CMS SignedData around JSON, like all statements here. It names whom it is for,
 * so that nobody can pass it on as his own, and has an id by which a second try is told.
 */
import { formatAddress } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import { type HttpExchange, PkiError, parseCertificate, subjectAltNames } from '@mecai/pki';
import type { Identity } from '../mail/identity.ts';
import { type Attempt, shown } from '../mail/mailer.ts';
import { signedJson } from '../mail/smime.ts';
import { type Notice, decodeNotice, sha256Hex } from './notice.ts';
import type { Delivery } from './outbox.ts';

export interface WebhookSenderParts {
  readonly database: Database;
  readonly identity: Identity;
  /** Through the address guard, without redirects. */
  readonly exchange: HttpExchange;
  /** Where this voucher authority is reached, without a final slash. */
  readonly publicUrl: string;
  readonly now: () => number;
}

/** What it answers is of no interest. Octets. */
const maxOctets = 16_384;

/** @returns one try @throws DatabaseError */
export function webhookSender({ database, identity, exchange, publicUrl, now }: WebhookSenderParts) {
  return async ({ id, recipient, about }: Delivery): Promise<Attempt> => {
    const [row] = await database.query<{ content: string }>('select content from notice where id = $1', [
      about,
    ]);
    if (!row) return { outcome: 'refused', detail: 'there is nothing to say any more' };
    const at = new Date(now());
    const call = {
      type: 'mecai-notice',
      from: publicUrl,
      to: recipient,
      id,
      at: at.toISOString(),
      notice: noticeJson(decodeNotice(row.content), publicUrl),
    };
    return post(exchange, recipient, signedJson(call, identity, at));
  };
}

/** One POST of signed JSON. Any 2xx is success; 410 says that nobody is there any more; all else may pass. */
export async function post(exchange: HttpExchange, url: string, octets: Uint8Array): Promise<Attempt> {
  try {
    const body = { type: 'application/cms', octets };
    const { status } = await exchange({ url, body, maxOctets });
    const outcome = status >= 200 && status < 300 ? 'sent' : status === 410 ? 'refused' : 'failed';
    return { outcome, detail: `status ${status}` };
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return { outcome: 'failed', detail: shown(error.message) };
  }
}

/** Member names and times as everywhere in the project's JSON: base64 for bytes, RFC 3339 for times. */
export function noticeJson(notice: Notice, publicUrl: string): Readonly<Record<string, unknown>> {
  const { kind, chain, endpoint, requester, authenticated, seenAt, holdUntil, perspectives } = notice;
  const leaf = chain[0]!;
  const sha256 = sha256Hex(leaf);
  const time = (at: number) => new Date(at).toISOString();
  return {
    kind,
    certificate: Buffer.from(leaf).toString('base64'),
    sha256,
    names: subjectAltNames(parseCertificate(leaf)).dns,
    endpoint: { ...endpoint, addresses: endpoint.addresses.map(formatAddress) },
    requester: formatAddress(requester),
    authenticated,
    seenAt: time(seenAt),
    ...(holdUntil !== undefined && { holdUntil: time(holdUntil) }),
    perspectives,
    objectUrl: `${publicUrl}/certificates/${sha256}`,
  };
}
