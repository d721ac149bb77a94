/** The operator's distrust list as a pure rule: coordinator and signer apply the same one. */
import { createHash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { attributesOf, attributeTypes, nameKey } from './name.ts';

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
  const leaf = path[0];
  for (const entry of entries) {
    if (entry.tci !== undefined && entry.tci !== tci) continue;
    if (entry.from && now < entry.from) continue;
    if (entry.issuedAfter && leaf && leaf.notBefore <= entry.issuedAfter) continue;
    const index = path.findIndex((certificate, i) => hits(entry.subject, certificate, i));
    if (index >= 0) return { entry, index };
  }
  return undefined;
}

function hits(subject: DistrustSubject, certificate: Certificate, index: number): boolean {
  switch (subject.kind) {
    case 'certificate':
      return digest(certificate.der) === subject.sha256.toLowerCase();
    case 'spki':
      return digest(certificate.spki) === subject.sha256.toLowerCase();
    case 'issuer':
      return nameKey(certificate.issuer) === nameKey(subject.name);
    case 'operator':
      // A server's own organization is not a CA's.
      return index > 0 && hasOrganization(certificate, plain(subject.organization));
    default:
      return subject satisfies never;
  }
}

const hasOrganization = (certificate: Certificate, wanted: string): boolean =>
  attributesOf(certificate.subject, attributeTypes.organization).some((name) => plain(name) === wanted);

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const plain = (name: string) => name.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');
