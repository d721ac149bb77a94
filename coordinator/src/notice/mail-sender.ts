/** A delivery as a signed mail. */
import type { Database } from '@mecai/database';
import type { Identity } from '../mail/identity.ts';
import type { Attempt, SendMail } from '../mail/mailer.ts';
import { signedMail } from '../mail/message.ts';
import { returnPath } from './bounce.ts';
import { noticeSubject, noticeText } from './notice-text.ts';
import { decodeNotice, noticeNames } from './notice.ts';
import type { Delivery } from './outbox.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface MailSenderParts {
  readonly database: Database;
  readonly identity: Identity;
  readonly sendMail: SendMail;
  readonly from: string;
  readonly replyTo?: string | undefined;
  /** Address whose local part takes `+id` for the return path; bounces come back there. */
  readonly bounces: string;
  /** Where this voucher authority is reached, without a final slash. */
  readonly publicUrl: string;
  readonly subscriptions: Pick<Subscriptions, 'unsubscribeToken'>;
  readonly now: () => number;
}

/** @returns one try @throws DatabaseError */
export function mailSender(parts: MailSenderParts) {
  return async (delivery: Delivery, signal: AbortSignal): Promise<Attempt> => {
    const { database, identity, from, replyTo } = parts;
    const words = await wordsOf(database, delivery, parts.publicUrl);
    if (!words) return { outcome: 'refused', detail: 'there is nothing to say any more' };
    const to = delivery.recipient.slice('mailto:'.length);
    const token =
      delivery.source === 'subscription'
        ? await parts.subscriptions.unsubscribeToken(delivery.recipient, words.names)
        : undefined;
    const url = token === undefined ? undefined : `${parts.publicUrl}/unsubscribe/${token}`;
    const ending = url === undefined ? '' : `\nYou subscribed to these notices. To end that:\n  ${url}\n`;
    const mail = signedMail(
      {
        id: delivery.id,
        from,
        to,
        ...(replyTo !== undefined && { replyTo }),
        subject: words.subject,
        text: words.text + ending,
        ...(url !== undefined && { unsubscribeUrl: url }),
        date: new Date(parts.now()),
      },
      identity,
    );
    return parts.sendMail(mail, { from: returnPath(parts.bounces, delivery.id), to }, signal);
  };
}

async function wordsOf(
  database: Database,
  { kind, about }: Delivery,
  publicUrl: string,
): Promise<{ subject: string; text: string; names: readonly string[] } | undefined> {
  if (kind === 'notice') {
    const [row] = await database.query<{ content: string }>('select content from notice where id = $1', [
      about,
    ]);
    if (!row) return undefined;
    const notice = decodeNotice(row.content);
    const names = noticeNames(notice);
    return { subject: noticeSubject(notice), text: noticeText(notice, publicUrl), names };
  }
  const [letter] = await database.query<{ subject: string; content: string }>(
    'select subject, content from letter where id = $1',
    [about],
  );
  return letter && { subject: letter.subject, text: letter.content, names: [] };
}
