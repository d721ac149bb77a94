/** Hands mails to the operator's mail server (SMTP, RFC 5321), which delivers or sends a bounce. */
import { createTransport } from 'nodemailer';

export interface SmtpOptions {
  readonly host: string;
  readonly port: number;
  /** `starttls` and `implicit` insist on a good certificate; `none` is for a server on the same machine. */
  readonly tls: 'none' | 'starttls' | 'implicit';
  /** PEM of the roots that the server is judged by, instead of the public ones. */
  readonly ca?: string;
  readonly user?: string;
  readonly password?: string;
  /** For connection, greeting and each silence, milliseconds. */
  readonly timeoutMs: number;
}

/** What became of one try. */
export type Attempt =
  | { readonly outcome: 'sent'; readonly detail: string }
  /** Will not be different the next time. */
  | { readonly outcome: 'refused'; readonly detail: string }
  | { readonly outcome: 'failed'; readonly detail: string };

export interface Envelope {
  /** Where bounces go. */
  readonly from: string;
  readonly to: string;
}

/** Never rejects; an aborted signal ends the try as failed. */
export type SendMail = (message: Buffer, envelope: Envelope, signal: AbortSignal) => Promise<Attempt>;

export interface Mailer {
  readonly send: SendMail;
  /** Takes leave of the server, once it has what it is being sent. */
  readonly close: () => void;
}

/** Milliseconds a connection waits for the next mail. */
const idleMs = 5_000;

export function mailer({ host, port, tls, ca, user, password, timeoutMs }: SmtpOptions): Mailer {
  const transport = createTransport({
    // One connection for mails that follow each other: greeting, TLS and login take servers longer than the mail.
    pool: true,
    maxConnections: 1,
    // A connection that was kept and is found dead is replaced, as long as nothing of the mail has gone into it.
    maxRequeues: 1,
    idleTimeout: idleMs,
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    ...(ca !== undefined && { tls: { ca } }),
    ...(user !== undefined && { auth: { user, pass: password ?? '' } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const send: SendMail = async (raw, { from, to }, signal) => {
    try {
      const { response } = await transport.sendMail({ envelope: { from, to: [to] }, raw, signal });
      return { outcome: 'sent', detail: shown(response) };
    } catch (error) {
      const { message, command, responseCode } = error as Error & { command?: string; responseCode?: number };
      // Before RCPT a 5xx speaks of us, of our configuration or of the server's health, not of the recipient.
      const aboutMail = command === 'RCPT TO' || command === 'DATA';
      const permanent = aboutMail && (responseCode ?? 0) >= 500;
      return { outcome: permanent ? 'refused' : 'failed', detail: shown(message) };
    }
  };
  return { send, close: () => transport.close() };
}

/** Words of a mail server, for logs and lists. */
export const shown = (text: string): string => text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300);
