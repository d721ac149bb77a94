/** Name constraints (RFC 5280 section 4.2.1.10) over dNSName, iPAddress, directoryName, rfc822Name and URI. */
import { DerReader } from './der-reader.ts';
import { constructed } from './der-tags.ts';
import { PkiError } from './error.ts';
import { emptyNames, type GeneralNames, readGeneralName } from './general-names.ts';
import { attributesOf, attributeTypes, isEmptyName, rdnKeys } from './name.ts';
import { isDnsName } from './host-name.ts';

interface IpRange {
  readonly address: Uint8Array;
  readonly mask: Uint8Array;
}

export interface Subtrees {
  /** Lower case; the empty string is every name. */
  readonly dns: readonly string[];
  readonly ip: readonly IpRange[];
  /** Keys of the relative distinguished names that a subject must begin with. */
  readonly directory: readonly (readonly string[])[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  /** Tags of kinds that nobody compares: a name of such a kind cannot be judged. */
  readonly others: ReadonlySet<number>;
  /** Number of subtrees. */
  readonly size: number;
}

export interface NameConstraints {
  readonly permitted?: Subtrees;
  readonly excluded?: Subtrees;
}

/** The names of one certificate that constraints apply to. */
export interface ConstrainedNames {
  readonly alternative: GeneralNames | undefined;
  /** Name, whole TLV. */
  readonly subject: Uint8Array;
}

/**
 * NameConstraints ::= SEQUENCE { permittedSubtrees [0] GeneralSubtrees OPTIONAL,
 *   excludedSubtrees [1] GeneralSubtrees OPTIONAL }
 * GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }
 */
export function readNameConstraints(bytes: Uint8Array): NameConstraints {
  const reader = DerReader.whole(bytes);
  const permitted = reader.optional(constructed(0));
  const excluded = reader.optional(constructed(1));
  reader.end();
  if (!permitted && !excluded) throw new PkiError('malformed', 'name constraints without a subtree');
  return {
    ...(permitted && { permitted: readSubtrees(permitted) }),
    ...(excluded && { excluded: readSubtrees(excluded) }),
  };
}

function readSubtrees(reader: DerReader): Subtrees {
  if (reader.atEnd) throw new PkiError('malformed', 'GeneralSubtrees without a subtree');
  const names = emptyNames();
  let size = 0;
  while (!reader.atEnd) {
    const subtree = reader.sequence();
    readGeneralName(subtree, names);
    // minimum must be zero, which DER leaves out, and maximum absent (RFC 5280 section 4.2.1.10).
    subtree.end();
    size++;
  }
  // A leading period is for URIs only; a wildcard is no name (RFC 5280 section 4.2.1.10).
  for (const name of names.dns) {
    if (name !== '' && !isDnsName(name)) throw new PkiError('malformed', `dNSName constraint ${name}`);
  }
  return {
    dns: names.dns,
    ip: names.ip.map(readRange),
    directory: names.directory.map(rdnKeys),
    email: names.email,
    uri: names.uri.map((uri) => uri.toLowerCase()),
    others: names.others,
    size,
  };
}

function readRange(octets: Uint8Array): IpRange {
  if (octets.length !== 8 && octets.length !== 32) throw new PkiError('malformed', 'iPAddress constraint');
  const address = octets.subarray(0, octets.length / 2);
  const mask = octets.subarray(octets.length / 2);
  // A CIDR range (RFC 4632): ones, then zeros.
  const bits = Array.from(mask, (octet) => octet.toString(2).padStart(8, '0')).join('');
  if (!/^1*0*$/.test(bits)) throw new PkiError('malformed', 'iPAddress constraint with a broken mask');
  return { address, mask };
}

/** The comparisons that checking these names against these constraints may take. */
export function comparisons(names: ConstrainedNames, constraints: NameConstraints): number {
  const subtrees = (constraints.permitted?.size ?? 0) + (constraints.excluded?.size ?? 0);
  const san = names.alternative;
  // Each RDN has two octets at least of header; this bounds their number without reading them.
  const subject = names.subject.length / 11;
  const alternative = san
    ? san.dns.length + san.ip.length + san.directory.length + san.email.length + san.uri.length
    : 0;
  return subtrees * (alternative + Math.ceil(subject));
}

/** What breaks the constraints, in words, or undefined. */
export function constraintBreach(names: ConstrainedNames, constraints: NameConstraints): string | undefined {
  const { permitted, excluded } = constraints;
  const san = names.alternative;
  for (const name of san?.dns ?? []) {
    if (excluded?.dns.some((tree) => dnsWithin(name, tree) || wildcardReaches(name, tree))) {
      return `${name} is excluded`;
    }
    if (permitted?.dns.length && !permitted.dns.some((tree) => dnsWithin(name, tree))) {
      return `${name} is not permitted`;
    }
  }
  for (const address of san?.ip ?? []) {
    if (excluded?.ip.some((range) => ipWithin(address, range))) return 'an IP address is excluded';
    if (permitted?.ip.length && !permitted.ip.some((range) => ipWithin(address, range))) {
      return 'an IP address is not permitted';
    }
  }
  const constrainsNames = (permitted?.directory.length ?? 0) + (excluded?.directory.length ?? 0) > 0;
  if (constrainsNames) {
    const directory = [...(san?.directory ?? []), ...(isEmptyName(names.subject) ? [] : [names.subject])];
    for (const name of directory.map(rdnKeys)) {
      if (excluded?.directory.some((base) => directoryWithin(name, base))) return 'the subject is excluded';
      if (permitted?.directory.length && !permitted.directory.some((base) => directoryWithin(name, base))) {
        return 'the subject is not permitted';
      }
    }
  }
  if ((permitted?.email.length ?? 0) + (excluded?.email.length ?? 0) > 0) {
    // Where there is no subjectAltName, the legacy attribute counts (RFC 5280 section 4.2.1.10).
    const email = san ? san.email : attributesOf(names.subject, attributeTypes.emailAddress);
    for (const name of email) {
      if (excluded?.email.some((tree) => emailWithin(name, tree))) return 'a mail address is excluded';
      if (permitted?.email.length && !permitted.email.some((tree) => emailWithin(name, tree))) {
        return 'a mail address is not permitted';
      }
    }
  }
  for (const uri of san?.uri ?? []) {
    const trees = [...(permitted?.uri ?? []), ...(excluded?.uri ?? [])];
    if (trees.length === 0) break;
    const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:[\]]+)/.exec(uri.toLowerCase())?.[1];
    if (host === undefined || !isDnsName(host)) return 'a URI without a host name under URI constraints';
    if (excluded?.uri.some((tree) => uriWithin(host, tree))) return 'a URI is excluded';
    if (permitted?.uri.length && !permitted.uri.some((tree) => uriWithin(host, tree))) {
      return 'a URI is not permitted';
    }
  }
  // Process the constraint or reject the certificate (RFC 5280 section 4.2.1.10).
  for (const tag of san?.others ?? []) {
    if (permitted?.others.has(tag) || excluded?.others.has(tag))
      return 'a name of a kind that cannot be compared';
  }
  return undefined;
}

/** `name` with zero or more labels added on the left of `tree`; a wildcard label counts as a label. */
export function dnsWithin(name: string, tree: string): boolean {
  return tree === '' || name === tree || (name.endsWith(tree) && name[name.length - tree.length - 1] === '.');
}

/** Whether a wildcard could stand for a name inside `tree` (one label more than the wildcard's parent). */
function wildcardReaches(name: string, tree: string): boolean {
  return name.startsWith('*.') && tree.slice(tree.indexOf('.')) === name.slice(1);
}

function ipWithin(address: Uint8Array, range: IpRange): boolean {
  if (address.length !== range.address.length) return false;
  return address.every((octet, i) => ((octet ^ range.address[i]!) & range.mask[i]!) === 0);
}

function directoryWithin(name: readonly string[], base: readonly string[]): boolean {
  return base.length <= name.length && base.every((rdn, i) => rdn === name[i]);
}

/** A mailbox, a host, or with a leading period the hosts below a domain (RFC 5280 section 4.2.1.10). */
function emailWithin(name: string, tree: string): boolean {
  const at = name.lastIndexOf('@');
  const host = name.slice(at + 1).toLowerCase();
  const treeAt = tree.lastIndexOf('@');
  const treeHost = tree.slice(treeAt + 1).toLowerCase();
  if (treeAt >= 0) return host === treeHost && name.slice(0, at) === tree.slice(0, treeAt);
  return treeHost.startsWith('.') ? host.endsWith(treeHost) : host === treeHost;
}

/** A host, or with a leading period the hosts below a domain. */
const uriWithin = (host: string, tree: string): boolean =>
  tree.startsWith('.') ? host.endsWith(tree) && host.length > tree.length : host === tree;
