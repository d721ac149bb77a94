import { createHash } from 'node:crypto';
import { DerReader, der, tags } from '@mecai/pki';
import pkcs11js from 'pkcs11js';
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

  /** @throws SignerError `hsm-unavailable` when the module or token is not there or the PIN is wrong */
  constructor(options: HsmOptions) {
    this.#options = options;
    this.#attempt('load', () => {
      this.#library.load(options.module);
      this.#library.C_Initialize();
    });
    this.#open();
  }

  get hasKey(): boolean {
    return this.#open().privateKey !== undefined;
  }

  /**
   * Signs data with SHA-256 and ECDSA; opens the session anew once if the token has dropped it.
   *
   * @returns Ecdsa-Sig-Value, DER (RFC 3279 section 2.2.3)
   * @throws SignerError `hsm-unavailable`, `no-such-key`
   */
  sign(data: Uint8Array): Uint8Array {
    const digest = createHash('sha256').update(data).digest();
    let raw: Buffer;
    try {
      raw = this.#signDigest(digest);
    } catch (error) {
      if (error instanceof SignerError && error.code === 'no-such-key') throw error;
      this.#session = undefined;
      raw = this.#attempt('sign', () => this.#signDigest(digest));
    }
    return der.sequence(
      der.unsignedInteger(raw.subarray(0, order)),
      der.unsignedInteger(raw.subarray(order)),
    );
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
      const reader = new DerReader(point!.value as Buffer);
      const bytes = reader.octetString(tags.octetString);
      reader.end();
      return der.sequence(algorithm, der.bitString(bytes));
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
    this.#session = undefined;
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
      const { tokenLabel, pin } = this.#options;
      const slots = this.#library.C_GetSlotList(true);
      const slot = slots.find((one) => this.#library.C_GetTokenInfo(one).label.trim() === tokenLabel);
      if (!slot) throw new SignerError('hsm-unavailable', `no token labelled ${tokenLabel}`);
      const handle = this.#library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
      try {
        this.#library.C_Login(handle, pkcs11js.CKU_USER, pin);
      } catch (error) {
        // Logging in holds for the whole token: a second session of this process finds it done.
        if ((error as { code?: number }).code !== pkcs11js.CKR_USER_ALREADY_LOGGED_IN) throw error;
      }
      return { handle, privateKey: this.#find(handle, pkcs11js.CKO_PRIVATE_KEY) };
    }));
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
      throw new SignerError('hsm-unavailable', `cannot ${what}: ${(cause as Error).message}`, { cause });
    }
  }
}
