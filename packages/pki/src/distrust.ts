/** The operator's distrust list as a pure rule: coordinator and signer apply the same one. */
import type { Certificate } from './certificate.ts';
import { attributesOf, attributeTypes, nameKey } from './name.ts';
import { sha256 } from './vertex.ts';

/** What is distrusted. Hashes are SHA-256, hexadecimal, lower case. */
export type DistrustSubject =
  | { readonly kind: 'certificate'; readonly sha256: string }
  | { readonly kind: 'spki'; readonly sha256: string }
  /** Whatever bears this issuer name: Name, whole TLV. */
  | { readonly kind: 'issuer'; readonly name: Uint8Array }
  /** An organizationName in the subject of any CA certificate of the path; case and spaces do not count. */
  | { readonly kind: 'operator'; readonly organization: string };

export interface DistrustEntry {
  readonly id: string;
  readonly subject: DistrustSubject;
  /** Only in this trust context; without it, everywhere. */
  readonly tci?: string;
  /** In force from then on; without it, at once. */
  readonly from?: Date;
  /** Only certificates issued (notBefore) after this; without it, all. */
  readonly issuedAfter?: Date;
  /** For those who ask why. */
  readonly reason?: string;
}

export interface DistrustMatch {
  readonly entry: DistrustEntry;
  /** Position in the path: 0 is the leaf. */
  readonly index: number;
}

/**
 * The first entry in force that hits a certificate of the path (leaf first, anchor last), or undefined.
 * `tci` undefined asks for the entries without a context only.
 */
export function matchesDistrust(
  entries: readonly DistrustEntry[],
  path: readonly Certificate[],
  tci: string | undefined,
  now: Date,
): DistrustMatch | undefined {
  const traits = path.map((certificate) => new Traits(certificate));
  const issued = path[0]?.notBefore;
  for (const entry of entries) {
    if (entry.tci !== undefined && entry.tci !== tci) continue;
    if (entry.from && now < entry.from) continue;
    if (entry.issuedAfter && issued && issued <= entry.issuedAfter) continue;
    const index = traits.findIndex((one, i) => hits(entry.subject, one, i));
    if (index >= 0) return { entry, index };
  }
  return undefined;
}

/** Why, in words. */
export const distrustText = ({ id, reason }: DistrustEntry): string =>
  `distrusted by entry ${id}${reason === undefined ? '' : `: ${reason}`}`;

function hits(subject: DistrustSubject, traits: Traits, index: number): boolean {
  switch (subject.kind) {
    case 'certificate':
      return traits.sha256 === subject.sha256.toLowerCase();
    case 'spki':
      return traits.spkiSha256 === subject.sha256.toLowerCase();
    case 'issuer':
      return traits.issuer === nameKey(subject.name);
    case 'operator':
      // A server's own organization is not a CA's.
      return index > 0 && traits.organizations.includes(plainOrganization(subject.organization));
    default:
      return subject satisfies never;
  }
}

/** What entries are compared with, computed when first asked for: lists are long, paths short. */
class Traits {
  readonly #certificate: Certificate;
  #sha256: string | undefined;
  #spkiSha256: string | undefined;
  #issuer: string | undefined;
  #organizations: readonly string[] | undefined;

  constructor(certificate: Certificate) {
    this.#certificate = certificate;
  }

  get sha256(): string {
    return (this.#sha256 ??= sha256(this.#certificate.der));
  }

  get spkiSha256(): string {
    return (this.#spkiSha256 ??= sha256(this.#certificate.spki));
  }

  get issuer(): string {
    return (this.#issuer ??= nameKey(this.#certificate.issuer));
  }

  get organizations(): readonly string[] {
    return (this.#organizations ??= organizationsOf(this.#certificate.subject));
  }
}

/** The organizationNames of a Name, as they are compared: case and spaces do not count. */
export const organizationsOf = (name: Uint8Array): string[] =>
  attributesOf(name, attributeTypes.organization).map(plainOrganization);

/** The commonNames of a Name, compared like organizations. */
export const commonNamesOf = (name: Uint8Array): string[] =>
  attributesOf(name, attributeTypes.commonName).map(plainOrganization);

export const plainOrganization = (name: string): string =>
  name.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');
