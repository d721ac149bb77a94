/** Host names and addresses as presented and as referred to (RFC 9525, BR 7.1.2.7.12). */
import { isAddress, parseAddress, sameBytes } from '@mecai/addresses';

/** What a certificate presents for matching. */
export interface PresentedNames {
  /** dNSName values, lower case. */
  readonly dns: readonly string[];
  /** iPAddress values, 4 or 16 octets. */
  readonly ip: readonly Uint8Array[];
}

export type ReferenceName = { readonly dns: string } | { readonly ip: string };

/** A letter-digit-hyphen label (RFC 1034 section 3.5, RFC 1123 section 2.1). */
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** Labels of letters, digits and hyphens, not ending in a number, at most 253 octets, no final period. */
export function isDnsName(name: string): boolean {
  if (name.length > 253) return false;
  const labels = name.split('.');
  // A last label of digits would make it an IPv4 address (RFC 1123 section 2.1).
  return labels.every((one) => label.test(one)) && !/^[0-9]+$/.test(labels.at(-1)!);
}

/** As `isDnsName`, or a wildcard in place of the whole left-most label (BR 1.6.1, Wildcard Domain Name). */
export const isPresentedDnsName = (name: string): boolean =>
  isDnsName(name.startsWith('*.') ? name.slice(2) : name);

/**
 * Whether a reference host name (A-labels, lower case) is presented by the certificate, after RFC 9525
 * section 6.3: a wildcard is the whole left-most label and stands for exactly one label. A wildcard right
 * above a public suffix stands for nothing (BR 3.2.2.6); without a list, a top-level domain is the suffix.
 */
export function matchesHostName(
  names: PresentedNames,
  host: string,
  isPublicSuffix: (domain: string) => boolean = isTopLevel,
): boolean {
  const dot = host.indexOf('.');
  const parent = host.slice(dot + 1);
  const wildcard = dot > 0 && !isTopLevel(parent) && !isPublicSuffix(parent) ? `*.${parent}` : undefined;
  return names.dns.some((name) => name === host || name === wildcard);
}

const isTopLevel = (domain: string): boolean => !domain.includes('.');

export function matchesReference(
  names: PresentedNames,
  reference: ReferenceName,
  isPublicSuffix?: (domain: string) => boolean,
): boolean {
  if ('ip' in reference) {
    if (!isAddress(reference.ip)) return false;
    const octets = parseAddress(reference.ip);
    return names.ip.some((presented) => sameBytes(presented, octets));
  }
  // A final period only says that the name is absolute (RFC 1034 section 3.1).
  const host = reference.dns.toLowerCase().replace(/\.$/, '');
  return isDnsName(host) && matchesHostName(names, host, isPublicSuffix);
}
