/** Certificates for tests: built by this package's DER writer, right by default, wrong where told. */
import { createECDH, createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import {
  type Certificate,
  constructed,
  der,
  extensionOids,
  implicit,
  keyPurposes,
  parseCertificate,
} from '../index.ts';

export interface KeyPair {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, whole TLV. */
  readonly spki: Uint8Array;
}

/** The P-256 key of this seed: the same in every run. */
export function keyOf(seed: string): KeyPair {
  const ecdh = createECDH('prime256v1');
  const scalar = createHash('sha256').update(`mecai test key ${seed}`).digest();
  // Below the order of the group, as nearly every hash is; this bit makes it certain.
  scalar[0]! &= 0x7f;
  ecdh.setPrivateKey(scalar);
  const point = ecdh.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    d: scalar.toString('base64url'),
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  };
  return pairOf(createPrivateKey({ key: jwk, format: 'jwk' }));
}

export const pairOf = (privateKey: KeyObject): KeyPair => ({
  privateKey,
  spki: Uint8Array.from(createPublicKey(privateKey).export({ format: 'der', type: 'spki' })),
});

export const sha256WithRsa = der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nullValue());
export const ecdsaWithSha256 = der.sequence(der.oid('1.2.840.10045.4.3.2'));

export interface Issued {
  readonly certificate: Certificate;
  readonly der: Uint8Array;
  readonly key: KeyPair;
}

export interface Shape {
  /** Name, whole TLV. */
  readonly subject: Uint8Array;
  readonly issuer?: Issued;
  readonly key: KeyPair;
  readonly serial?: Uint8Array;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions: readonly (Uint8Array | undefined)[];
  readonly version?: number;
  /** Instead of the issuer's subject. */
  readonly issuerName?: Uint8Array;
  /** Instead of the issuer's key. */
  readonly signer?: KeyPair;
  readonly signatureAlgorithm?: Uint8Array;
  readonly hash?: string;
}

export const notBefore = new Date('2026-01-01T00:00:00Z');
export const notAfter = new Date('2027-01-01T00:00:00Z');
/** When test chains are valid. */
export const now = new Date('2026-06-01T00:00:00Z');

let serials = 0;

export function issue(shape: Shape): Issued {
  const signer = shape.signer ?? shape.issuer?.key ?? shape.key;
  const rsa = signer.privateKey.asymmetricKeyType === 'rsa';
  const algorithm = shape.signatureAlgorithm ?? (rsa ? sha256WithRsa : ecdsaWithSha256);
  const extensions = shape.extensions.filter((one) => one !== undefined);
  const tbs = der.sequence(
    ...(shape.version === 1 ? [] : [der.tlv(constructed(0), der.integer((shape.version ?? 3) - 1))]),
    shape.serial ?? der.integer(0x10000 + ++serials),
    algorithm,
    shape.issuerName ?? shape.issuer?.certificate.subject ?? shape.subject,
    der.sequence(der.time(shape.notBefore ?? notBefore), der.time(shape.notAfter ?? notAfter)),
    shape.subject,
    shape.key.spki,
    ...(extensions.length > 0 ? [der.tlv(constructed(3), der.sequence(...extensions))] : []),
  );
  const signature = sign(shape.hash ?? 'sha256', tbs, signer.privateKey);
  const bytes = der.sequence(tbs, algorithm, der.bitString(signature));
  return { certificate: parseCertificate(bytes), der: bytes, key: shape.key };
}

export const attribute = (type: string, value: Uint8Array): Uint8Array =>
  der.setOf(der.sequence(der.oid(type), value));
export const commonName = (value: string): Uint8Array =>
  der.sequence(attribute('2.5.4.3', der.utf8String(value)));
export const emptyName = der.sequence();

export const extension = (oid: string, value: Uint8Array, critical = false): Uint8Array =>
  der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value));

export const ext = {
  basicConstraints: (ca: boolean, pathLength?: number, critical = true) =>
    extension(
      extensionOids.basicConstraints,
      der.sequence(
        ...(ca ? [der.boolean(true)] : []),
        ...(pathLength === undefined ? [] : [der.integer(pathLength)]),
      ),
      critical,
    ),
  /** Bits by number; 5 is keyCertSign, 6 is cRLSign, 0 is digitalSignature. */
  keyUsage: (...bits: number[]) => {
    let octet = 0;
    for (const bit of bits) octet |= 0x80 >> bit;
    let unused = 0;
    while (unused < 7 && (octet & (1 << unused)) === 0) unused++;
    return extension(extensionOids.keyUsage, der.tlv(0x03, Uint8Array.of(unused, octet)), true);
  },
  extKeyUsage: (...purposes: string[]) =>
    extension(extensionOids.extKeyUsage, der.sequence(...purposes.map(der.oid))),
  subjectKeyIdentifier: (spki: Uint8Array) =>
    extension(extensionOids.subjectKeyIdentifier, der.octetString(keyIdentifier(spki))),
  authorityKeyIdentifier: (spki: Uint8Array) =>
    extension(extensionOids.authorityKeyIdentifier, der.sequence(der.tlv(implicit(0), keyIdentifier(spki)))),
  subjectAltName: (names: readonly Uint8Array[], critical = false) =>
    extension(extensionOids.subjectAltName, der.sequence(...names), critical),
  nameConstraints: (permitted: readonly Uint8Array[], excluded: readonly Uint8Array[], critical = true) =>
    extension(
      extensionOids.nameConstraints,
      der.sequence(
        ...(permitted.length > 0
          ? [der.tlv(constructed(0), ...permitted.map((one) => der.sequence(one)))]
          : []),
        ...(excluded.length > 0
          ? [der.tlv(constructed(1), ...excluded.map((one) => der.sequence(one)))]
          : []),
      ),
      critical,
    ),
  policies: (...policies: string[]) =>
    extension(
      extensionOids.certificatePolicies,
      der.sequence(...policies.map((policy) => der.sequence(der.oid(policy)))),
    ),
  crlDistributionPoint: (...uris: string[]) =>
    extension(
      extensionOids.crlDistributionPoints,
      der.sequence(
        ...uris.map((uri) => der.sequence(der.tlv(constructed(0), der.tlv(constructed(0), uriName(uri))))),
      ),
    ),
  ocsp: (uri: string) =>
    extension(
      extensionOids.authorityInfoAccess,
      der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1'), uriName(uri))),
    ),
};

const text = new TextEncoder();
export const dnsName = (name: string): Uint8Array => der.tlv(implicit(2), text.encode(name));
export const emailName = (name: string): Uint8Array => der.tlv(implicit(1), text.encode(name));
export const uriName = (uri: string): Uint8Array => der.tlv(implicit(6), text.encode(uri));
export const ipName = (...octets: number[]): Uint8Array => der.tlv(implicit(7), Uint8Array.from(octets));
export const directoryName = (name: Uint8Array): Uint8Array => der.tlv(constructed(4), name);

export const keyIdentifier = (spki: Uint8Array): Uint8Array =>
  Uint8Array.from(createHash('sha1').update(spki).digest());

type Change = Partial<Shape> & {
  /** Extensions by name instead of the usual ones; undefined leaves one out. */
  readonly change?: Readonly<Record<string, Uint8Array | undefined>>;
};

/** A CA certificate: a root without an issuer, an intermediate with one. */
export function authority(name: string, change: Change = {}): Issued {
  const key = change.key ?? keyOf(name);
  const usual = {
    basicConstraints: ext.basicConstraints(true),
    keyUsage: ext.keyUsage(5, 6),
    subjectKeyIdentifier: ext.subjectKeyIdentifier(key.spki),
    authorityKeyIdentifier: ext.authorityKeyIdentifier((change.issuer?.key ?? key).spki),
  };
  return issue({
    subject: commonName(name),
    key,
    ...change,
    extensions: Object.values({ ...usual, ...change.change }),
  });
}

/** A server certificate for a DNS name. */
export function server(name: string, issuer: Issued, change: Change = {}): Issued {
  const key = change.key ?? keyOf('server');
  const usual = {
    basicConstraints: ext.basicConstraints(false),
    keyUsage: ext.keyUsage(0),
    extKeyUsage: ext.extKeyUsage(keyPurposes.serverAuth),
    authorityKeyIdentifier: ext.authorityKeyIdentifier(issuer.key.spki),
    subjectAltName: ext.subjectAltName([dnsName(name)]),
  };
  return issue({
    subject: commonName(name),
    issuer,
    key,
    ...change,
    extensions: Object.values({ ...usual, ...change.change }),
  });
}
