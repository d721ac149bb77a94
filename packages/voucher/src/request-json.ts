/** VoucherRequest as JSON: the members of the grammar in camel case, addresses as text, bytes in base64. */
import type { Extension } from '@mecai/pki';
import { isOneSequence } from './der-input.ts';
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { addressText, base64, JsonReader } from './json-reader.ts';
import { voucherLimits } from './voucher.ts';
import {
  isServerName,
  type KeyProof,
  maxRequestOctets,
  type ReceivedVoucherRequest,
  startTlsProtocols,
  type TbsVoucherRequest,
  type VoucherRequest,
  vrpLimits as limits,
  vrpVersion,
} from './vrp.ts';
import { encodeTbsVoucherRequest, encodeVoucherRequest } from './vrp-encoder.ts';

/**
 * {
 *   "version": 1,
 *   "addresses": ["192.0.2.1", "2001:db8::1"],          one or two, not two of a kind
 *   "port": 443,
 *   "serverName": "www.example.org",
 *   "startTls": "smtp",                                 optional
 *   "chains": [["<certificate>", …], …],                each DER in base64, or one PEM block
 *   "nonce": "<base64>",                                optional
 *   "extensions": [{ "oid", "critical", "value" }],     optional
 *   "proofs": [{ "chain": 0, "signature": "<base64>" }] optional
 * }
 *
 * Throws `VoucherError` as `decodeVoucherRequest` does, and names the member. `tbs` is DER: a proof covers
 * the same octets whether the request travels in DER or in JSON.
 */
export function decodeVoucherRequestJson(bytes: Uint8Array): ReceivedVoucherRequest {
  const root = new JsonReader(parseJson('voucher request', bytes, maxRequestOctets), 'request');
  root.only(
    'version',
    'addresses',
    'port',
    'serverName',
    'startTls',
    'chains',
    'nonce',
    'extensions',
    'proofs',
  );
  if (root.member('version').integer(0, 2 ** 31) !== vrpVersion) {
    throw new VoucherError('unsupported-version', 'request.version');
  }
  const serverName = root.member('serverName');
  const name = serverName.string();
  serverName.check(isServerName(name), 'no lower-case host name');
  const startTls = root.optional('startTls')?.word(startTlsProtocols);
  const { least, most } = limits.nonceOctets;
  const nonce = root.optional('nonce')?.bytes(least, most);
  const extensions = root.optional('extensions')?.array(1, voucherLimits.extensions).map(readExtension);
  const request: TbsVoucherRequest = {
    ...readAddresses(root.member('addresses')),
    port: root.member('port').integer(1, 65_535),
    serverName: name,
    ...(startTls && { startTls }),
    chains: root.member('chains').array(1, limits.chains).map(readChain),
    ...(nonce && { nonce }),
    ...(extensions && { extensions }),
  };
  const proofs = root.optional('proofs');
  const tbs = encoded(() => encodeTbsVoucherRequest(request));
  const received = { ...request, ...(proofs && { proofs: readProofs(proofs, request.chains.length) }), tbs };
  // Neither form may carry what the other could not.
  encoded(() => encodeVoucherRequest(received));
  return received;
}

function readAddresses(reader: JsonReader): Pick<TbsVoucherRequest, 'ipv4' | 'ipv6'> {
  const addresses = reader.array(1, 2).map((one) => one.address());
  const ipv4 = addresses.find((one) => one.length === 4);
  const ipv6 = addresses.find((one) => one.length === 16);
  reader.check(addresses.length === 1 || (ipv4 !== undefined && ipv6 !== undefined), 'two of one kind');
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

const readChain = (reader: JsonReader): Uint8Array[] =>
  reader.array(1, limits.certificates).map((one) => {
    const certificate = one.certificate(maxRequestOctets);
    one.check(isOneSequence(certificate), 'no certificate in DER');
    return certificate;
  });

function readExtension(reader: JsonReader): Extension {
  reader.only('oid', 'critical', 'value');
  const oid = reader.member('oid').matching(/^[012](\.(0|[1-9]\d*)){1,32}$/, 'object identifier');
  const critical = reader.optional('critical')?.boolean() ?? false;
  const value = reader.member('value').bytes(0, voucherLimits.extensionOctets);
  // No extension is defined yet, so that every critical one is unknown.
  if (critical) throw new VoucherError('unknown-critical-extension', `unknown critical extension ${oid}`);
  return { oid, critical, value };
}

/** In any order, as the names of members are; one a chain. */
function readProofs(reader: JsonReader, chains: number): KeyProof[] {
  const proofs = reader.array(1, limits.chains).map((one) => {
    one.only('chain', 'signature');
    return {
      chain: one.member('chain').integer(0, chains - 1),
      signature: one.member('signature').bytes(1, limits.signatureOctets),
    };
  });
  reader.check(new Set(proofs.map((one) => one.chain)).size === proofs.length, 'two proofs for one chain');
  return proofs.toSorted((a, b) => a.chain - b.chain);
}

/** What the encoder refuses in a foreign request is the request's fault, not its reader's. */
function encoded(encode: () => Uint8Array): Uint8Array {
  try {
    return encode();
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new VoucherError('malformed', `request: ${cause.message}`, { cause });
  }
}

/** JSON text of a request. Throws `not-encodable` as `encodeVoucherRequest` does. */
export function encodeVoucherRequestJson(request: VoucherRequest): string {
  encodeVoucherRequest(request);
  const { ipv4, ipv6, port, serverName, startTls, chains, nonce, extensions, proofs } = request;
  return JSON.stringify({
    version: vrpVersion,
    addresses: [ipv4, ipv6].filter((one) => one !== undefined).map(addressText),
    port,
    serverName,
    startTls,
    chains: chains.map((chain) => chain.map(base64)),
    nonce: nonce && base64(nonce),
    extensions: extensions?.map(({ oid, critical, value }) => ({ oid, critical, value: base64(value) })),
    proofs: proofs?.map(({ chain, signature }) => ({ chain, signature: base64(signature) })),
  });
}
