import { DerReader, der, tags } from '@mecai/pki';
import { reasonOf } from '@mecai/runtime';
import { ecdsaSigValue } from '@mecai/voucher';
import pkcs11js from 'pkcs11js';
import { sha256 } from './digest.ts';
import { SignerError } from './error.ts';

const { PKCS11 } = pkcs11js;

export interface HsmOptions {
  /** PKCS #11 module, a shared library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly keyLabel: string;
  readonly pin: string;
}

interface Session {
  readonly handle: Buffer;
  readonly privateKey: Buffer | undefined;
}

// id-ecPublicKey and prime256v1 (RFC 5480 section 2.1.1).
const curve = der.oid('1.2.840.10045.3.1.7');
const algorithm = der.sequence(der.oid('1.2.840.10045.2.1'), curve);
const order = 32;

/** The VA key: P-256, generated in the token, not extractable. All calls are synchronous: 60 µs on SoftHSM. */
export class Hsm {
  readonly #options: HsmOptions;
  readonly #library = new PKCS11();
  #session: Session | undefined;
  #locked: SignerError | undefined;

  /** @throws SignerError `hsm-unavailable` when the module or token is not there or the PIN is wrong */
  constructor(options: HsmOptions) {
    this.#options = options;
    try {
      this.#attempt(`load ${options.module}`, () => {
        this.#library.load(options.module);
        this.#library.C_Initialize();
      });
      this.#open();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Signs data with SHA-256 and ECDSA; opens the session anew once if the token has dropped it.
   *
   * @returns Ecdsa-Sig-Value, DER (RFC 3279 section 2.2.3)
   * @throws SignerError `hsm-unavailable`, `no-such-key`
   */
  sign(data: Uint8Array): Uint8Array {
    const digest = sha256(data);
    let raw: Buffer;
    try {
      raw = this.#signDigest(digest);
    } catch {
      // Whatever it was: a new session finds out, or cures it.
      this.#drop();
      raw = this.#attempt('sign', () => this.#signDigest(digest));
    }
    return ecdsaSigValue(raw);
  }

  /** SubjectPublicKeyInfo, DER. */
  publicKey(): Uint8Array {
    const session = this.#open();
    return this.#attempt('read the public key', () => {
      const handle = this.#find(session.handle, pkcs11js.CKO_PUBLIC_KEY);
      if (!handle) throw this.#noKey();
      const [point] = this.#library.C_GetAttributeValue(session.handle, handle, [
        { type: pkcs11js.CKA_EC_POINT },
      ]);
      // CKA_EC_POINT is the ECPoint in an OCTET STRING (PKCS #11 section 2.3.3).
      const reader = new DerReader(point!.value);
      const bytes = reader.octetString(tags.octetString);
      reader.end();
      return der.sequence(algorithm, der.bitString(bytes));
    });
  }

  /**
   * What speaks against the private key having been made in the token and never having left it (PKCS #11,
   * common private key attributes); empty if nothing does.
   *
   * @throws SignerError `no-such-key`, `hsm-unavailable`
   */
  keyWeaknesses(): string[] {
    const { handle, privateKey } = this.#open();
    if (!privateKey) throw this.#noKey();
    const wanted: [name: string, type: number, value: boolean][] = [
      ['CKA_SENSITIVE', pkcs11js.CKA_SENSITIVE, true],
      ['CKA_EXTRACTABLE', pkcs11js.CKA_EXTRACTABLE, false],
      ['CKA_ALWAYS_SENSITIVE', pkcs11js.CKA_ALWAYS_SENSITIVE, true],
      ['CKA_NEVER_EXTRACTABLE', pkcs11js.CKA_NEVER_EXTRACTABLE, true],
      ['CKA_LOCAL', pkcs11js.CKA_LOCAL, true],
    ];
    return this.#attempt("read the key's attributes", () => {
      const template = wanted.map(([, type]) => ({ type }));
      const attributes = this.#library.C_GetAttributeValue(handle, privateKey, template);
      return wanted
        .filter(([, , value], i) => (attributes[i]!.value[0] === 1) !== value)
        .map(([name, , value]) => `${name} is not ${value}`);
    });
  }

  /** @throws SignerError `key-exists` */
  generateKey(): void {
    const session = this.#open();
    if (session.privateKey) {
      throw new SignerError('key-exists', `the token already has a key labelled ${this.#options.keyLabel}`);
    }
    const label = { type: pkcs11js.CKA_LABEL, value: this.#options.keyLabel };
    this.#attempt('generate a key', () =>
      this.#library.C_GenerateKeyPair(
        session.handle,
        { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN },
        [
          label,
          { type: pkcs11js.CKA_TOKEN, value: true },
          { type: pkcs11js.CKA_VERIFY, value: true },
          { type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from(curve) },
        ],
        [
          label,
          { type: pkcs11js.CKA_TOKEN, value: true },
          { type: pkcs11js.CKA_PRIVATE, value: true },
          { type: pkcs11js.CKA_SENSITIVE, value: true },
          { type: pkcs11js.CKA_EXTRACTABLE, value: false },
          { type: pkcs11js.CKA_SIGN, value: true },
        ],
      ),
    );
    this.#drop();
    this.#open();
  }

  close(): void {
    try {
      this.#library.C_Finalize();
      this.#library.close();
    } catch {
      // A token that is gone cannot be told goodbye.
    }
  }

  #signDigest(digest: Buffer): Buffer {
    const { handle, privateKey } = this.#open();
    if (!privateKey) throw this.#noKey();
    this.#library.C_SignInit(handle, { mechanism: pkcs11js.CKM_ECDSA }, privateKey);
    const raw = this.#library.C_Sign(handle, digest, Buffer.alloc(2 * order));
    if (raw.length !== 2 * order)
      throw new SignerError('hsm-unavailable', `signature of ${raw.length} octets`);
    return raw;
  }

  #open(): Session {
    return (this.#session ??= this.#attempt('open a session', () => {
      const { tokenLabel } = this.#options;
      const [slot, another] = this.#library
        .C_GetSlotList(true)
        .filter((one) => this.#library.C_GetTokenInfo(one).label.trim() === tokenLabel);
      if (!slot) throw new SignerError('hsm-unavailable', `no token labelled ${tokenLabel}`);
      if (another) throw new SignerError('hsm-unavailable', `two tokens labelled ${tokenLabel}`);
      const handle = this.#library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
      try {
        this.#login(handle);
        return { handle, privateKey: this.#find(handle, pkcs11js.CKO_PRIVATE_KEY) };
      } catch (error) {
        this.#closeSession(handle);
        throw error;
      }
    }));
  }

  #login(handle: Buffer): void {
    // A token locks its PIN after a few wrong ones (PKCS #11, CKF_USER_PIN_LOCKED): one try is enough.
    if (this.#locked) throw this.#locked;
    try {
      this.#library.C_Login(handle, pkcs11js.CKU_USER, this.#options.pin);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
      // Logging in holds for the whole token: a second session of this process finds it done.
      if (code === pkcs11js.CKR_USER_ALREADY_LOGGED_IN) return;
      if (code !== pkcs11js.CKR_PIN_INCORRECT && code !== pkcs11js.CKR_PIN_LOCKED) throw cause;
      const why = code === pkcs11js.CKR_PIN_LOCKED ? 'is locked' : 'is wrong; not tried again';
      this.#locked = new SignerError('hsm-unavailable', `the PIN ${why}`, { cause });
      throw this.#locked;
    }
  }

  /** Gives the session back: tokens have few. */
  #drop(): void {
    if (this.#session) this.#closeSession(this.#session.handle);
    this.#session = undefined;
  }

  #closeSession(handle: Buffer): void {
    try {
      this.#library.C_CloseSession(handle);
    } catch {
      // It was gone already.
    }
  }

  #find(session: Buffer, kind: number): Buffer | undefined {
    this.#library.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_CLASS, value: kind },
      { type: pkcs11js.CKA_LABEL, value: this.#options.keyLabel },
    ]);
    try {
      const found = this.#library.C_FindObjects(session, 2);
      if (found.length > 1) {
        throw new SignerError('hsm-unavailable', `two keys labelled ${this.#options.keyLabel}`);
      }
      return found[0];
    } finally {
      this.#library.C_FindObjectsFinal(session);
    }
  }

  #noKey(): SignerError {
    return new SignerError('no-such-key', `the token has no key labelled ${this.#options.keyLabel}`);
  }

  #attempt<T>(what: string, action: () => T): T {
    try {
      return action();
    } catch (cause) {
      if (cause instanceof SignerError) throw cause;
      throw new SignerError('hsm-unavailable', `cannot ${what}: ${reasonOf(cause)}`, { cause });
    }
  }
}
