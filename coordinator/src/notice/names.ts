/** Domain names of strangers, as they may stand in a mail. */
import { domainToUnicode } from 'node:url';

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * A name that DNS can be asked about (RFC 1035 section 2.3.4; underscores do occur): A-labels, lower case, at
 * least two labels, without the final dot and the asterisk of a wildcard.
 */
export function isDnsName(name: string): boolean {
  const labels = name.split('.');
  return name.length <= 253 && labels.length >= 2 && labels.every((one) => label.test(one));
}

/** A name out of a certificate in printable ASCII and without spaces; whatever else it holds becomes `?`. */
export const asciiName = (name: string): string => name.slice(0, 253).replace(/[^\x21-\x7e]/g, '?');

/** Scripts that have letters which look like letters of another; a label of several is not shown. */
const scripts = [
  /\p{Script=Latin}/u,
  /\p{Script=Cyrillic}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Armenian}/u,
  /\p{Script=Hebrew}/u,
  /\p{Script=Arabic}/u,
];
/** Letters, their marks, digits: nothing that is invisible, a symbol or unassigned (RFC 5892 has a few more). */
const uLabel = /^[\p{L}\p{M}\p{Nd}_-]+$/u;

/**
 * The name with its U-labels (RFC 5890), for people, or undefined where it has none or one that should not be
 * shown: an invalid A-label, mixed scripts, characters that are not of a script. Never to be compared or looked up.
 */
export function unicodeName(name: string): string | undefined {
  if (!name.split('.').some((one) => one.startsWith('xn--'))) return undefined;
  const wildcard = name.startsWith('*.') ? '*.' : '';
  const shown = domainToUnicode(name.slice(wildcard.length));
  const labels = shown.split('.');
  const safe = labels.every((one) => {
    // What is left as an A-label could not be decoded.
    if (one.startsWith('xn--')) return false;
    return uLabel.test(one) && scripts.filter((script) => script.test(one)).length <= 1;
  });
  return shown !== '' && safe ? wildcard + shown : undefined;
}
