/**
 * Signed documents that people and researchers read: JSON in a JSON Web Signature, compact form (RFC 7515
 * section 3.1). The octets that travel are those that were signed, so that nothing has to be brought into a
 * canonical form; the strict JSON reader takes both parts; every JOSE library can check the signature.
 */
import { DerReader } from '@mecai/pki';
import { type KeyObject, sign, verify } from 'node:crypto';
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { JsonReader } from './json-reader.ts';

/** ECDSA only, and the hash goes with the curve (RFC 7518 section 3.4). */
const algorithms = {
  ES256: { curve: 'prime256v1', hash: 'sha256', octets: 64 },
  ES384: { curve: 'secp384r1', hash: 'sha384', octets: 96 },
} as const;
export type JwsAlgorithm = keyof typeof algorithms;

/** Who signed: by the name of a key that the reader has, or by certificates, the signer's first. */
export type JwsSigner = { readonly kid: string } | { readonly x5c: readonly Uint8Array[] };

export interface Jws {
  readonly algorithm: JwsAlgorithm;
  readonly signer: JwsSigner;
  /** Octets of the JSON that was signed. */
  readonly payload: Uint8Array;
  /** ASCII of both encoded parts and the dot between them: never the start of a DER SET, as CMS signs. */
  readonly toBeSigned: Uint8Array;
  /** r and s, each as long as the curve's order. */
  readonly signature: Uint8Array;
}

const headerOctets = 65_536;
const certificateOctets = 16_384;
const kidPattern = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Header: `{"alg": "ES256", "typ": "<typ>", "kid": "<name>"}` or `{…, "x5c": ["<base64 DER>", …]}`. No other
 * member is understood, `crit` and `b64` (RFC 7797) among them.
 *
 * @param typ what kind of document is wanted: a signature over one kind is none over another
 * @param maxOctets of the payload
 * @throws VoucherError `malformed`; nothing is verified
 */
export function parseJws(bytes: Uint8Array, typ: string, maxOctets: number): Jws {
  const what = typ;
  if (bytes.length > (headerOctets + maxOctets) * 2) throw new VoucherError('malformed', `${what}: too long`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').trimEnd();
  const parts = text.split('.');
  const [header, payload, signature] = parts.map((part) => fromBase64Url(part, what));
  if (parts.length !== 3 || !header || !payload || !signature) {
    throw new VoucherError('malformed', `${what}: not three parts of a JWS`);
  }
  if (payload.length > maxOctets) throw new VoucherError('malformed', `${what}: above ${maxOctets} octets`);
  const root = new JsonReader(parseJson(`${what} header`, header, headerOctets), `${what} header`);
  root.only('alg', 'typ', 'kid', 'x5c');
  const algorithm = root.member('alg').word(Object.keys(algorithms) as JwsAlgorithm[]);
  root.member('typ').word([typ]);
  const kid = root.optional('kid')?.matching(kidPattern, 'key name');
  const x5c = root
    .optional('x5c')
    ?.array(1, 10)
    .map((one) => one.bytes(1, certificateOctets));
  root.check((kid === undefined) !== (x5c === undefined), 'either kid or x5c belongs here');
  root.check(signature.length === algorithms[algorithm].octets, 'size of the signature');
  return {
    algorithm,
    signer: x5c ? { x5c } : { kid: kid! },
    payload,
    toBeSigned: Buffer.from(text.slice(0, text.lastIndexOf('.')), 'latin1'),
    signature,
  };
}

/** @throws VoucherError `bad-signature` unless `key` signed it with the algorithm that goes with its curve */
export function verifyJws(jws: Jws, key: KeyObject): void {
  const { curve, hash } = algorithms[jws.algorithm];
  const good =
    key.asymmetricKeyDetails?.namedCurve === curve &&
    verify(hash, jws.toBeSigned, { key, dsaEncoding: 'ieee-p1363' }, jws.signature);
  if (!good) throw new VoucherError('bad-signature', 'the signature is not that of the key named');
}

export interface PreparedJws {
  readonly toBeSigned: Uint8Array;
  /** The document, from a DER ECDSA-Sig-Value. */
  finish(signature: Uint8Array): string;
}

/** In two steps, so that the key can stay in an HSM. */
export function prepareJws(
  payload: Uint8Array,
  typ: string,
  algorithm: JwsAlgorithm,
  signer: JwsSigner,
): PreparedJws {
  const members =
    'x5c' in signer ? { x5c: signer.x5c.map((one) => Buffer.from(one).toString('base64')) } : signer;
  const header = Buffer.from(JSON.stringify({ alg: algorithm, typ, ...members }));
  const input = `${header.toString('base64url')}.${Buffer.from(payload).toString('base64url')}`;
  return {
    toBeSigned: Buffer.from(input, 'latin1'),
    finish: (signature) => `${input}.${concatenated(signature, algorithms[algorithm].octets / 2)}`,
  };
}

/** Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279 section 2.2.3), as RFC 7518 section 3.4 has it. */
function concatenated(signature: Uint8Array, octets: number): string {
  const reader = DerReader.whole(signature);
  const numbers = [reader.integerBytes(), reader.integerBytes()].map((one) => {
    const unsigned = one[0] === 0 ? one.subarray(1) : one;
    return Buffer.concat([Buffer.alloc(octets - unsigned.length), unsigned]);
  });
  reader.end();
  return Buffer.concat(numbers).toString('base64url');
}

/** `prepareJws` with a key at hand, on P-256 or P-384. */
export function signJws(payload: Uint8Array, typ: string, key: KeyObject, signer: JwsSigner): string {
  const algorithm = jwsAlgorithmOf(key);
  const prepared = prepareJws(payload, typ, algorithm, signer);
  const { hash } = algorithms[algorithm];
  return prepared.finish(sign(hash, prepared.toBeSigned, key));
}

/** @throws VoucherError `not-encodable` for a key on another curve */
export function jwsAlgorithmOf(key: KeyObject): JwsAlgorithm {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const found = (Object.keys(algorithms) as JwsAlgorithm[]).find((one) => algorithms[one].curve === curve);
  if (!found) throw new VoucherError('not-encodable', 'JWS: a key neither on P-256 nor on P-384');
  return found;
}

function fromBase64Url(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw new VoucherError('malformed', `${what}: no base64url`);
  return bytes;
}
