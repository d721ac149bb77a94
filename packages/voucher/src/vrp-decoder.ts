/** DER to VRP messages, strictly. */
import { constructed, type DerReader, implicit, tags } from '@mecai/pki';
import { readDer } from './der-input.ts';
import { VoucherError } from './error.ts';
import {
  integerIn,
  listOf,
  malformed,
  optionalOctets,
  readExtensions,
  readPlace,
  wordOf,
} from './voucher-decoder.ts';
import { voucherLimits } from './voucher.ts';
import {
  type ChainResult,
  chainStatuses,
  isServerName,
  type KeyProof,
  maxRequestOctets,
  maxResponseOctets,
  type Outcome,
  outcomeVerdicts,
  type PerspectiveOutcome,
  type ReceivedVoucherRequest,
  refusalReasons,
  type StartTlsProtocol,
  startTlsProtocols,
  type TbsVoucherRequest,
  type VoucherResponse,
  vrpLimits as limits,
} from './vrp.ts';

/**
 * VoucherRequest ::= SEQUENCE { tbsRequest TBSVoucherRequest,
 *   proofs [0] SEQUENCE SIZE (1..4) OF KeyProof OPTIONAL }
 *
 * Throws `VoucherError` with `malformed`, `unsupported-version` or `unknown-critical-extension`. Byte
 * fields are views into `bytes`. The certificates are taken as they are: `checkVoucherRequest` reads them.
 */
export function decodeVoucherRequest(bytes: Uint8Array): ReceivedVoucherRequest {
  if (bytes.length > maxRequestOctets) throw malformed('voucher request: too long');
  return readDer('voucher request', bytes, (reader) => {
    const tbs = reader.raw(tags.sequence);
    const request = readDer('voucher request', tbs, readTbsRequest);
    const proofs = reader.peek() === constructed(0) ? readProofs(reader, request.chains.length) : undefined;
    return { ...request, ...(proofs && { proofs }), tbs };
  });
}

/**
 * TBSVoucherRequest ::= SEQUENCE { version INTEGER { v1(1) }, ipv4 [0] IPv4Address OPTIONAL,
 *   ipv6 [1] IPv6Address OPTIONAL, port Port, serverName IA5String (SIZE (1..253)),
 *   startTls [2] IA5String (SIZE (1..16)) OPTIONAL, chains SEQUENCE SIZE (1..4) OF CertificateChain,
 *   nonce [3] OCTET STRING (SIZE (16..64)) OPTIONAL, extensions [4] Extensions OPTIONAL }
 * CertificateChain ::= SEQUENCE SIZE (1..10) OF Certificate
 */
function readTbsRequest(reader: DerReader): TbsVoucherRequest {
  readVersion(reader, 'request');
  const ipv4 = optionalOctets(reader, implicit(0), 4, 'ipv4');
  const ipv6 = optionalOctets(reader, implicit(1), 16, 'ipv6');
  if (!ipv4 && !ipv6) throw malformed('no address');
  const port = integerIn(reader, 1, 65_535, 'port');
  const serverName = reader.ia5String();
  if (!isServerName(serverName)) throw malformed('serverName is no lower-case host name');
  const startTls = reader.peek() === implicit(2) ? readStartTls(reader) : undefined;
  const chains = listOf(reader, 1, limits.chains, 'chains', (list) =>
    listOf(list, 1, limits.certificates, 'certificates', (chain) => chain.raw(tags.sequence)),
  );
  const nonce = reader.peek() === implicit(3) ? readNonce(reader) : undefined;
  const extensions = readExtensions(reader, constructed(4));
  return {
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
    port,
    serverName,
    ...(startTls && { startTls }),
    chains,
    ...(nonce && { nonce }),
    ...(extensions && { extensions }),
  };
}

function readStartTls(reader: DerReader): StartTlsProtocol {
  const name = reader.ia5String(implicit(2));
  const protocol = startTlsProtocols.find((one) => one === name);
  if (!protocol) throw malformed('unknown startTls protocol');
  return protocol;
}

function readNonce(reader: DerReader): Uint8Array {
  const nonce = reader.octetString(implicit(3));
  const { least, most } = limits.nonceOctets;
  if (nonce.length < least || nonce.length > most) throw malformed(`nonce of ${nonce.length} octets`);
  return nonce;
}

/** KeyProof ::= SEQUENCE { chain INTEGER (0..3), signature OCTET STRING (SIZE (1..1024)) } */
function readProofs(reader: DerReader, chains: number): KeyProof[] {
  let previous = -1;
  return listOf(
    reader,
    1,
    limits.chains,
    'proofs',
    (list) => {
      const one = list.sequence();
      const chain = integerIn(one, 0, chains - 1, 'proof.chain');
      if (chain <= previous) throw malformed('proofs not ascending');
      previous = chain;
      const signature = one.octetString();
      one.end();
      if (signature.length === 0 || signature.length > limits.signatureOctets) {
        throw malformed('size of proof.signature');
      }
      return { chain, signature };
    },
    constructed(0),
  );
}

/**
 * VoucherResponse ::= SEQUENCE { version INTEGER { v1(1) }, results SEQUENCE SIZE (1..4) OF ChainResult }
 *
 * Throws `VoucherError` with `malformed` or `unsupported-version`. Vouchers in it are not looked into.
 */
export function decodeVoucherResponse(bytes: Uint8Array): VoucherResponse {
  if (bytes.length > maxResponseOctets) throw malformed('voucher response: too long');
  return readDer('voucher response', bytes, (reader) => {
    readVersion(reader, 'response');
    return { results: listOf(reader, 1, limits.chains, 'results', (list) => readResult(list.sequence())) };
  });
}

/**
 * ChainResult ::= SEQUENCE { leaf [0] Digest OPTIONAL, status ChainStatus, reason [1] RefusalReason OPTIONAL,
 *   retryAfter [2] INTEGER (0..4294967295) OPTIONAL, detail [3] UTF8String (SIZE (1..1024)) OPTIONAL,
 *   voucher [4] OCTET STRING (SIZE (1..65500)) OPTIONAL,
 *   perspectives SEQUENCE SIZE (0..64) OF PerspectiveOutcome }
 */
function readResult(reader: DerReader): ChainResult {
  const leaf = optionalOctets(reader, implicit(0), voucherLimits.digestOctets, 'leaf');
  const status = wordOf(reader, chainStatuses, tags.enumerated, 'status');
  const reason =
    reader.peek() === implicit(1) ? wordOf(reader, refusalReasons, implicit(1), 'reason') : undefined;
  if ((reason !== undefined) !== (status === 'refused')) throw malformed('reason not exactly when refused');
  const retryAfter =
    reader.peek() === implicit(2)
      ? integerIn(reader, 0, limits.retryAfterSeconds, 'retryAfter', implicit(2))
      : undefined;
  const detail =
    reader.peek() === implicit(3) ? text(reader, implicit(3), limits.detailOctets, 'detail') : undefined;
  const voucher = reader.peek() === implicit(4) ? readVoucher(reader) : undefined;
  if ((voucher !== undefined) !== (status === 'issued')) throw malformed('voucher not exactly when issued');
  const perspectives = listOf(reader, 0, voucherLimits.perspectives, 'perspectives', (list) =>
    readPerspectiveOutcome(list.sequence()),
  );
  reader.end();
  return {
    ...(leaf && { leaf }),
    status,
    ...(reason && { reason }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(detail !== undefined && { detail }),
    ...(voucher && { voucher }),
    perspectives,
  };
}

function readVoucher(reader: DerReader): Uint8Array {
  const voucher = reader.octetString(implicit(4));
  if (voucher.length === 0 || voucher.length > voucherLimits.signedOctets) throw malformed('size of voucher');
  return voucher;
}

/**
 * PerspectiveOutcome ::= SEQUENCE { country Country, rir Rir, asn ASNumber, ipv4 [0] Outcome OPTIONAL,
 *   ipv6 [1] Outcome OPTIONAL }
 */
function readPerspectiveOutcome(reader: DerReader): PerspectiveOutcome {
  const place = readPlace(reader);
  const first = reader.optional(constructed(0));
  const ipv4 = first && readOutcome(first);
  const second = reader.optional(constructed(1));
  const ipv6 = second && readOutcome(second);
  reader.end();
  return { ...place, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** Outcome ::= SEQUENCE { verdict OutcomeVerdict, code UTF8String (SIZE (1..64)) OPTIONAL } */
function readOutcome(reader: DerReader): Outcome {
  const verdict = wordOf(reader, outcomeVerdicts, tags.enumerated, 'verdict');
  const code = reader.atEnd ? undefined : text(reader, tags.utf8String, limits.codeOctets, 'code');
  reader.end();
  return { verdict, ...(code !== undefined && { code }) };
}

function text(reader: DerReader, tag: number, most: number, what: string): string {
  const value = reader.utf8String(tag);
  if (value === '' || Buffer.byteLength(value) > most) throw malformed(`size of ${what}`);
  return value;
}

function readVersion(reader: DerReader, what: string): void {
  if (reader.integer() !== 1) throw new VoucherError('unsupported-version', `${what} version`);
}
