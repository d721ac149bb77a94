/** Mails: MIME (RFC 2045, 2046), signed as multipart/signed (RFC 8551 section 3.5.3). */
import { encode, wrap } from 'nodemailer/lib/qp';
import { type Identity } from './identity.ts';
import { detachedSignature } from './smime.ts';

export interface Mail {
  /** The same for each try, so that a duplicate can be told; letters, digits and hyphens. */
  readonly id: string;
  /** Addresses that `mailAddress` has passed. */
  readonly from: string;
  readonly to: string;
  readonly replyTo?: string;
  /** What is not printable ASCII comes out as `?`. */
  readonly subject: string;
  /** Lines of any length, any characters. */
  readonly text: string;
  /** Where the recipient ends a subscription, in one click (RFC 8058). */
  readonly unsubscribeUrl?: string;
  readonly date: Date;
}

const crlf = '\r\n';
/** Characters of a header line (RFC 5322 section 2.1.1). */
const lineLength = 78;

/** The whole message: 7-bit, CRLF, no line longer than 78 characters but those of one word. */
export function signedMail(mail: Mail, identity: Identity): Buffer {
  const entity = textEntity(mail.text);
  const signature = detachedSignature(Buffer.from(entity, 'ascii'), identity, mail.date);
  const lines =
    Buffer.from(signature)
      .toString('base64')
      .match(/.{1,76}/g) ?? [];
  // RFC 2046 section 5.1.1: it occurs in no part. Quoted-printable has "=" only before two hex digits.
  const boundary = `=_${mail.id}`;
  const { unsubscribeUrl: url, replyTo } = mail;
  const headers = [
    header('From', mail.from),
    header('To', mail.to),
    ...(replyTo === undefined ? [] : [header('Reply-To', replyTo)]),
    header('Subject', mail.subject),
    header('Date', mail.date.toUTCString().replace('GMT', '+0000')),
    header('Message-ID', messageId(mail)),
    // RFC 3834 section 5: nobody's holiday notice comes back.
    header('Auto-Submitted', 'auto-generated'),
    ...(url === undefined
      ? []
      : [
          header('List-Unsubscribe', `<${url}>`),
          header('List-Unsubscribe-Post', 'List-Unsubscribe=One-Click'),
        ]),
    header('MIME-Version', '1.0'),
    `Content-Type: multipart/signed; protocol="application/pkcs7-signature";${crlf} micalg=sha-256; boundary="${boundary}"`,
  ];
  return Buffer.from(
    [
      ...headers,
      '',
      'This is a signed message (S/MIME, RFC 8551).',
      `--${boundary}`,
      entity,
      `--${boundary}`,
      'Content-Type: application/pkcs7-signature; name="smime.p7s"',
      'Content-Transfer-Encoding: base64',
      'Content-Disposition: attachment; filename="smime.p7s"',
      '',
      ...lines,
      `--${boundary}--`,
      '',
    ].join(crlf),
    'ascii',
  );
}

export const messageId = ({ id, from }: Pick<Mail, 'id' | 'from'>): string =>
  `<${id}@${from.slice(from.lastIndexOf('@') + 1)}>`;

function textEntity(text: string): string {
  const clean = text
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    // oxlint-disable-next-line no-control-regex
    .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '?')
    .replace(/\n/g, crlf);
  const body = wrap(encode(clean), 76)
    // Mailboxes put ">" before it, and the signature breaks (RFC 8551 section 3.1.2).
    .replace(/^From /gm, '=46rom ');
  return [
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    body,
  ].join(crlf);
}

/** Folded at spaces (RFC 5322 section 2.2.3). Nothing in `value` ends the header or begins another. */
function header(name: string, value: string): string {
  const words = value
    .replace(/[^\x20-\x7e]/g, '?')
    .split(' ')
    .filter((word) => word !== '');
  const lines: string[] = [];
  let line = `${name}:`;
  for (const word of words) {
    if (line.length + 1 + word.length > lineLength && line !== `${name}:`) {
      lines.push(line);
      line = '';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join(crlf);
}
