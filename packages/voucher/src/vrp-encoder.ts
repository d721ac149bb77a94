/** VRP messages to DER. Refuses with `not-encodable` what the grammar would not allow. */
import { constructed, der, implicit, tags } from '@mecai/pki';
import { isOneSequence } from './der-input.ts';
import { rirs, voucherLimits } from './voucher.ts';
import {
  encodeAsn,
  encodeCountry,
  encodeExtensions,
  fits,
  none,
  ordinal,
  sized,
  within,
} from './voucher-encoder.ts';
import {
  type ChainResult,
  chainStatuses,
  isServerName,
  type KeyProof,
  maxRequestOctets,
  type Outcome,
  outcomeVerdicts,
  type PerspectiveOutcome,
  refusalReasons,
  startTlsProtocols,
  type TbsVoucherRequest,
  type VoucherRequest,
  type VoucherResponse,
  vrpLimits as limits,
  vrpVersion,
} from './vrp.ts';

const version = der.integer(vrpVersion);

/**
 * VoucherRequest ::= SEQUENCE { tbsRequest TBSVoucherRequest,
 *   proofs [0] SEQUENCE SIZE (1..4) OF KeyProof OPTIONAL }
 */
export function encodeVoucherRequest(request: VoucherRequest): Uint8Array {
  const tbs = encodeTbsVoucherRequest(request);
  const encoded = der.sequence(tbs, encodeProofs(request.proofs ?? [], request.chains.length));
  fits(encoded.length <= maxRequestOctets, `request of ${encoded.length} octets`);
  return encoded;
}

/**
 * TBSVoucherRequest ::= SEQUENCE { version INTEGER { v1(1) }, ipv4 [0] IPv4Address OPTIONAL,
 *   ipv6 [1] IPv6Address OPTIONAL, port Port, serverName IA5String (SIZE (1..253)),
 *   startTls [2] IA5String (SIZE (1..16)) OPTIONAL, chains SEQUENCE SIZE (1..4) OF CertificateChain,
 *   nonce [3] OCTET STRING (SIZE (16..64)) OPTIONAL, extensions [4] Extensions OPTIONAL }
 * CertificateChain ::= SEQUENCE SIZE (1..10) OF Certificate
 */
export function encodeTbsVoucherRequest(request: TbsVoucherRequest): Uint8Array {
  const { ipv4, ipv6, startTls, chains, nonce, extensions } = request;
  fits(ipv4 !== undefined || ipv6 !== undefined, 'an address');
  within(request.port, 1, 65_535, 'port');
  fits(isServerName(request.serverName), `serverName (${request.serverName})`);
  if (startTls !== undefined) fits(startTlsProtocols.includes(startTls), `startTls (${startTls})`);
  within(chains.length, 1, limits.chains, 'number of chains');
  for (const chain of chains) within(chain.length, 1, limits.certificates, 'number of certificates');
  if (nonce) within(nonce.length, limits.nonceOctets.least, limits.nonceOctets.most, 'size of nonce');
  return der.sequence(
    version,
    ipv4 ? der.tlv(implicit(0), sized(ipv4, 4, 'ipv4')) : none,
    ipv6 ? der.tlv(implicit(1), sized(ipv6, 16, 'ipv6')) : none,
    der.integer(request.port),
    der.tlv(tags.ia5String, der.utf8(request.serverName)),
    startTls ? der.tlv(implicit(2), der.utf8(startTls)) : none,
    der.sequence(...chains.map((chain) => der.sequence(...chain.map(oneSequence)))),
    nonce ? der.tlv(implicit(3), nonce) : none,
    extensions && extensions.length > 0 ? encodeExtensions(extensions, constructed(4)) : none,
  );
}

/** Makes sure that this is one value: two run together would become two certificates. */
function oneSequence(certificate: Uint8Array): Uint8Array {
  fits(isOneSequence(certificate), 'a certificate that is not one SEQUENCE');
  return certificate;
}

/** KeyProof ::= SEQUENCE { chain INTEGER (0..3), signature OCTET STRING (SIZE (1..1024)) } */
function encodeProofs(proofs: readonly KeyProof[], chains: number): Uint8Array {
  if (proofs.length === 0) return none;
  const ascending = proofs.toSorted((a, b) => a.chain - b.chain);
  return der.tlv(
    constructed(0),
    ...ascending.map((one, i) => {
      within(one.chain, 0, chains - 1, 'proof.chain');
      fits(one.chain !== ascending[i - 1]?.chain, 'one proof a chain');
      within(one.signature.length, 1, limits.signatureOctets, 'size of proof.signature');
      return der.sequence(der.integer(one.chain), der.octetString(one.signature));
    }),
  );
}

/**
 * VoucherResponse ::= SEQUENCE { version INTEGER { v1(1) }, results SEQUENCE SIZE (1..4) OF ChainResult }
 */
export function encodeVoucherResponse(response: VoucherResponse): Uint8Array {
  within(response.results.length, 1, limits.chains, 'number of results');
  return der.sequence(version, der.sequence(...response.results.map(encodeResult)));
}

/**
 * ChainResult ::= SEQUENCE { leaf [0] Digest OPTIONAL, status ChainStatus, reason [1] RefusalReason OPTIONAL,
 *   retryAfter [2] INTEGER (0..4294967295) OPTIONAL, detail [3] UTF8String (SIZE (1..1024)) OPTIONAL,
 *   voucher [4] OCTET STRING (SIZE (1..65500)) OPTIONAL,
 *   perspectives SEQUENCE SIZE (0..64) OF PerspectiveOutcome }
 */
function encodeResult(result: ChainResult): Uint8Array {
  const { leaf, status, reason, retryAfter, detail, voucher, perspectives } = result;
  fits((reason !== undefined) === (status === 'refused'), 'a reason exactly when refused');
  fits((voucher !== undefined) === (status === 'issued'), 'a voucher exactly when issued');
  if (retryAfter !== undefined) within(retryAfter, 0, limits.retryAfterSeconds, 'retryAfter');
  if (voucher) within(voucher.length, 1, voucherLimits.signedOctets, 'size of the voucher');
  within(perspectives.length, 0, voucherLimits.perspectives, 'number of perspectives');
  return der.sequence(
    leaf ? der.tlv(implicit(0), sized(leaf, voucherLimits.digestOctets, 'leaf')) : none,
    ordinal(chainStatuses, status, tags.enumerated, 'status'),
    reason ? ordinal(refusalReasons, reason, implicit(1), 'reason') : none,
    retryAfter === undefined ? none : der.integer(retryAfter, implicit(2)),
    detail === undefined ? none : utf8(detail, implicit(3), limits.detailOctets, 'detail'),
    voucher ? der.tlv(implicit(4), voucher) : none,
    der.sequence(...perspectives.map(encodePerspectiveOutcome)),
  );
}

/**
 * PerspectiveOutcome ::= SEQUENCE { country Country, rir Rir, asn ASNumber, ipv4 [0] Outcome OPTIONAL,
 *   ipv6 [1] Outcome OPTIONAL }
 */
const encodePerspectiveOutcome = (one: PerspectiveOutcome): Uint8Array =>
  der.sequence(
    encodeCountry(one.country),
    ordinal(rirs, one.rir, tags.enumerated, 'rir'),
    encodeAsn(one.asn),
    one.ipv4 ? encodeOutcome(one.ipv4, constructed(0)) : none,
    one.ipv6 ? encodeOutcome(one.ipv6, constructed(1)) : none,
  );

/** Outcome ::= SEQUENCE { verdict OutcomeVerdict, code UTF8String (SIZE (1..64)) OPTIONAL } */
const encodeOutcome = ({ verdict, code }: Outcome, tag: number): Uint8Array =>
  der.tlv(
    tag,
    ordinal(outcomeVerdicts, verdict, tags.enumerated, 'verdict'),
    code === undefined ? none : utf8(code, tags.utf8String, limits.codeOctets, 'code'),
  );

function utf8(value: string, tag: number, most: number, what: string): Uint8Array {
  fits(value.isWellFormed(), `${what} with a lone surrogate`);
  const encoded = der.utf8(value);
  within(encoded.length, 1, most, `size of ${what}`);
  return der.tlv(tag, encoded);
}
