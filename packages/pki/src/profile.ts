/**
 * What one certificate must be in its place in a path, whatever the time and the other certificates:
 * RFC 5280 chapter 4, and on top of it the Baseline Requirements for TLS servers (BR) chapter 7.
 */
import { readPublicKey } from './algorithms.ts';
import { type Certificate, findExtension } from './certificate.ts';
import { PkiError } from './error.ts';
import * as read from './extensions.ts';
import { type Fault, fault } from './fault.ts';
import type { GeneralNames } from './general-names.ts';
import { isEmptyName } from './name.ts';
import type { NameConstraints } from './name-constraints.ts';
import { leafFault } from './server-profile.ts';
import type { Vertex } from './vertex.ts';

/**
 * `tls-br`: RFC 5280 and what the BRs ask of TLS servers and their CAs. `rfc5280`: RFC 5280 alone; the two
 * contradict each other in a few places (a server certificate without EKU, name constraints not critical).
 */
export type Profile = 'tls-br' | 'rfc5280';

/** `listed-anchor`: a root that its program took in before today's profile, and judged by its essentials. */
export type Role = 'leaf' | 'ca' | 'anchor' | 'listed-anchor';

export interface Findings {
  readonly fault: Fault | undefined;
  readonly names: GeneralNames | undefined;
  readonly constraints: NameConstraints | undefined;
  readonly pathLength: number | undefined;
}

/** Extensions that this package acts on, or that only inform. */
const processed: ReadonlySet<string> = new Set([
  read.extensionOids.basicConstraints,
  read.extensionOids.keyUsage,
  read.extensionOids.extKeyUsage,
  read.extensionOids.subjectAltName,
  read.extensionOids.nameConstraints,
  read.extensionOids.certificatePolicies,
  read.extensionOids.policyMappings,
  read.extensionOids.policyConstraints,
  read.extensionOids.inhibitAnyPolicy,
  read.extensionOids.crlDistributionPoints,
  read.extensionOids.issuerAltName,
  read.extensionOids.tlsFeature,
]);

/** Extensions that conforming CAs mark non-critical (RFC 5280 sections 4.2.1.1, 4.2.1.2, 4.2.1.15, 4.2.2). */
const neverCritical: readonly string[] = [
  read.extensionOids.authorityKeyIdentifier,
  read.extensionOids.subjectKeyIdentifier,
  read.extensionOids.freshestCrl,
  read.extensionOids.authorityInfoAccess,
  read.extensionOids.subjectInfoAccess,
];

const anyPolicy = '2.5.29.32.0';

/** Judges once, and remembers. */
export function findings(vertex: Vertex, role: Role, profile: Profile): Findings {
  const cache = (vertex.findings ??= new Map<string, Findings>());
  const key = `${role} ${profile}`;
  let known = cache.get(key);
  if (!known) cache.set(key, (known = judge(vertex, role, profile)));
  return known;
}

function judge(vertex: Vertex, role: Role, profile: Profile): Findings {
  const { certificate } = vertex;
  try {
    const names = read.alternativeNames(certificate);
    const constraints = read.nameConstraints(certificate);
    const pathLength = read.basicConstraints(certificate)?.pathLength;
    const found = [
      common(vertex, role),
      keyFault(vertex, role, profile),
      role === 'leaf'
        ? leafFault(certificate, names, profile === 'tls-br')
        : issuerFault(vertex, role, profile),
    ].find((one) => one !== undefined);
    return { fault: found, names, constraints, pathLength };
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    const found = fault('malformed', 'RFC 5280 4', error.message);
    return { fault: found, names: undefined, constraints: undefined, pathLength: undefined };
  }
}

function common(vertex: Vertex, role: Role): Fault | undefined {
  const { certificate } = vertex;
  if (role === 'listed-anchor') return criticalFault(certificate);
  if (certificate.version !== 3) return fault('profile', 'BR 7.1.1', 'not an X.509 v3 certificate');
  const { serial } = certificate;
  // Positive, at most 20 octets (RFC 5280 section 4.1.2.2).
  if (serial.length > 20) return fault('profile', 'RFC 5280 4.1.2.2', 'serial number over 20 octets');
  if (serial[0]! >= 0x80) return fault('profile', 'RFC 5280 4.1.2.2', 'negative serial number');
  // Roots with serial number zero are in every root program.
  if (role !== 'anchor' && serial.every((octet) => octet === 0))
    return fault('profile', 'RFC 5280 4.1.2.2', 'serial number zero');
  if (isEmptyName(certificate.issuer)) return fault('profile', 'RFC 5280 4.1.2.4', 'empty issuer');
  for (const oid of neverCritical) {
    if (findExtension(certificate, oid)?.critical) {
      return fault('profile', 'RFC 5280 4.2', `extension ${oid} must not be critical`);
    }
  }
  // Reading them is the check: broken ones throw.
  read.authorityInfoAccess(certificate);
  read.subjectInfoAccess(certificate);
  read.crlDistributionPoints(certificate);
  read.freshestCrl(certificate);
  read.certificatePolicies(certificate);
  const identifier = read.authorityKeyIdentifier(certificate);
  // Nothing is looked up above an anchor.
  if (!identifier?.keyIdentifier && !(role === 'anchor' && !identifier)) {
    return fault('profile', 'RFC 5280 4.2.1.1', 'no authority key identifier');
  }
  read.subjectKeyIdentifier(certificate);
  return criticalFault(certificate);
}

function criticalFault(certificate: Certificate): Fault | undefined {
  for (const { oid, critical } of certificate.extensions) {
    if (oid === read.extensionOids.precertificatePoison) {
      return fault('critical-extension', 'RFC 6962 3.1', 'a precertificate');
    }
    if (critical && !processed.has(oid)) {
      return fault('critical-extension', 'RFC 5280 4.2', `unknown critical extension ${oid}`);
    }
  }
  return undefined;
}

function keyFault(vertex: Vertex, role: Role, profile: Profile): Fault | undefined {
  const { certificate } = vertex;
  let key;
  try {
    key = readPublicKey(certificate.spki);
  } catch (error) {
    if (!(error instanceof PkiError) || error.code !== 'unsupported') throw error;
    return fault('weak-key', 'BR 6.1.5', error.message);
  }
  if (key.kind === 'rsa') {
    if (key.bits < 2048) return fault('weak-key', 'BR 6.1.5', `RSA key of ${key.bits} bits`);
    // Larger ones only make verifying slow.
    if (key.bits > 8192) return fault('weak-key', 'BR 6.1.5', `RSA key of ${key.bits} bits`);
    if (key.bits % 8 !== 0) return fault('weak-key', 'BR 6.1.5', `RSA key of ${key.bits} bits`);
    if (key.exponent < 3 || key.exponent % 2 === 0) {
      return fault('weak-key', 'BR 6.1.6', `RSA exponent ${key.exponent}`);
    }
  } else if (key.kind === 'ed25519' && profile === 'tls-br') {
    return fault('weak-key', 'BR 6.1.5', 'an Ed25519 key');
  }
  // Nobody relies on the signature that an anchor bears.
  if (role === 'anchor' || role === 'listed-anchor') return undefined;
  const signature = vertex.signatureAlgorithm;
  if (!signature) return fault('weak-signature', 'BR 7.1.3.2', 'signature algorithm not supported');
  if (signature.hash === 'sha1') return fault('weak-signature', 'BR 7.1.3.2', 'a signature with SHA-1');
  return undefined;
}

function issuerFault(vertex: Vertex, role: Role, profile: Profile): Fault | undefined {
  const { certificate } = vertex;
  const listed = role === 'listed-anchor';
  if (isEmptyName(certificate.subject))
    return fault('profile', 'RFC 5280 4.1.2.6', 'CA with an empty subject');
  const basic = read.basicConstraints(certificate);
  // A v1 root can be listed (RFC 5280 section 6.1.4 (k) leaves it to the application).
  if (!basic?.ca && !(listed && certificate.version === 1)) {
    return fault('not-a-ca', 'RFC 5280 4.2.1.9', 'basic constraints do not make it a CA');
  }
  if (!listed && !findExtension(certificate, read.extensionOids.basicConstraints)?.critical) {
    return fault('profile', 'RFC 5280 4.2.1.9', 'basic constraints of a CA are not critical');
  }
  const usage = read.keyUsage(certificate);
  if (usage !== undefined && !read.hasUsage(usage, read.keyUsageBits.keyCertSign)) {
    return fault('key-usage', 'RFC 5280 4.2.1.3', 'key usage without keyCertSign');
  }
  const purposes = read.extKeyUsage(certificate);
  if (
    purposes &&
    !purposes.includes(read.keyPurposes.serverAuth) &&
    !purposes.includes(read.keyPurposes.any)
  ) {
    return fault('extended-key-usage', 'BR 7.1.2.10.6', 'issuer not meant for TLS servers');
  }
  if (listed) return undefined;
  if (!read.subjectKeyIdentifier(certificate)) {
    return fault('profile', 'RFC 5280 4.2.1.2', 'CA without a subject key identifier');
  }
  for (const oid of [read.extensionOids.policyConstraints, read.extensionOids.inhibitAnyPolicy]) {
    if (findExtension(certificate, oid)?.critical === false) {
      return fault('profile', 'RFC 5280 4.2.1.11', `extension ${oid} must be critical`);
    }
  }
  read.policyConstraints(certificate);
  read.inhibitAnyPolicy(certificate);
  for (const [from, to] of read.policyMappings(certificate) ?? []) {
    if (from === anyPolicy || to === anyPolicy) {
      return fault('policy', 'RFC 5280 4.2.1.5', 'a policy mapping of anyPolicy');
    }
  }
  const constraints = findExtension(certificate, read.extensionOids.nameConstraints);
  if (profile === 'rfc5280' && constraints?.critical === false) {
    return fault('profile', 'RFC 5280 4.2.1.10', 'name constraints are not critical');
  }
  return role === 'anchor' && profile === 'tls-br' ? rootFault(vertex) : undefined;
}

/** Root CA profile. CAs below a root are not held to it: many were issued before these rules stood. */
function rootFault(vertex: Vertex): Fault | undefined {
  const { certificate } = vertex;
  if (!vertex.selfIssued) return undefined;
  if (read.extKeyUsage(certificate)) {
    return fault('profile', 'BR 7.1.2.1.2', 'root with extended key usage');
  }
  const identifier = read.authorityKeyIdentifier(certificate);
  if (identifier?.namesCertificate) {
    return fault('profile', 'BR 7.1.2.1.3', 'root whose authority key identifier names a certificate');
  }
  if (identifier && vertex.authorityKeyIdentifier !== vertex.keyIdentifier) {
    return fault('profile', 'BR 7.1.2.1.3', 'root whose key identifiers differ');
  }
  return undefined;
}
