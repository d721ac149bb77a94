/** Certificate revocation lists (RFC 5280 chapter 5): read, verified, asked. */
import { hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sameBytes } from '@mecai/addresses';
import { readSignatureAlgorithm, verifySignature } from './algorithms.ts';
import type { Certificate } from './certificate.ts';
import { CrlEntries, type CrlEntry } from './crl-entries.ts';
import { DerReader } from './der-reader.ts';
import { constructed, implicit, tags } from './der-tags.ts';
import { PkiError } from './error.ts';
import * as read from './extensions.ts';
import { generalNames } from './general-names.ts';
import { sameName } from './name.ts';
import { publicKey } from './public-key.ts';

/** Which certificates a CRL is about (RFC 5280 section 5.2.5). */
export interface CrlScope {
  /** DistributionPointName, the content of `[0]`. */
  readonly name: Uint8Array | undefined;
  readonly uris: readonly string[];
  readonly onlyUserCertificates: boolean;
  readonly onlyCaCertificates: boolean;
}

export interface Crl {
  readonly der: Uint8Array;
  /** SHA-256 of the DER. */
  readonly sha256: Uint8Array;
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** Name, whole TLV. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly number: bigint;
  /** In a delta CRL, the number of the CRL it adds to. */
  readonly baseNumber: bigint | undefined;
  readonly scope: CrlScope | undefined;
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** http URIs of delta CRLs. */
  readonly deltaUris: readonly string[];
  readonly entries: CrlEntries;
}

/** The largest CRL that is read, octets: thrice the largest that public CAs publish. */
export const crlOctets = 67_108_864;
/** Content octets of cRLNumber (RFC 5280 section 5.2.3). */
const numberOctets = 20;
/** How far a thisUpdate may lie ahead, in milliseconds: clocks differ. */
export const clockSkew = 300_000;

/**
 * CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue BIT STRING }
 * TBSCertList ::= SEQUENCE { version INTEGER (v2), signature, issuer Name, thisUpdate Time, nextUpdate Time,
 *   revokedCertificates SEQUENCE OF … OPTIONAL, crlExtensions [0] EXPLICIT Extensions OPTIONAL }
 *
 * Throws `malformed`, `limit`, and `unsupported` for indirect CRLs, CRLs for some reasons or for attribute
 * certificates only, and unknown critical extensions.
 */
export function parseCrl(der: Uint8Array): Crl {
  const steps = parseSteps(der);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same, with turns for others in between: a CRL of 10 MB takes a tenth of a second. */
export async function parseCrlInSlices(der: Uint8Array): Promise<Crl> {
  const steps = parseSteps(der);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await nextTurn();
  }
}

function* parseSteps(der: Uint8Array): Generator<undefined, Crl> {
  if (der.length > crlOctets) throw new PkiError('limit', `a CRL of ${der.length} octets`);
  const outer = DerReader.whole(der);
  const tbs = outer.raw(tags.sequence);
  const signatureAlgorithm = outer.raw(tags.sequence);
  const signature = outer.bitString();
  outer.end();

  const reader = DerReader.whole(tbs);
  if (reader.peek() !== tags.integer || reader.integer() !== 1) throw malformed('not version 2');
  if (!sameBytes(reader.raw(tags.sequence), signatureAlgorithm))
    throw malformed('signature algorithms differ');
  const issuer = reader.raw(tags.sequence);
  const thisUpdate = reader.time();
  if (reader.peek() !== tags.utcTime && reader.peek() !== tags.generalizedTime)
    throw malformed('no nextUpdate');
  const nextUpdate = reader.time();
  const entries = reader.peek() === tags.sequence ? reader.content(tags.sequence) : new Uint8Array();
  const extensions = readExtensions(reader.optional(constructed(0)));
  reader.end();
  const { number, baseNumber, scope, authorityKeyIdentifier, deltaUris = [] } = extensions;
  // Conforming CRLs have one (RFC 5280 section 5.2.3).
  if (number === undefined) throw malformed('no CRL number');
  return {
    der,
    sha256: hash('sha256', der, 'buffer'),
    tbs,
    signatureAlgorithm,
    signature,
    issuer,
    thisUpdate,
    nextUpdate,
    number,
    baseNumber,
    scope,
    authorityKeyIdentifier,
    deltaUris,
    entries: yield* CrlEntries.read(entries),
  };
}

interface CrlExtensions {
  number?: bigint;
  baseNumber?: bigint;
  scope?: CrlScope;
  authorityKeyIdentifier?: Uint8Array;
  deltaUris?: string[];
}

function readExtensions(reader: DerReader | undefined): CrlExtensions {
  const found: CrlExtensions = {};
  if (!reader) return found;
  const list = reader.sequence();
  reader.end();
  const seen = new Set<string>();
  while (!list.atEnd) {
    const one = list.sequence();
    const oid = one.oid();
    const critical = one.peek() === tags.boolean && one.boolean();
    const value = one.octetString();
    one.end();
    if (seen.has(oid)) throw malformed(`extension ${oid} twice`);
    seen.add(oid);
    switch (oid) {
      case read.extensionOids.crlNumber:
        if (critical) throw malformed('critical CRL number');
        found.number = bigInteger(value);
        break;
      case read.extensionOids.deltaCrlIndicator:
        if (!critical) throw malformed('delta CRL indicator not critical');
        found.baseNumber = bigInteger(value);
        break;
      case read.extensionOids.issuingDistributionPoint:
        if (!critical) throw malformed('issuing distribution point not critical');
        found.scope = readScope(value);
        break;
      case read.extensionOids.freshestCrl:
        found.deltaUris = read.readDistributionPoints(value).flatMap(({ uris }) => uris);
        break;
      case read.extensionOids.authorityKeyIdentifier: {
        const identifier = DerReader.whole(value);
        if (identifier.peek() === implicit(0))
          found.authorityKeyIdentifier = identifier.octetString(implicit(0));
        break;
      }
      default:
        if (critical) throw new PkiError('unsupported', `CRL: unknown critical extension ${oid}`);
    }
  }
  return found;
}

/**
 * IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0] DistributionPointName OPTIONAL,
 *   onlyContainsUserCerts [1] BOOLEAN DEFAULT FALSE, onlyContainsCACerts [2], onlySomeReasons [3] OPTIONAL,
 *   indirectCRL [4] DEFAULT FALSE, onlyContainsAttributeCerts [5] DEFAULT FALSE }
 */
function readScope(bytes: Uint8Array): CrlScope {
  const reader = DerReader.whole(bytes);
  const point = reader.optional(constructed(0));
  const name = point?.rest();
  let uris: string[] = [];
  if (point) {
    const fullName = point.optional(constructed(0));
    if (fullName) uris = generalNames(fullName).uri;
    else point.raw(constructed(1));
    point.end();
  }
  const flag = (n: number) => reader.peek() === implicit(n) && reader.boolean(implicit(n));
  const onlyUserCertificates = flag(1);
  const onlyCaCertificates = flag(2);
  const someReasons = reader.peek() === implicit(3);
  if (someReasons) reader.bits(implicit(3));
  const indirect = flag(4);
  const attributes = flag(5);
  reader.end();
  if (indirect) throw new PkiError('unsupported', 'CRL: an indirect CRL');
  if (someReasons) throw new PkiError('unsupported', 'CRL: for some reasons only');
  if (attributes) throw new PkiError('unsupported', 'CRL: for attribute certificates');
  if (onlyUserCertificates && onlyCaCertificates) throw malformed('for user and for CA certificates only');
  return { name, uris, onlyUserCertificates, onlyCaCertificates };
}

function bigInteger(value: Uint8Array): bigint {
  const reader = new DerReader(value);
  const octets = reader.integerBytes();
  reader.end();
  if (octets.length > numberOctets || octets[0]! >= 0x80) throw malformed('CRL number');
  return BigInt(`0x${Buffer.from(octets).toString('hex')}`);
}

/** Whether the issuer signed it and may: throws `unverified`. Time is not looked at. */
export function verifyCrl(crl: Crl, issuer: Certificate): void {
  if (!sameName(crl.issuer, issuer.subject)) throw new PkiError('unverified', 'CRL: of another issuer');
  const usage = read.keyUsage(issuer);
  // RFC 5280 section 6.3.3 (f).
  if (usage !== undefined && !read.hasUsage(usage, read.keyUsageBits.cRLSign)) {
    throw new PkiError('unverified', 'CRL: issuer without cRLSign');
  }
  const algorithm = readSignatureAlgorithm(crl.signatureAlgorithm);
  const key = publicKey(issuer);
  if (algorithm.hash === 'sha1' || !key || !verifySignature(algorithm, key, crl.tbs, crl.signature)) {
    throw new PkiError('unverified', 'CRL: the signature does not verify');
  }
}

/** Throws `stale` unless `now` lies between thisUpdate and nextUpdate. */
export function assertCurrent(crl: Crl, now: Date): void {
  if (crl.thisUpdate.getTime() > now.getTime() + clockSkew)
    throw new PkiError('stale', 'CRL: from the future');
  if (crl.nextUpdate < now) {
    throw new PkiError('stale', `CRL: nextUpdate was ${crl.nextUpdate.toISOString()}`);
  }
}

/**
 * Whether a complete CRL is about this certificate (RFC 5280 section 6.3.3 (b)). With a distribution point in
 * the CRL, one of the certificate's must name it.
 */
export function covers(crl: Crl, certificate: Certificate): boolean {
  if (!sameName(crl.issuer, certificate.issuer)) return false;
  const { scope } = crl;
  if (!scope) return true;
  const ca = read.basicConstraints(certificate)?.ca ?? false;
  if ((scope.onlyUserCertificates && ca) || (scope.onlyCaCertificates && !ca)) return false;
  const { name } = scope;
  if (!name) return true;
  const points = read.crlDistributionPoints(certificate) ?? [];
  return points.some(
    (point) =>
      (point.name && sameBytes(point.name, name)) || point.uris.some((uri) => scope.uris.includes(uri)),
  );
}

/** Whether a delta CRL adds to this one (RFC 5280 sections 5.2.4 and 6.3.3 (c)). */
export function deltaFits(base: Crl, delta: Crl): boolean {
  return (
    delta.baseNumber !== undefined &&
    base.baseNumber === undefined &&
    sameName(base.issuer, delta.issuer) &&
    sameScope(base.scope, delta.scope) &&
    sameOptional(base.authorityKeyIdentifier, delta.authorityKeyIdentifier) &&
    base.number >= delta.baseNumber &&
    base.number < delta.number
  );
}

/** CRL numbers are comparable among CRLs of one issuer with this in common (RFC 5280 section 5.2.3). */
export function crlScopeKey({ baseNumber, scope }: Crl): string {
  const kind = baseNumber === undefined ? 'complete' : 'delta';
  const of = scope?.onlyUserCertificates ? 'users' : scope?.onlyCaCertificates ? 'cas' : 'all';
  return `${kind} ${of} ${scope?.name ? Buffer.from(scope.name).toString('hex') : ''}`;
}

/** CRLReason removeFromCRL: in a delta CRL, no longer revoked (RFC 5280 section 5.3.1). */
const removeFromCrl = 8;

/** The entry that says this certificate is revoked, from a complete CRL and the delta that fits it, if any. */
export function revocation(certificate: Certificate, base: Crl, delta?: Crl): CrlEntry | undefined {
  const added = delta?.entries.find(certificate.serial);
  if (added) return added.reason === removeFromCrl ? undefined : added;
  return base.entries.find(certificate.serial);
}

const sameOptional = (a: Uint8Array | undefined, b: Uint8Array | undefined) =>
  a === b || (a !== undefined && b !== undefined && sameBytes(a, b));

const sameScope = (a: CrlScope | undefined, b: CrlScope | undefined) =>
  sameOptional(a?.name, b?.name) &&
  (a?.onlyCaCertificates ?? false) === (b?.onlyCaCertificates ?? false) &&
  (a?.onlyUserCertificates ?? false) === (b?.onlyUserCertificates ?? false);

const malformed = (what: string) => new PkiError('malformed', `CRL: ${what}`);
