import { der, parseCertificate } from '@mecai/pki';
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { changed, mutations, primitive, readTree, writeTree } from './der-tree.ts';
import { testCertificate } from './testing.ts';
import { signed } from './va-certificate.ts';

const subject = testCertificate({ subject: 'subject' });
const issuer = testCertificate({ subject: 'issuer' });

const rsaWith = (digest: number) => der.sequence(der.oid(`1.2.840.113549.1.1.${digest}`), der.nullValue());
const ecdsaWith = (digest: number) => der.sequence(der.oid(`1.2.840.10045.4.3.${digest}`));
const pssWith = (salt: number) => {
  const sha256 = der.sequence(der.oid('2.16.840.1.101.3.4.2.1'), der.nullValue());
  return der.sequence(
    der.oid('1.2.840.113549.1.1.10'),
    der.sequence(
      der.tlv(0xa0, sha256),
      der.tlv(0xa1, der.sequence(der.oid('1.2.840.113549.1.1.8'), sha256)),
      der.tlv(0xa2, der.integer(salt)),
    ),
  );
};

interface Link {
  /** SubjectPublicKeyInfo of the issuer. */
  readonly spki: Uint8Array;
  /** AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
  readonly signature: (tbs: Uint8Array) => Uint8Array;
}

/** Both certificates of a link, those above with another key, algorithm and signature. */
function certificatesOf({ spki, algorithm, signature }: Link) {
  const above = changed(readTree(issuer.der), [0, 6], () => [readTree(spki)]);
  const tree = changed(readTree(subject.der), [0, 2], () => [readTree(algorithm)]);
  const tbs = writeTree(tree.children![0]!);
  return {
    issuer: writeTree(above),
    subject: der.sequence(tbs, algorithm, der.bitString(signature(tbs))),
  };
}

function isSigned(link: Link): boolean {
  const certificates = certificatesOf(link);
  return signed(parseCertificate(certificates.issuer), parseCertificate(certificates.subject));
}

/** What `signed` is narrower than: a certificate as OpenSSL reads and verifies it. */
function isSignedForOpenSsl(link: Link): boolean {
  const certificates = certificatesOf(link);
  const key = createPublicKey({ key: Buffer.from(link.spki), format: 'der', type: 'spki' });
  return new X509Certificate(certificates.subject).verify(key);
}

const spkiOf = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const short = generateKeyPairSync('rsa', { modulusLength: 1024 });
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const [p256, p521, koblitz] = [ec('P-256'), ec('P-521'), ec('secp256k1')];
const [ed25519, ed448] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed448')];

const by =
  (digest: string | null, { privateKey }: { readonly privateKey: KeyObject }) =>
  (tbs: Uint8Array) =>
    sign(digest, tbs, privateKey);
const byPss = (saltLength: number) => (tbs: Uint8Array) =>
  sign('sha256', tbs, { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
const rsaLink = (digest: string, oid: number, pair = rsa): Link => ({
  spki: spkiOf(pair.publicKey),
  algorithm: rsaWith(oid),
  signature: by(digest, pair),
});
const ecLink = (pair: ReturnType<typeof ec>): Link => ({
  spki: spkiOf(pair.publicKey),
  algorithm: ecdsaWith(2),
  signature: by('sha256', pair),
});

/** An RSA key whose modulus is a Mersenne prime, 2^bits - 1: of any size and exponent without a search. */
function mersenne(bits: number, exponent: bigint): Link {
  const modulus = (1n << BigInt(bits)) - 1n;
  const octets = Math.ceil(bits / 8);
  const bytes = (value: bigint, size: number) =>
    Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex');
  const unsigned = (value: bigint) => {
    const hex = value.toString(16);
    const even = hex.length % 2 === 0 ? hex : `0${hex}`;
    return der.tlv(0x02, Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, 'hex'));
  };
  const key = der.sequence(unsigned(modulus), unsigned(exponent));
  return {
    spki: der.sequence(rsaWith(1), der.bitString(key)),
    algorithm: rsaWith(11),
    signature: (tbs) => {
      // EMSA-PKCS1-v1_5 (RFC 8017 section 9.2).
      const prefix = Buffer.from('3031300d060960864801650304020105000420', 'hex');
      const tail = Buffer.concat([prefix, hash('sha256', tbs, 'buffer')]);
      const padded = Buffer.concat([
        Buffer.of(0, 1),
        Buffer.alloc(octets - tail.length - 3, 0xff),
        Buffer.of(0),
        tail,
      ]);
      const message = BigInt(`0x${padded.toString('hex')}`);
      return bytes(power(message, inverse(exponent, modulus - 1n), modulus), octets);
    },
  };
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let rest = exponent, square = base; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if (rest & 1n) result = (result * square) % modulus;
  }
  return result;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, nextR, t, nextT] = [modulus, value, 0n, 1n];
  while (nextR > 0n) {
    const quotient = r / nextR;
    [r, nextR, t, nextT] = [nextR, r - quotient * nextR, nextT, t - quotient * nextT];
  }
  if (r !== 1n) throw new Error('the exponent has no inverse');
  return ((t % modulus) + modulus) % modulus;
}

describe('a certificate is signed by', () => {
  const cases: readonly [string, Link][] = [
    ['RSA with SHA-256', rsaLink('sha256', 11)],
    ['RSA with SHA-512', rsaLink('sha512', 13)],
    [
      'RSASSA-PSS with a salt as long as the digest',
      { ...rsaLink('', 11), algorithm: pssWith(32), signature: byPss(32) },
    ],
    ['ECDSA on P-256', ecLink(p256)],
    ['ECDSA on P-521', ecLink(p521)],
    [
      'Ed25519',
      {
        spki: spkiOf(ed25519.publicKey),
        algorithm: der.sequence(der.oid('1.3.101.112')),
        signature: by(null, ed25519),
      },
    ],
    ['RSA with an exponent of five octets', mersenne(2203, (1n << 38n) + 1n)],
  ];
  test.each(cases)('%s', (_, link) => {
    expect(isSignedForOpenSsl(link)).toBe(true);
    expect(isSigned(link)).toBe(true);
  });
});

describe('OpenSSL would accept, but it is not to be relied upon:', () => {
  const cases: readonly [string, Link][] = [
    ['RSA with SHA-1', rsaLink('sha1', 5)],
    ['RSA with MD5', rsaLink('md5', 4)],
    [
      'ECDSA with SHA-1',
      { ...ecLink(p256), algorithm: der.sequence(der.oid('1.2.840.10045.4.1')), signature: by('sha1', p256) },
    ],
    [
      'RSASSA-PSS with another salt length',
      { ...rsaLink('', 11), algorithm: pssWith(20), signature: byPss(20) },
    ],
    ['an RSA key of 1024 bits', rsaLink('sha256', 11, short)],
    ['an RSA key of more than 8192 bits', mersenne(9689, 65_537n)],
    ['an RSA exponent of 1', mersenne(2203, 1n)],
    ['an RSA exponent of six octets', mersenne(2203, (1n << 41n) + 5n)],
    ['a key on secp256k1', ecLink(koblitz)],
    [
      'Ed448',
      {
        spki: spkiOf(ed448.publicKey),
        algorithm: der.sequence(der.oid('1.3.101.113')),
        signature: by(null, ed448),
      },
    ],
    ['a compressed point', { ...ecLink(p256), spki: compressed(spkiOf(p256.publicKey)) }],
  ];
  test.each(cases)('%s', (_, link) => {
    expect(isSignedForOpenSsl(link)).toBe(true);
    expect(isSigned(link)).toBe(false);
  });

  function compressed(spki: Buffer): Uint8Array {
    const point = spki.subarray(-65);
    const parity = 2 + (point[64]! & 1);
    return writeTree(
      changed(readTree(spki), [1], () => [primitive(0x03, 0, parity, ...point.subarray(1, 33))]),
    );
  }
});

describe('a certificate is not signed by', () => {
  const cases: readonly [string, Link][] = [
    ['another key', { ...ecLink(p256), signature: by('sha256', ec('P-256')) }],
    ['another digest than it says', { ...ecLink(p256), signature: by('sha384', p256) }],
    ['a key of another kind than it says', { ...rsaLink('sha256', 11), algorithm: ecdsaWith(2) }],
    ['PKCS #1 v1.5 where it says RSASSA-PSS', { ...rsaLink('sha256', 11), algorithm: pssWith(32) }],
    ['an empty signature', { ...ecLink(p256), signature: () => new Uint8Array() }],
    ['zero for r and s', { ...ecLink(p256), signature: () => der.sequence(der.integer(0), der.integer(0)) }],
    [
      'an algorithm with parameters too many',
      { ...ecLink(p256), algorithm: der.sequence(der.oid('1.2.840.10045.4.3.2'), der.nullValue()) },
    ],
    ['a point that is not on its curve', { ...ecLink(p256), spki: offCurve(spkiOf(p256.publicKey)) }],
    ['a key that cannot be read', { ...ecLink(p256), spki: der.sequence() }],
  ];
  test.each(cases)('%s', (_, link) => expect(isSigned(link)).toBe(false));

  function offCurve(spki: Buffer): Uint8Array {
    const bytes = Uint8Array.from(spki);
    bytes[bytes.length - 1]! ^= 1;
    return bytes;
  }

  test('anyone if one of its names cannot be read', () => {
    for (const [name, at] of [
      ['issuer', 3],
      ['subject', 5],
    ] as const) {
      const tree = changed(readTree(subject.der), [0, at], () => [
        { tag: 0x30, children: [primitive(0x05)] },
      ]);
      const tbs = writeTree(tree.children![0]!);
      const signature = sign('sha256', tbs, issuer.privateKey);
      const bytes = der.sequence(tbs, ecdsaWith(2), der.bitString(signature));
      expect(verify('sha256', tbs, issuer.publicKey, signature)).toBe(true);
      expect(signed(parseCertificate(issuer.der), parseCertificate(bytes)), name).toBe(false);
    }
  });
});

test('whatever is changed in a certificate: what is signed here is for OpenSSL', () => {
  const link = ecLink(p256);
  const { issuer: above, subject: below } = certificatesOf(link);
  const changes = [...mutations(below)].map(({ bytes }) => bytes);
  for (let i = 0; i < below.length; i++) {
    const bytes = Uint8Array.from(below);
    bytes[i]! ^= 1 << (i & 7);
    changes.push(bytes);
  }
  const key = createPublicKey({ key: Buffer.from(link.spki), format: 'der', type: 'spki' });
  const parsedIssuer = parseCertificate(above);
  let readable = 0;
  for (const bytes of [below, ...changes]) {
    let parsed;
    try {
      parsed = parseCertificate(bytes);
    } catch {
      continue;
    }
    readable++;
    if (signed(parsedIssuer, parsed)) expect(new X509Certificate(bytes).verify(key)).toBe(true);
  }
  expect(readable).toBeGreaterThan(100);
});
