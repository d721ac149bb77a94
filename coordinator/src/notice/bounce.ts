/** Bounces: each mail has a return path of its own (VERP), so the address that a bounce comes to says which mail. */

/** `bounces+<id>@va.example`. */
export function returnPath(bounces: string, id: string): string {
  const at = bounces.lastIndexOf('@');
  return `${bounces.slice(0, at)}+${id}${bounces.slice(at)}`;
}

export interface Bounce {
  /** Of the delivery. */
  readonly id: string;
  /** Status and words of the server that gave up. */
  readonly detail: string;
}

/** Octets looked at: the report stands before the message that is returned. */
const maxOctets = 65_536;

/**
 * Reads a delivery status notification (RFC 3464) as a mail server puts it into a mailbox or a pipe. It is a bounce
 * only if it says `Action: failed`: that a mail is delayed, relayed or delivered is not. Anyone can write a mail like
 * this, but not without the id, which only the recipient of the mail has seen.
 *
 * @param message from the first header on
 * @param recipient the address it came to, where the server says it elsewhere than in the message's headers
 */
export function readBounce(message: Uint8Array, recipient = ''): Bounce | undefined {
  const text = Buffer.from(message.subarray(0, maxOctets)).toString('latin1').replace(/\r\n/g, '\n');
  const end = text.indexOf('\n\n');
  const head = unfolded(end < 0 ? text : text.slice(0, end));
  const report = unfolded(text.slice(Math.max(end, 0)));
  const to = head
    .filter((line) => /^(to|delivered-to|x-original-to|envelope-to):/i.test(line))
    .concat(recipient)
    .join('\n');
  const [, id] = /\+([0-9a-f]{32})@/i.exec(to) ?? [];
  if (id === undefined || field(report, 'action')?.toLowerCase() !== 'failed') return undefined;
  const words = [field(report, 'status'), field(report, 'diagnostic-code')].filter(
    (one) => one !== undefined,
  );
  const detail = `bounced: ${words.join(' ')}`.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300);
  return { id: id.toLowerCase(), detail };
}

/** RFC 5322 section 2.2.3. */
const unfolded = (text: string): string[] => text.replace(/\n[ \t]+/g, ' ').split('\n');

const field = (lines: readonly string[], name: string): string | undefined => {
  const line = lines.find((one) => one.toLowerCase().startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim();
};
