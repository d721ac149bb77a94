import { DerReader, der, tags } from '@mecai/pki';
import { ecdsaSigValue } from '@mecai/voucher';
import pkcs11js from 'pkcs11js';
import { sha256 } from './digest.ts';
import { SignerError } from './error.ts';
import { Token, attempt } from './hsm-token.ts';

export interface HsmOptions {
  /** PKCS #11 module, a shared library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly keyLabel: string;
  readonly pin: string;
}

// id-ecPublicKey and prime256v1 (RFC 5480 section 2.1.1).
const curve = der.oid('1.2.840.10045.3.1.7');
const algorithm = der.sequence(der.oid('1.2.840.10045.2.1'), curve);
const order = 32;

/** A VA key: P-256, generated in the token, not extractable. All calls are synchronous: 60 µs on SoftHSM. */
export class Hsm {
  readonly #token: Token;
  readonly #label: string;
  readonly #options: HsmOptions;

  /** @throws SignerError `hsm-unavailable` when the module or token is not there, `pin-refused` */
  constructor({ module, tokenLabel, keyLabel, pin }: HsmOptions, token = new Token(module, tokenLabel, pin)) {
    this.#token = token;
    this.#label = keyLabel;
    this.#options = { module, tokenLabel, keyLabel, pin };
  }

  /** Another key of the same token; it is closed with this one. */
  key(keyLabel: string): Hsm {
    return new Hsm({ ...this.#options, keyLabel }, this.#token);
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
      this.#token.drop();
      raw = attempt('sign', () => this.#signDigest(digest));
    }
    return ecdsaSigValue(raw);
  }

  /** SubjectPublicKeyInfo, DER. */
  publicKey(): Uint8Array {
    const { library, handle: session } = this.#token.open();
    return attempt('read the public key', () => {
      const handle = this.#token.find(pkcs11js.CKO_PUBLIC_KEY, this.#label);
      if (!handle) throw this.#noKey();
      const [point] = library.C_GetAttributeValue(session, handle, [{ type: pkcs11js.CKA_EC_POINT }]);
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
    const { library, handle } = this.#token.open();
    const privateKey = this.#privateKey();
    const wanted: [name: string, type: number, value: boolean][] = [
      ['CKA_SENSITIVE', pkcs11js.CKA_SENSITIVE, true],
      ['CKA_EXTRACTABLE', pkcs11js.CKA_EXTRACTABLE, false],
      ['CKA_ALWAYS_SENSITIVE', pkcs11js.CKA_ALWAYS_SENSITIVE, true],
      ['CKA_NEVER_EXTRACTABLE', pkcs11js.CKA_NEVER_EXTRACTABLE, true],
      ['CKA_LOCAL', pkcs11js.CKA_LOCAL, true],
    ];
    return attempt("read the key's attributes", () => {
      const template = wanted.map(([, type]) => ({ type }));
      const attributes = library.C_GetAttributeValue(handle, privateKey, template);
      return wanted
        .filter(([, , value], i) => (attributes[i]!.value[0] === 1) !== value)
        .map(([name, , value]) => `${name} is not ${value}`);
    });
  }

  /** @throws SignerError `key-exists` */
  generateKey(): void {
    const { library, handle } = this.#token.open();
    if (this.#token.privateKey(this.#label)) {
      throw new SignerError('key-exists', `the token already has a key labelled ${this.#label}`);
    }
    const label = { type: pkcs11js.CKA_LABEL, value: this.#label };
    attempt('generate a key', () =>
      library.C_GenerateKeyPair(
        handle,
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
    this.#token.drop();
    this.#token.open();
  }

  /**
   * For good: nothing is signed with this key ever again.
   *
   * @throws SignerError `no-such-key`, `hsm-unavailable`
   */
  destroyKey(): void {
    const { library, handle } = this.#token.open();
    const keys = [this.#privateKey(), this.#token.find(pkcs11js.CKO_PUBLIC_KEY, this.#label)];
    attempt('destroy the key', () => {
      for (const key of keys) if (key) library.C_DestroyObject(handle, key);
    });
    this.#token.drop();
  }

  close(): void {
    this.#token.close();
  }

  #signDigest(digest: Buffer): Buffer {
    const { library, handle } = this.#token.open();
    library.C_SignInit(handle, { mechanism: pkcs11js.CKM_ECDSA }, this.#privateKey());
    const raw = library.C_Sign(handle, digest, Buffer.alloc(2 * order));
    if (raw.length !== 2 * order)
      throw new SignerError('hsm-unavailable', `signature of ${raw.length} octets`);
    return raw;
  }

  /** @throws SignerError `no-such-key` */
  #privateKey(): Buffer {
    const key = this.#token.privateKey(this.#label);
    if (key) return key;
    throw this.#noKey();
  }

  #noKey(): SignerError {
    return new SignerError('no-such-key', `the token has no key labelled ${this.#label}`);
  }
}
