/** Transaction numbers and approval codes, as they are read out over the telephone. */
import { createHmac } from 'node:crypto';

/** Of 12 digits: it only opens a page, and guessing one among few takes long enough. */
export const transactionNumber = (random: (below: number) => number): string =>
  Array.from({ length: 12 }, () => random(10)).join('');

/**
 * 8 digits for one domain of one transaction. Made from the secret, so that it is stored nowhere and every
 * coordinator can have it read out again; five wrong ones end the transaction.
 */
export function approvalCode(secret: Uint8Array, number: string, domain: string): string {
  const mac = createHmac('sha256', secret).update(`approval ${number} ${domain}`).digest();
  // 48 bits over 10^8: the first codes are more likely by less than a millionth.
  return String(mac.readUIntBE(0, 6) % 100_000_000).padStart(8, '0');
}

/** `1234 5678`, as people read them. */
export const grouped = (digits: string): string => digits.replace(/(?=(\d{4})+$)(?!^)/g, ' ');

/** What was typed, without what people put between digits. */
export const digitsOf = (text: string): string => text.replace(/[\s.-]/g, '');
