/**
 * OCSP responses (RFC 6960 section 4.2.1), read strictly:
 *
 *   OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT SEQUENCE { OID, OCTET STRING } }
 *   BasicOCSPResponse ::= SEQUENCE { tbsResponseData, signatureAlgorithm, signature BIT STRING,
 *     certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
 *   ResponseData ::= SEQUENCE { version [0] EXPLICIT DEFAULT v1, responderID CHOICE { byName [1] EXPLICIT Name,
 *     byKey [2] EXPLICIT OCTET STRING }, producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse,
 *     responseExtensions [1] EXPLICIT Extensions OPTIONAL }
 *   SingleResponse ::= SEQUENCE { certID, certStatus CHOICE { good [0] NULL, revoked [1] RevokedInfo,
 *     unknown [2] NULL }, thisUpdate, nextUpdate [0] EXPLICIT OPTIONAL, singleExtensions [1] EXPLICIT OPTIONAL }
 */
import { DerReader } from './der-reader.ts';
import { constructed, implicit, tags } from './der-tags.ts';
import { PkiError } from './error.ts';
import { certIdHashes, nonceOid } from './ocsp-request.ts';

/** The largest response that is read, octets. */
export const ocspOctets = 65_536;
const basicOid = '1.3.6.1.5.5.7.48.1.1';
/** certs and responses that are looked at. */
const listLength = 32;

/** SignedCertificateTimestampList of the certificate (RFC 6962 section 3.3). */
const sctOid = '1.3.6.1.4.1.11129.2.4.5';

const statusNames: Readonly<Record<number, string>> = {
  1: 'malformedRequest',
  2: 'internalError',
  3: 'tryLater',
  5: 'sigRequired',
  6: 'unauthorized',
};

export interface SingleResponse {
  readonly hash: 'sha1' | 'sha256' | undefined;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  readonly serial: Uint8Array;
  readonly status: 'good' | 'revoked' | 'unknown';
  readonly revokedAt: Date | undefined;
  /** CRLReason. */
  readonly reason: number | undefined;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | undefined;
  /** SignedCertificateTimestampList. */
  readonly scts: Uint8Array | undefined;
}

export interface BasicResponse {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** Certificates, unread. */
  readonly certificates: readonly Uint8Array[];
  readonly responder: { readonly name: Uint8Array } | { readonly keyHash: Uint8Array };
  readonly producedAt: Date;
  readonly responses: readonly SingleResponse[];
  readonly nonce: Uint8Array | undefined;
}

/** Throws `malformed`, `limit`, `unsupported`, and `unreachable` for a responder's error status. */
export function parseOcspResponse(bytes: Uint8Array): BasicResponse {
  if (bytes.length > ocspOctets) throw new PkiError('limit', `an OCSP response of ${bytes.length} octets`);
  const outer = DerReader.whole(bytes);
  const status = outer.enumerated();
  if (status !== 0) {
    throw new PkiError('unreachable', `OCSP: responder says ${statusNames[status] ?? `status ${status}`}`);
  }
  const explicit = outer.enter(constructed(0));
  outer.end();
  const responseBytes = explicit.sequence();
  explicit.end();
  const type = responseBytes.oid();
  if (type !== basicOid) throw new PkiError('unsupported', `OCSP: response type ${type}`);
  const basic = DerReader.whole(responseBytes.octetString());
  responseBytes.end();

  const tbs = basic.raw(tags.sequence);
  const signatureAlgorithm = basic.raw(tags.sequence);
  const signature = basic.bitString();
  const certificates: Uint8Array[] = [];
  const certs = basic.optional(constructed(0));
  if (certs) {
    const list = certs.sequence();
    certs.end();
    while (!list.atEnd) certificates.push(bounded(certificates, list.raw(tags.sequence)));
  }
  basic.end();
  return { der: bytes, tbs, signatureAlgorithm, signature, certificates, ...readData(tbs) };
}

function readData(tbs: Uint8Array) {
  const reader = DerReader.whole(tbs);
  const version = reader.optional(constructed(0));
  // v1 is the default, which DER leaves out; responders that write it are in use.
  if (version && version.integer() !== 0) throw new PkiError('unsupported', 'OCSP: version');
  version?.end();
  const responder = readResponder(reader);
  const producedAt = reader.generalizedTime();
  const list = reader.sequence();
  const responses: SingleResponse[] = [];
  while (!list.atEnd) responses.push(bounded(responses, readSingle(list.sequence())));
  const extensions = readExtensions(reader.optional(constructed(1)), [nonceOid]);
  reader.end();
  const nonce = extensions.get(nonceOid);
  return { responder, producedAt, responses, nonce: nonce && nonceOctets(nonce) };
}

function readResponder(reader: DerReader): BasicResponse['responder'] {
  const byName = reader.optional(constructed(1));
  if (byName) {
    const name = byName.raw(tags.sequence);
    byName.end();
    return { name };
  }
  const byKey = reader.enter(constructed(2));
  const keyHash = byKey.octetString();
  byKey.end();
  return { keyHash };
}

function readSingle(reader: DerReader): SingleResponse {
  const certId = reader.sequence();
  const algorithm = certId.sequence();
  const hash = certIdHashes[algorithm.oid()];
  if (!algorithm.atEnd) algorithm.null();
  algorithm.end();
  const issuerNameHash = certId.octetString();
  const issuerKeyHash = certId.octetString();
  const serial = certId.integerBytes();
  certId.end();
  const certStatus = readStatus(reader);
  const thisUpdate = reader.generalizedTime();
  const next = reader.optional(constructed(0));
  const nextUpdate = next?.generalizedTime();
  next?.end();
  const extensions = readExtensions(reader.optional(constructed(1)), [sctOid]);
  reader.end();
  const scts = extensions.get(sctOid);
  return {
    hash,
    issuerNameHash,
    issuerKeyHash,
    serial,
    ...certStatus,
    thisUpdate,
    nextUpdate,
    scts: scts && new DerReader(scts).octetString(),
  };
}

function readStatus(reader: DerReader): Pick<SingleResponse, 'status' | 'revokedAt' | 'reason'> {
  const tag = reader.peek();
  if (tag === implicit(0) || tag === implicit(2)) {
    if (reader.content(tag).length > 0) throw new PkiError('malformed', 'OCSP: certStatus');
    return { status: tag === implicit(0) ? 'good' : 'unknown', revokedAt: undefined, reason: undefined };
  }
  const revoked = reader.enter(constructed(1));
  const revokedAt = revoked.generalizedTime();
  const reasonReader = revoked.optional(constructed(0));
  const reason = reasonReader?.enumerated();
  reasonReader?.end();
  revoked.end();
  return { status: 'revoked', revokedAt, reason };
}

/** Values by OID. A critical extension that is not in `known` is refused. */
function readExtensions(reader: DerReader | undefined, known: readonly string[]): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  if (!reader) return values;
  const list = reader.sequence();
  reader.end();
  while (!list.atEnd) {
    const one = list.sequence();
    const oid = one.oid();
    const critical = one.peek() === tags.boolean && one.boolean();
    const value = one.octetString();
    one.end();
    if (values.has(oid)) throw new PkiError('malformed', `OCSP: extension ${oid} twice`);
    if (critical && !known.includes(oid))
      throw new PkiError('unsupported', `OCSP: critical extension ${oid}`);
    values.set(oid, value);
  }
  return values;
}

/** An OCTET STRING in the extension value; responders that leave it out (RFC 2560 did not ask) are in use. */
function nonceOctets(value: Uint8Array): Uint8Array {
  if (value[0] !== tags.octetString || value[1] !== value.length - 2) return value;
  return value.subarray(2);
}

function bounded<T>(list: readonly unknown[], one: T): T {
  if (list.length >= listLength) throw new PkiError('limit', `OCSP: more than ${listLength} in a list`);
  return one;
}

/** The SCT lists in a response; one that cannot be read has none. Not verified: logs sign SCTs, whoever brings them. */
export function ocspSctLists(response: Uint8Array): Uint8Array[] {
  try {
    return parseOcspResponse(response).responses.flatMap(({ scts }) => scts ?? []);
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
}
