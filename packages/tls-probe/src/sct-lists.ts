import { type Element, element, octetString, publicKeyElement, sequence, tagged } from './der.ts';
import { ProbeFailure } from './failure.ts';
import type { Observation } from './observation.ts';
import type { SctList } from './prober.ts';

// The list of certificates and of OCSP responses: an extension whose value is an OCTET STRING that holds a
// SignedCertificateTimestampList (RFC 6962 section 3.3).
//   Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }

/** 1.3.6.1.4.1.11129.2.4.2 in certificates, …2.4.5 in OCSP responses; tag and length included. */
const inCertificate = Buffer.from('060a2b06010401d679020402', 'hex');
const inOcsp = Buffer.from('060a2b06010401d679020405', 'hex');

/** Whatever stands at `at`. */
const any = (der: Buffer, at: number, limit: number): Element => element(der, at, limit, der[at] ?? 0);

function* children(der: Buffer, { content, end }: Element): Generator<Element, void, undefined> {
  for (let at = content; at < end; ) {
    const child = any(der, at, end);
    yield child;
    at = child.end;
  }
}

/** The lists in `outer`, which holds Extensions ::= SEQUENCE OF Extension. */
function* listsIn(der: Buffer, outer: Element, oid: Buffer): Generator<Uint8Array, void, undefined> {
  for (const extension of children(der, element(der, outer.content, outer.end, sequence))) {
    const [id, ...rest] = children(der, extension);
    const value = rest.at(-1);
    if (!id || !value || !der.subarray(id.start, id.end).equals(oid)) continue;
    const octets = element(der, value.start, value.end, octetString);
    const list = element(der, octets.content, octets.end, octetString);
    yield new Uint8Array(der.subarray(list.content, list.end));
  }
}

/** @throws ProbeFailure `bad-certificate` where the way to the list is not DER */
export function* embeddedLists(der: Buffer): Generator<Uint8Array, void, undefined> {
  const certificate = element(der, 0, der.length, sequence);
  const tbs = element(der, certificate.content, certificate.end, sequence);
  for (const part of children(der, { ...tbs, content: publicKeyElement(der, tbs).end })) {
    if (der[part.start] === tagged(3)) yield* listsIn(der, part, inCertificate);
  }
}

// OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT SEQUENCE {
//   responseType OBJECT IDENTIFIER, response OCTET STRING holding BasicOCSPResponse } OPTIONAL }
// BasicOCSPResponse ::= SEQUENCE { tbsResponseData SEQUENCE { version [0] EXPLICIT DEFAULT v1, responderID,
//   producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse, … }, … }
// SingleResponse ::= SEQUENCE { certID, certStatus, thisUpdate, nextUpdate [0] OPTIONAL,
//   singleExtensions [1] EXPLICIT OPTIONAL }     RFC 6960 section 4.2.1
/** @throws ProbeFailure as above */
export function* stapledLists(der: Buffer): Generator<Uint8Array, void, undefined> {
  const outer = element(der, 0, der.length, sequence);
  const bytes = element(der, any(der, outer.content, outer.end).end, outer.end, tagged(0));
  const typed = element(der, bytes.content, bytes.end, sequence);
  const octets = element(der, any(der, typed.content, typed.end).end, typed.end, octetString);
  const basic = element(der, octets.content, octets.end, sequence);
  const data = element(der, basic.content, basic.end, sequence);
  // The one SEQUENCE among its siblings; responderID is tagged.
  for (const responses of children(der, data)) {
    if (der[responses.start] !== sequence) continue;
    for (const single of children(der, responses)) {
      // certStatus may be [1] too, so the last part alone is looked at.
      const last = [...children(der, single)].at(-1);
      if (last && der[last.start] === tagged(1)) yield* listsIn(der, last, inOcsp);
    }
  }
}

/** What cannot be read holds no list: judging certificates and responses is the validator's work. */
function listsFound(
  bytes: Uint8Array,
  oid: Buffer,
  lists: (der: Buffer) => Generator<Uint8Array, void, undefined>,
): Uint8Array[] {
  const der = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  // Most have none, and searching is far cheaper than walking.
  if (!der.includes(oid)) return [];
  try {
    return [...lists(der)];
  } catch (error) {
    if (error instanceof ProbeFailure) return [];
    throw error;
  }
}

/** The SCT lists of all three places (RFC 6962 section 3.3), verbatim. */
export function sctListsOf({ chain, ocspResponses, tlsSctLists }: Observation): SctList[] {
  return [
    ...chain.flatMap((der, certificate) =>
      listsFound(der, inCertificate, embeddedLists).map((list) => ({
        source: 'certificate' as const,
        certificate,
        list,
      })),
    ),
    ...tlsSctLists.map((found) => ({ source: 'tls' as const, ...found })),
    ...ocspResponses.flatMap(({ certificate, der }) =>
      listsFound(der, inOcsp, stapledLists).map((list) => ({ source: 'ocsp' as const, certificate, list })),
    ),
  ];
}
