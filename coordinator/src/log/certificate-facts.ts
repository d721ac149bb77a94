/** What the log keeps of a certificate. */
import { createHash } from 'node:crypto';
import { formatAddress, parseAddress } from '@mecai/addresses';
import {
  type Certificate,
  type PresentedNames,
  commonNamesOf,
  nameKey,
  nameText,
  organizationsOf,
  parseCertificate,
  subjectAltNames,
} from '@mecai/pki';

export interface CertificateFacts {
  readonly certificate: Certificate;
  readonly sha256: Uint8Array;
  readonly spkiSha256: Uint8Array;
  /** Which CA issued it, as the renewal exception compares it: see `caOf`. */
  readonly ca: Uint8Array;
  /** organizationNames of the issuer as `organizationsOf` has them; its commonNames where it has none. */
  readonly organizations: readonly string[];
  /** For people. */
  readonly issuer: string;
  readonly names: PresentedNames;
}

/** @throws PkiError */
export function factsOf(der: Uint8Array): CertificateFacts {
  const certificate = parseCertificate(der);
  return {
    certificate,
    sha256: sha256(der),
    spkiSha256: sha256(certificate.spki),
    ca: caOf(certificate.issuer),
    organizations: calledAs(certificate.issuer),
    issuer: nameText(certificate.issuer),
    names: subjectAltNames(certificate),
  };
}

/**
 * One CA is one organization: its issuing certificates change, often at random from one renewal to the next. An
 * issuer that names no organization is compared by its whole name.
 */
function caOf(issuer: Uint8Array): Uint8Array {
  const organizations = organizationsOf(issuer);
  return organizations.length > 0
    ? caOfOrganizations(organizations)
    : sha256(Buffer.from(`N\n${nameKey(issuer)}`));
}

function calledAs(issuer: Uint8Array): readonly string[] {
  const organizations = organizationsOf(issuer);
  return organizations.length > 0 ? organizations : commonNamesOf(issuer);
}

/** @param organizations as `organizationsOf` has them */
export const caOfOrganizations = (organizations: readonly string[]): Uint8Array =>
  sha256(Buffer.from(`O\n${organizations.join('\n')}`));

/** As JSON text: a strange name may hold what no column of text takes. */
export const namesToText = ({ dns, ip }: PresentedNames): string =>
  JSON.stringify({ dns, ip: ip.map(formatAddress) });

export function namesFromText(text: string): PresentedNames {
  const { dns, ip }: { dns: string[]; ip: string[] } = JSON.parse(text);
  return { dns, ip: ip.map(parseAddress) };
}

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
