import type { KeyType } from './prober.ts';

/** How node:crypto calls an AEAD. Sizes in bytes. */
export type Aead =
  | { readonly mode: 'gcm'; readonly name: 'aes-128-gcm' | 'aes-256-gcm'; readonly keySize: number }
  | { readonly mode: 'chacha'; readonly name: 'chacha20-poly1305'; readonly keySize: number };

/** A block cipher with a MAC under the encryption. Sizes in bytes. */
export interface Cbc {
  readonly mode: 'cbc';
  readonly name: 'aes-128-cbc' | 'aes-256-cbc';
  readonly keySize: number;
  readonly mac: 'sha1' | 'sha256' | 'sha384';
  readonly macSize: number;
}

export type HashName = 'sha256' | 'sha384';

export interface Tls13Suite {
  readonly id: number;
  readonly version: 0x0304;
  readonly cipher: Aead;
  /** Of the key schedule and the transcript. */
  readonly hash: HashName;
}

export interface Tls12Suite {
  readonly id: number;
  readonly version: 0x0303;
  readonly exchange: 'ecdhe' | 'rsa';
  /** Of the certificate. */
  readonly keyType: 'rsa' | 'ecdsa';
  readonly cipher: Aead | Cbc;
  /** Of the PRF and the transcript. */
  readonly hash: HashName;
}

export type CipherSuite = Tls13Suite | Tls12Suite;

const aes128: Aead = { mode: 'gcm', name: 'aes-128-gcm', keySize: 16 };
const aes256: Aead = { mode: 'gcm', name: 'aes-256-gcm', keySize: 32 };
const chacha: Aead = { mode: 'chacha', name: 'chacha20-poly1305', keySize: 32 };
const aes128Sha1: Cbc = { mode: 'cbc', name: 'aes-128-cbc', keySize: 16, mac: 'sha1', macSize: 20 };
const aes256Sha1: Cbc = { mode: 'cbc', name: 'aes-256-cbc', keySize: 32, mac: 'sha1', macSize: 20 };
const aes128Sha256: Cbc = { mode: 'cbc', name: 'aes-128-cbc', keySize: 16, mac: 'sha256', macSize: 32 };
const aes256Sha256: Cbc = { mode: 'cbc', name: 'aes-256-cbc', keySize: 32, mac: 'sha256', macSize: 32 };
const aes256Sha384: Cbc = { mode: 'cbc', name: 'aes-256-cbc', keySize: 32, mac: 'sha384', macSize: 48 };

const tls13 = (id: number, cipher: Aead, hash: HashName = 'sha256'): Tls13Suite => ({
  id,
  version: 0x0304,
  cipher,
  hash,
});
const tls12 = (
  id: number,
  exchange: 'ecdhe' | 'rsa',
  keyType: 'rsa' | 'ecdsa',
  cipher: Aead | Cbc,
  hash: HashName = 'sha256',
): Tls12Suite => ({ id, version: 0x0303, exchange, keyType, cipher, hash });

/**
 * In order of preference. SHA-256 suites lead because their key schedule is the cheaper one; CBC and
 * plain RSA come last, for servers that have nothing better (RFC 9325 section 4.2 advises against both).
 */
export const cipherSuites: readonly CipherSuite[] = [
  // RFC 8446 appendix B.4
  tls13(0x1301, aes128),
  tls13(0x1302, aes256, 'sha384'),
  tls13(0x1303, chacha),
  // RFC 5289, RFC 7905
  tls12(0xc02b, 'ecdhe', 'ecdsa', aes128),
  tls12(0xc02f, 'ecdhe', 'rsa', aes128),
  tls12(0xc02c, 'ecdhe', 'ecdsa', aes256, 'sha384'),
  tls12(0xc030, 'ecdhe', 'rsa', aes256, 'sha384'),
  tls12(0xcca9, 'ecdhe', 'ecdsa', chacha),
  tls12(0xcca8, 'ecdhe', 'rsa', chacha),
  // RFC 5289 section 3.1, RFC 8422 section 6
  tls12(0xc023, 'ecdhe', 'ecdsa', aes128Sha256),
  tls12(0xc027, 'ecdhe', 'rsa', aes128Sha256),
  tls12(0xc024, 'ecdhe', 'ecdsa', aes256Sha384, 'sha384'),
  tls12(0xc028, 'ecdhe', 'rsa', aes256Sha384, 'sha384'),
  tls12(0xc009, 'ecdhe', 'ecdsa', aes128Sha1),
  tls12(0xc013, 'ecdhe', 'rsa', aes128Sha1),
  tls12(0xc00a, 'ecdhe', 'ecdsa', aes256Sha1),
  tls12(0xc014, 'ecdhe', 'rsa', aes256Sha1),
  // RFC 5288, RFC 5246 appendix A.5
  tls12(0x009c, 'rsa', 'rsa', aes128),
  tls12(0x009d, 'rsa', 'rsa', aes256, 'sha384'),
  tls12(0x003c, 'rsa', 'rsa', aes128Sha256),
  tls12(0x003d, 'rsa', 'rsa', aes256Sha256),
  tls12(0x002f, 'rsa', 'rsa', aes128Sha1),
  tls12(0x0035, 'rsa', 'rsa', aes256Sha1),
];

const offeredFor = (wanted: KeyType) =>
  cipherSuites.filter((suite) => suite.version === 0x0304 || wanted === 'any' || suite.keyType === wanted);

/** What is offered to see a certificate with this type of key. */
export const offeredSuites: Record<KeyType, readonly CipherSuite[]> = {
  any: offeredFor('any'),
  rsa: offeredFor('rsa'),
  ecdsa: offeredFor('ecdsa'),
};
