/**
 * Calls made by a telephony provider: CMS SignedData around JSON, POSTed to its URL; 2xx says that it took the call.
 *
 *   { "type": "mecai-call", "from": URL of the VA, "id": of the call, "at": time, "phone": "+…", "text": to be read }
 */
import type { HttpExchange } from '@mecai/pki';
import type { Identity } from '../mail/identity.ts';
import type { Attempt } from '../mail/mailer.ts';
import { signedJson } from '../mail/smime.ts';
import type { Delivery } from '../notice/outbox.ts';
import { post } from '../notice/webhook-sender.ts';
import { callText } from './call-sheet.ts';
import { approvalCode } from './codes.ts';

export interface CallSenderParts {
  readonly url: string;
  readonly exchange: HttpExchange;
  readonly identity: Identity;
  readonly secret: Uint8Array;
  /** Without a final slash. */
  readonly publicUrl: string;
  /** How long a transaction lasts, milliseconds: after that a call is of no use. */
  readonly lastsMs: number;
  readonly now: () => number;
}

/** @returns one try */
export function callSender({ url, exchange, identity, secret, publicUrl, lastsMs, now }: CallSenderParts) {
  return async ({ id, recipient, about, enqueuedAt }: Delivery): Promise<Attempt> => {
    if (now() - enqueuedAt >= lastsMs) return { outcome: 'refused', detail: 'the transaction has expired' };
    const [number = '', domain = ''] = about.split(' ');
    const at = new Date(now());
    const text = callText({ domain, code: approvalCode(secret, number, domain) }, number, publicUrl);
    const phone = recipient.slice('tel:'.length);
    const call = { type: 'mecai-call', from: publicUrl, id, at: at.toISOString(), phone, text };
    return post(exchange, url, signedJson(call, identity, at));
  };
}
