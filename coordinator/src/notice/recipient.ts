/**
 * Who can be told. Addresses come from registries, CAA records and strangers, and go into SMTP commands, headers
 * and connections: what is not plainly one is none.
 */
import { isDnsName } from './names.ts';

/** `mailto:` with one address, or the URL of a webhook. */
export type Recipient = string;

export const media = ['mail', 'webhook', 'call'] as const;
export type Medium = (typeof media)[number];

export const mediumOf = (recipient: Recipient): Medium =>
  recipient.startsWith('mailto:') ? 'mail' : recipient.startsWith('tel:') ? 'call' : 'webhook';

/**
 * A dot-atom (RFC 5321 section 4.1.2) of characters that no mail server takes for a route, a pipe or a file, at a
 * domain name. Quoted strings, address literals and SMTPUTF8 are refused.
 */
const localPart = /^[a-z0-9_][a-z0-9_+=&'~#-]*(\.[a-z0-9_+=&'~#-]+)*$/;

/** The address in lower case, which hardly a server tells apart, or undefined for what is none. */
export function mailAddress(text: string): string | undefined {
  const address = text.toLowerCase();
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at);
  const domain = address.slice(at + 1);
  // RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3; a path has brackets around it.
  const fits = at >= 1 && local.length <= 64 && address.length <= 254;
  return fits && localPart.test(local) && isMailDomain(domain) ? address : undefined;
}

/** A host name with a top-level domain that is not a number, or it would be an address. */
const isMailDomain = (domain: string) => isDnsName(domain) && !domain.includes('_') && !/\.\d+$/.test(domain);

const maxUrl = 2_000;
const maxAddresses = 5;

/** A webhook's URL in canonical form: a host name, no user, no fragment. */
export function webhookUrl(text: string, schemes: readonly string[] = ['https:']): Recipient | undefined {
  if (text.length > maxUrl || /[^\x21-\x7e]/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const plain = url.username === '' && url.password === '' && url.hash === '';
  return plain && schemes.includes(url.protocol) && isMailDomain(url.hostname) ? url.href : undefined;
}

/** The addresses of a `mailto:` URL (RFC 6068), at most five; its header fields are left where they are. */
export function mailtoAddresses(url: string): string[] {
  const [, to] = /^mailto:([^?]*)/i.exec(url) ?? [];
  if (to === undefined || to.length > maxUrl) return [];
  const decoded = to.split(',').map((one) => {
    try {
      return decodeURIComponent(one);
    } catch {
      return '';
    }
  });
  return decoded.flatMap((one) => mailAddress(one) ?? []).slice(0, maxAddresses);
}

/** What a CAA `iodef` names: `mailto`, `http` or `https` (RFC 8659 section 4.4), every other scheme nothing. */
export function iodefRecipients(url: string): Recipient[] {
  if (/^mailto:/i.test(url)) return mailtoAddresses(url).map((address) => `mailto:${address}`);
  const webhook = webhookUrl(url, ['https:', 'http:']);
  return webhook === undefined ? [] : [webhook];
}

/** An E.164 number as `tel:+…` (RFC 3966), or undefined: local numbers cannot be called from elsewhere. */
export function phoneNumber(text: string): Recipient | undefined {
  const bare = text
    .replace(/^tel:/i, '')
    .replace(/;.*$/s, '')
    .replace(/[ ().-]/g, '');
  return /^\+[1-9]\d{6,14}$/.test(bare) ? `tel:${bare}` : undefined;
}

/** What a mail server answers, with nobody named in it: for logs. */
export const withoutAddresses = (text: string): string => text.replaceAll(/[^\s<>:;,"]+@/g, '…@');
