import { badCertificate } from './failure.ts';

// Only the way to a key and to SCT lists is walked here; judging the rest is the validator's work.

export const integer = 0x02;
export const octetString = 0x04;
export const sequence = 0x30;
/** [n] EXPLICIT, or [n] of something constructed. */
export const tagged = (number: number): number => 0xa0 | number;

/** Where one DER element stands: offsets of its tag, of its content, and behind it. */
export interface Element {
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

/**
 * The element at `at`, which must have this tag and end within `limit`. Lengths up to three octets.
 * @throws ProbeFailure `bad-certificate`
 */
export function element(der: Uint8Array, at: number, limit: number, tag: number): Element {
  if (at + 2 > limit || der[at] !== tag) throw badCertificate('the certificate is not the DER it should be');
  let length = der[at + 1]!;
  let content = at + 2;
  if (length >= 0x80) {
    const size = length & 0x7f;
    if (size === 0 || size > 3 || content + size > limit) {
      throw badCertificate('a length in the certificate is not DER');
    }
    length = 0;
    for (let i = 0; i < size; i++) length = (length << 8) | der[content++]!;
  }
  if (content + length > limit) throw badCertificate('an element of the certificate is cut short');
  return { start: at, content, end: content + length };
}

// TBSCertificate ::= SEQUENCE { version [0] EXPLICIT OPTIONAL, serialNumber INTEGER, signature SEQUENCE,
//   issuer SEQUENCE, validity SEQUENCE, subject SEQUENCE, subjectPublicKeyInfo SEQUENCE,
//   issuerUniqueID [1] OPTIONAL, subjectUniqueID [2] OPTIONAL, extensions [3] EXPLICIT OPTIONAL }
// RFC 5280 section 4.1

/** subjectPublicKeyInfo of a TBSCertificate. */
export function publicKeyElement(der: Uint8Array, tbs: Element): Element {
  let at = tbs.content;
  if (der[at] === tagged(0)) at = element(der, at, tbs.end, tagged(0)).end;
  at = element(der, at, tbs.end, integer).end;
  for (let skipped = 0; skipped < 4; skipped++) at = element(der, at, tbs.end, sequence).end;
  return element(der, at, tbs.end, sequence);
}
