/** Whom a domain wants told: the `iodef` of its CAA records (RFC 8659 section 4.4). */
import type { CaaProperty, DnsClient } from './dns-client.ts';

/**
 * The relevant record set (RFC 8659 section 3): that of the name itself or else of its closest parent that has
 * one. A wildcard has the records of the name under its asterisk.
 *
 * @param name in A-labels, without the final dot
 * @throws CoordinatorError `dns-failed`
 */
export async function relevantCaa(dns: Pick<DnsClient, 'caa'>, name: string): Promise<CaaProperty[]> {
  for (let at = name.replace(/^\*\./, ''); at !== ''; at = parent(at)) {
    const found = await dns.caa(at);
    if (found.length > 0) return found;
  }
  return [];
}

/** Values of `iodef`, as they stand. */
export const iodefUrls = (properties: readonly CaaProperty[]): string[] =>
  properties.filter(({ tag }) => tag === 'iodef').map(({ value }) => value);

/** The empty text above a top-level domain. */
export const parent = (name: string): string => {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
};
