/** The extensions that path validation and revocation read (RFC 5280 sections 4.2.1 and 4.2.2). */
import { type Certificate, findExtension } from './certificate.ts';
import { DerReader } from './der-reader.ts';
import { constructed, implicit, tags } from './der-tags.ts';
import { PkiError } from './error.ts';
import {
  emptyNames,
  type GeneralNames,
  generalNames,
  readGeneralName,
  readGeneralNames,
} from './general-names.ts';
import { type NameConstraints, readNameConstraints } from './name-constraints.ts';

export const extensionOids = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  issuerAltName: '2.5.29.18',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  certificateIssuer: '2.5.29.29',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extKeyUsage: '2.5.29.37',
  freshestCrl: '2.5.29.46',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  subjectInfoAccess: '1.3.6.1.5.5.7.1.11',
  tlsFeature: '1.3.6.1.5.5.7.1.24',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
  signedCertificateTimestamps: '1.3.6.1.4.1.11129.2.4.2',
  precertificatePoison: '1.3.6.1.4.1.11129.2.4.3',
} as const;

export const keyPurposes = {
  any: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const;

/** Bits of KeyUsage (RFC 5280 section 4.2.1.3), the first the most significant of the first octet. */
export const keyUsageBits = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const;

export interface BasicConstraints {
  readonly ca: boolean;
  /** Intermediates that may follow; undefined is any number. */
  readonly pathLength: number | undefined;
}

export interface AuthorityKeyIdentifier {
  readonly keyIdentifier: Uint8Array | undefined;
  /** Whether authorityCertIssuer or authorityCertSerialNumber is there. */
  readonly namesCertificate: boolean;
}

export interface DistributionPoint {
  /** http URIs of fullName, in order. */
  readonly uris: readonly string[];
  /** cRLIssuer is there: an indirect CRL. */
  readonly indirect: boolean;
  /** reasons is there: a CRL for some reasons only. */
  readonly someReasons: boolean;
  /** DistributionPointName, the content of `[0]`, as the CRL must repeat it. */
  readonly name: Uint8Array | undefined;
}

export interface PolicyConstraints {
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
}

type Reader<T> = (bytes: Uint8Array) => T;

const reading =
  <T>(oid: string, read: Reader<T>) =>
  (certificate: Certificate): T | undefined => {
    const extension = findExtension(certificate, oid);
    return extension && read(extension.value);
  };

/** `BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL }` */
export const basicConstraints = reading<BasicConstraints>(extensionOids.basicConstraints, (bytes) => {
  const reader = DerReader.whole(bytes);
  // An explicit FALSE is not DER, yet leaves in use have it.
  const ca = reader.peek() === tags.boolean ? reader.boolean() : false;
  const pathLength = reader.atEnd ? undefined : reader.integer();
  reader.end();
  return { ca, pathLength };
});

/** The set bits as a number: bit 0 is the lowest. */
export const keyUsage = reading<number>(extensionOids.keyUsage, (bytes) => {
  const reader = new DerReader(bytes);
  const { bytes: octets } = reader.bits();
  reader.end();
  let usage = 0;
  for (let bit = 0; bit < Math.min(octets.length * 8, 16); bit++) {
    if (octets[bit >> 3]! & (0x80 >> (bit & 7))) usage |= 1 << bit;
  }
  // At least one bit must be set (RFC 5280 section 4.2.1.3).
  if (usage === 0) throw new PkiError('malformed', 'key usage without a bit');
  return usage;
});

export const hasUsage = (usage: number, bit: number): boolean => (usage & (1 << bit)) !== 0;

export const extKeyUsage = reading<readonly string[]>(extensionOids.extKeyUsage, (bytes) => {
  const reader = DerReader.whole(bytes);
  const purposes: string[] = [];
  do purposes.push(reader.oid());
  while (!reader.atEnd);
  return purposes;
});

export const subjectKeyIdentifier = reading<Uint8Array>(extensionOids.subjectKeyIdentifier, (bytes) => {
  const reader = new DerReader(bytes);
  const identifier = reader.octetString();
  reader.end();
  return identifier;
});

/** `SEQUENCE { keyIdentifier [0] OPTIONAL, authorityCertIssuer [1] OPTIONAL, authorityCertSerialNumber [2] OPTIONAL }` */
export const authorityKeyIdentifier = reading<AuthorityKeyIdentifier>(
  extensionOids.authorityKeyIdentifier,
  (bytes) => {
    const reader = DerReader.whole(bytes);
    const keyIdentifier = reader.peek() === implicit(0) ? reader.octetString(implicit(0)) : undefined;
    const issuer = reader.optional(constructed(1));
    if (issuer) generalNames(issuer);
    const serial = reader.peek() === implicit(2) ? reader.integerBytes(implicit(2)) : undefined;
    reader.end();
    return { keyIdentifier, namesCertificate: issuer !== undefined || serial !== undefined };
  },
);

export const alternativeNames = reading<GeneralNames>(extensionOids.subjectAltName, readGeneralNames);
export const nameConstraints = reading<NameConstraints>(extensionOids.nameConstraints, readNameConstraints);

/** `SEQUENCE SIZE (1..MAX) OF SEQUENCE { policyIdentifier OID, policyQualifiers SEQUENCE OPTIONAL }` */
export const certificatePolicies = reading<readonly string[]>(extensionOids.certificatePolicies, (bytes) => {
  const reader = DerReader.whole(bytes);
  const policies = new Set<string>();
  do {
    const one = reader.sequence();
    const policy = one.oid();
    if (!one.atEnd) one.raw(tags.sequence);
    one.end();
    // A policy must not appear twice (RFC 5280 section 4.2.1.4).
    if (policies.has(policy)) throw new PkiError('malformed', `policy ${policy} twice`);
    policies.add(policy);
  } while (!reader.atEnd);
  return [...policies];
});

/** Pairs of issuerDomainPolicy and subjectDomainPolicy. */
export const policyMappings = reading<readonly (readonly [string, string])[]>(
  extensionOids.policyMappings,
  (bytes) => {
    const reader = DerReader.whole(bytes);
    const mappings: [string, string][] = [];
    do {
      const one = reader.sequence();
      mappings.push([one.oid(), one.oid()]);
      one.end();
    } while (!reader.atEnd);
    return mappings;
  },
);

export const policyConstraints = reading<PolicyConstraints>(extensionOids.policyConstraints, (bytes) => {
  const reader = DerReader.whole(bytes);
  const requireExplicitPolicy = reader.peek() === implicit(0) ? reader.integer(implicit(0)) : undefined;
  const inhibitPolicyMapping = reader.peek() === implicit(1) ? reader.integer(implicit(1)) : undefined;
  reader.end();
  if (requireExplicitPolicy === undefined && inhibitPolicyMapping === undefined) {
    throw new PkiError('malformed', 'empty policy constraints');
  }
  return { requireExplicitPolicy, inhibitPolicyMapping };
});

export const inhibitAnyPolicy = reading<number>(extensionOids.inhibitAnyPolicy, (bytes) => {
  const reader = new DerReader(bytes);
  const skip = reader.integer();
  reader.end();
  return skip;
});

/** `SEQUENCE SIZE (1..MAX) OF SEQUENCE { accessMethod OID, accessLocation GeneralName }`: method and http URI. */
const readInfoAccess: Reader<readonly { method: string; uri: string | undefined }[]> = (bytes) => {
  const reader = DerReader.whole(bytes);
  const entries: { method: string; uri: string | undefined }[] = [];
  do {
    const one = reader.sequence();
    const method = one.oid();
    const names = emptyNames();
    readGeneralName(one, names);
    one.end();
    entries.push({ method, uri: names.uri.find(isHttp) });
  } while (!reader.atEnd);
  return entries;
};

const infoAccess = reading(extensionOids.authorityInfoAccess, readInfoAccess);
export const subjectInfoAccess = reading(extensionOids.subjectInfoAccess, readInfoAccess);
export const authorityInfoAccess = infoAccess;

/** http URIs of the OCSP responders (RFC 5280 section 4.2.2.1). */
export const ocspUris = (certificate: Certificate): string[] =>
  (infoAccess(certificate) ?? []).flatMap(({ method, uri }) =>
    method === '1.3.6.1.5.5.7.48.1' && uri !== undefined ? [uri] : [],
  );

/**
 * CRLDistributionPoints ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { distributionPoint [0] DistributionPointName
 *   OPTIONAL, reasons [1] OPTIONAL, cRLIssuer [2] GeneralNames OPTIONAL }
 */
export const readDistributionPoints: Reader<readonly DistributionPoint[]> = (bytes) => {
  const reader = DerReader.whole(bytes);
  const points: DistributionPoint[] = [];
  do {
    const one = reader.sequence();
    const outer = one.optional(constructed(0));
    const name = outer?.rest();
    let uris: string[] = [];
    if (outer) {
      const fullName = outer.optional(constructed(0));
      if (fullName) uris = generalNames(fullName).uri.filter(isHttp);
      else outer.raw(constructed(1));
      outer.end();
    }
    const someReasons = one.peek() === implicit(1);
    if (someReasons) one.bits(implicit(1));
    const issuer = one.optional(constructed(2));
    if (issuer) generalNames(issuer);
    one.end();
    if (!outer && !issuer) throw new PkiError('malformed', 'distribution point without a name');
    points.push({ uris, indirect: issuer !== undefined, someReasons, name });
  } while (!reader.atEnd);
  return points;
};

export const crlDistributionPoints = reading(extensionOids.crlDistributionPoints, readDistributionPoints);
export const freshestCrl = reading(extensionOids.freshestCrl, readDistributionPoints);

const isHttp = (uri: string): boolean => /^https?:\/\//i.test(uri);
