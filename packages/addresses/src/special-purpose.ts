/**
 * Which addresses a probe may be sent to. Refused is every block of the IANA special-purpose registries
 * (RFC 6890), globally reachable or not, multicast, and everything in IPv6 outside global unicast. Ranges
 * that carry an IPv4 address inside (mapped, translated, tunnelled) are refused whole: whatever is inside can
 * be asked for as IPv4.
 */
import { type Prefix, contains, formatAddress, parsePrefix } from './ip-address.ts';

const blocks: readonly (readonly [prefix: string, name: string])[] = [
  // IANA IPv4 Special-Purpose Address Registry
  ['0.0.0.0/8', 'this network (RFC 791)'],
  ['10.0.0.0/8', 'private use (RFC 1918)'],
  ['100.64.0.0/10', 'shared address space (RFC 6598)'],
  ['127.0.0.0/8', 'loopback (RFC 1122)'],
  ['169.254.0.0/16', 'link local (RFC 3927)'],
  ['172.16.0.0/12', 'private use (RFC 1918)'],
  ['192.0.0.0/24', 'IETF protocol assignments (RFC 6890)'],
  ['192.0.2.0/24', 'documentation (RFC 5737)'],
  ['192.31.196.0/24', 'AS112 (RFC 7535)'],
  ['192.52.193.0/24', 'AMT (RFC 7450)'],
  ['192.88.99.0/24', '6to4 relay anycast (RFC 7526)'],
  ['192.168.0.0/16', 'private use (RFC 1918)'],
  ['192.175.48.0/24', 'AS112 (RFC 7534)'],
  ['198.18.0.0/15', 'benchmarking (RFC 2544)'],
  ['198.51.100.0/24', 'documentation (RFC 5737)'],
  ['203.0.113.0/24', 'documentation (RFC 5737)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)'],
  ['240.0.0.0/4', 'reserved and limited broadcast (RFC 1112, RFC 919)'],
  // IANA IPv6 Special-Purpose Address Registry
  ['::/128', 'unspecified (RFC 4291)'],
  ['::1/128', 'loopback (RFC 4291)'],
  ['::ffff:0:0/96', 'IPv4-mapped (RFC 4291)'],
  ['::/96', 'IPv4-compatible (RFC 4291)'],
  ['64:ff9b::/96', 'IPv4-IPv6 translation (RFC 6052)'],
  ['64:ff9b:1::/48', 'IPv4-IPv6 translation (RFC 8215)'],
  ['100::/64', 'discard only (RFC 6666)'],
  ['100:0:0:1::/64', 'dummy prefix (RFC 9780)'],
  ['2001::/32', 'Teredo (RFC 4380)'],
  ['2001::/23', 'IETF protocol assignments (RFC 2928)'],
  ['2001:db8::/32', 'documentation (RFC 3849)'],
  ['2002::/16', '6to4 (RFC 3056)'],
  ['2620:4f:8000::/48', 'AS112 (RFC 7534)'],
  ['3fff::/20', 'documentation (RFC 9637)'],
  ['5f00::/16', 'segment routing SIDs (RFC 9602)'],
  ['fc00::/7', 'unique local (RFC 4193)'],
  ['fe80::/10', 'link local (RFC 4291)'],
  ['fec0::/10', 'site local (RFC 3879)'],
  ['ff00::/8', 'multicast (RFC 4291)'],
];

const specialPurpose = blocks.map(([text, name]) => ({ prefix: parsePrefix(text), name }));
// RFC 4291 section 2.4; nothing else is delegated to registries for unicast.
const globalUnicast = parsePrefix('2000::/3');
// The interface identifier of ISATAP (RFC 5214 section 6.1) holds an IPv4 address in its last four octets.
const isatap = [Uint8Array.of(0x00, 0x00, 0x5e, 0xfe), Uint8Array.of(0x02, 0x00, 0x5e, 0xfe)];

/** Why this address may not be a target, or undefined if it may. */
export function forbiddenTarget(address: Uint8Array, allowed: readonly Prefix[] = []): string | undefined {
  if (address.length !== 4 && address.length !== 16) return 'not an IP address';
  if (allowed.some((prefix) => contains(prefix, address))) return undefined;
  const block = specialPurpose.find(({ prefix }) => contains(prefix, address));
  if (block) return `${formatAddress(address)} is ${block.name}`;
  if (address.length === 16) {
    if (!contains(globalUnicast, address))
      return `${formatAddress(address)} is not global unicast (RFC 4291)`;
    const identifier = address.subarray(8, 12);
    if (isatap.some((prefix) => Buffer.compare(prefix, identifier) === 0)) {
      return `${formatAddress(address)} is an ISATAP address (RFC 5214)`;
    }
  }
  return undefined;
}
