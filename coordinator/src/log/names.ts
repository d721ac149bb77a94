import { type PresentedNames, matchesHostName } from '@mecai/pki';

/**
 * Whether every name of `later` is one that `earlier` was for already: the proposal's "the same (or a smaller) set
 * of hostnames, not including any new hostnames". A wildcard stands for the hosts that RFC 9525 section 6.3 lets it
 * match, so `www.example.org` is nothing new beside `*.example.org`; a new wildcard is, whatever hosts were named
 * before.
 */
export function sameOrFewerNames(later: PresentedNames, earlier: PresentedNames): boolean {
  const dns = new Set(earlier.dns);
  const addresses = new Set(earlier.ip.map(textOf));
  return (
    later.dns.every((name) => dns.has(name) || (!name.startsWith('*') && matchesHostName(earlier, name))) &&
    later.ip.every((address) => addresses.has(textOf(address)))
  );
}

const textOf = (address: Uint8Array): string => Buffer.from(address).toString('hex');
