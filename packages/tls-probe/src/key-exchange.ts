import crypto, {
  createECDH,
  createPublicKey,
  diffieHellman,
  type ECDH,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { illegal } from './failure.ts';

/** NamedGroup values (RFC 8446 section 4.2.7, RFC 8422, draft-ietf-tls-ecdhe-mlkem). */
export const groups = {
  secp256r1: 0x0017,
  secp384r1: 0x0018,
  secp521r1: 0x0019,
  x25519: 0x001d,
  x25519MlKem768: 0x11ec,
} as const;

/** Our half of one key exchange. */
export interface KeyShare {
  readonly group: number;
  readonly publicKey: Buffer;
  /**
   * The shared secret with the server's half.
   * @throws ProbeFailure `protocol-error`, owing illegal_parameter, for a half of the wrong size or value
   */
  agree(serverShare: Buffer): Buffer;
}

const wrapped = (what: string, agree: () => Buffer): Buffer => {
  try {
    return agree();
  } catch (cause) {
    throw illegal(`the server's ${what} key share is no valid public key`, cause);
  }
};

export class CurveShare implements KeyShare {
  readonly group: number;
  readonly publicKey: Buffer;
  readonly #curve: string;
  readonly #ecdh: ECDH;

  constructor(group: number, curve: string, privateKey?: Buffer) {
    this.group = group;
    this.#curve = curve;
    this.#ecdh = createECDH(curve);
    if (privateKey) this.#ecdh.setPrivateKey(privateKey);
    else this.#ecdh.generateKeys();
    this.publicKey = this.#ecdh.getPublicKey();
  }

  agree(serverShare: Buffer): Buffer {
    // Uncompressed points only (RFC 8446 section 4.2.8.2, RFC 8422 section 5.1.1).
    if (serverShare.length !== this.publicKey.length || serverShare[0] !== 4) {
      throw illegal(`the server's ${this.#curve} key share is not an uncompressed point`);
    }
    return wrapped(this.#curve, () => this.#ecdh.computeSecret(serverShare));
  }
}

const x25519Size = 32;
/** SubjectPublicKeyInfo and PKCS #8 headers of X25519 (RFC 8410 sections 4 and 7); the 32 bytes of key follow. */
const x25519Spki = Buffer.from('302a300506032b656e032100', 'hex');

const fromSpki = (raw: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([x25519Spki, raw]), format: 'der', type: 'spki' });
const fromRaw = (key: Buffer): KeyObject =>
  createPublicKey({ key, format: 'raw-public', asymmetricKeyType: 'x25519' });

/** Reading the raw form takes 3 µs, the wrapped one 20; older runtimes know only the wrapped one. */
const x25519PublicKey = ((): ((raw: Buffer) => KeyObject) => {
  try {
    fromRaw(Buffer.alloc(x25519Size, 9));
    return fromRaw;
  } catch {
    return fromSpki;
  }
})();

export class X25519Share implements KeyShare {
  readonly group = groups.x25519;
  readonly publicKey: Buffer;
  readonly #privateKey: KeyObject;

  constructor(privateKey?: KeyObject) {
    this.#privateKey = privateKey ?? generateKeyPairSync('x25519').privateKey;
    const spki = createPublicKey(this.#privateKey).export({ format: 'der', type: 'spki' });
    this.publicKey = spki.subarray(x25519Spki.length);
  }

  agree(serverShare: Buffer): Buffer {
    if (serverShare.length !== x25519Size) throw illegal("the server's x25519 key share is not of 32 bytes");
    return wrapped('x25519', () =>
      diffieHellman({ privateKey: this.#privateKey, publicKey: x25519PublicKey(serverShare) }),
    );
  }
}

const mlKemPublicSize = 1_184;
const mlKemCiphertextSize = 1_088;

// struct { opaque mlkem_key[1184]; opaque x25519_key[32]; } client half
// struct { opaque mlkem_ciphertext[1088]; opaque x25519_key[32]; } server half
// secret = mlkem_secret || x25519_secret
class X25519MlKem768Share implements KeyShare {
  readonly group = groups.x25519MlKem768;
  readonly publicKey: Buffer;
  readonly #x25519 = new X25519Share();
  readonly #privateKey: KeyObject;

  constructor() {
    const pair = generateKeyPairSync('ml-kem-768');
    this.#privateKey = pair.privateKey;
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' });
    this.publicKey = Buffer.concat([spki.subarray(spki.length - mlKemPublicSize), this.#x25519.publicKey]);
  }

  agree(serverShare: Buffer): Buffer {
    if (serverShare.length !== mlKemCiphertextSize + x25519Size) {
      throw illegal("the server's X25519MLKEM768 key share is not of 1120 bytes");
    }
    const secret = wrapped('ML-KEM-768', () =>
      crypto.decapsulate(this.#privateKey, serverShare.subarray(0, mlKemCiphertextSize)),
    );
    return Buffer.concat([secret, this.#x25519.agree(serverShare.subarray(mlKemCiphertextSize))]);
  }
}

const makers = new Map<number, () => KeyShare>([
  [groups.x25519, () => new X25519Share()],
  [groups.secp256r1, () => new CurveShare(groups.secp256r1, 'prime256v1')],
  [groups.secp384r1, () => new CurveShare(groups.secp384r1, 'secp384r1')],
  [groups.secp521r1, () => new CurveShare(groups.secp521r1, 'secp521r1')],
]);

const runtimeHasMlKem = (): boolean => {
  // Older runtimes have neither the function nor the key type; a static import of it would not even load.
  if (typeof crypto.decapsulate !== 'function') return false;
  try {
    generateKeyPairSync('ml-kem-768');
    return true;
  } catch {
    return false;
  }
};
// Last in the offer and never with a share of its own: 1.2 KB in each ClientHello would buy a prober nothing,
// and a server that insists asks for it by HelloRetryRequest.
if (runtimeHasMlKem()) makers.set(groups.x25519MlKem768, () => new X25519MlKem768Share());

/** Offered in supported_groups, in order of preference. P-521 is for TLS 1.2 servers with a P-521 leaf. */
export const offeredGroups: readonly number[] = [...makers.keys()];

/** Where handshakes get their shares from. */
export interface KeyShareSource {
  /** @param group one of `offeredGroups` */
  share(group: number): KeyShare;
}

/**
 * Hands the same share out for some seconds. A prober sends no secret, so forward secrecy protects
 * nothing here, while generating a share costs a tenth of a handshake.
 */
export class ReusedKeyShares implements KeyShareSource {
  readonly #now: () => number;
  readonly #lifetimeMs: number;
  readonly #kept = new Map<number, { readonly share: KeyShare; readonly until: number }>();

  /** @param now milliseconds on any monotonic clock */
  constructor(now: () => number, lifetimeMs = 10_000) {
    this.#now = now;
    this.#lifetimeMs = lifetimeMs;
  }

  share(group: number): KeyShare {
    const now = this.#now();
    const kept = this.#kept.get(group);
    if (kept && now < kept.until) return kept.share;
    const share = makers.get(group)!();
    this.#kept.set(group, { share, until: now + this.#lifetimeMs });
    return share;
  }
}
