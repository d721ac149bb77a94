/** One token of a PKCS #11 module, and this process's session with it. */
import { reasonOf } from '@mecai/runtime';
import pkcs11js from 'pkcs11js';
import { SignerError } from './error.ts';

const { PKCS11 } = pkcs11js;

interface Session {
  readonly handle: Buffer;
  /** Those found, by label. */
  readonly privateKeys: Map<string, Buffer>;
}

export class Token {
  readonly #library = new PKCS11();
  readonly #label: string;
  readonly #pin: string;
  #session: Session | undefined;
  #locked: SignerError | undefined;

  /** @throws SignerError `hsm-unavailable` when the module or token is not there, `pin-refused` */
  constructor(module: string, label: string, pin: string) {
    this.#label = label;
    this.#pin = pin;
    try {
      attempt(`load ${module}`, () => {
        this.#library.load(module);
        this.#library.C_Initialize();
      });
      this.open();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * The session; a new one after `drop`.
   *
   * @throws SignerError `hsm-unavailable`
   */
  open(): { readonly library: InstanceType<typeof PKCS11>; readonly handle: Buffer } {
    const { handle } = this.#open();
    return { library: this.#library, handle };
  }

  privateKey(label: string): Buffer | undefined {
    const { privateKeys } = this.#open();
    const known = privateKeys.get(label);
    if (known) return known;
    const found = attempt('find the key', () => this.find(pkcs11js.CKO_PRIVATE_KEY, label));
    if (found) privateKeys.set(label, found);
    return found;
  }

  /** @param kind CKO_PRIVATE_KEY, CKO_PUBLIC_KEY */
  find(kind: number, label: string): Buffer | undefined {
    const { handle } = this.#open();
    this.#library.C_FindObjectsInit(handle, [
      { type: pkcs11js.CKA_CLASS, value: kind },
      { type: pkcs11js.CKA_LABEL, value: label },
    ]);
    try {
      const found = this.#library.C_FindObjects(handle, 2);
      if (found.length > 1) throw new SignerError('hsm-unavailable', `two keys labelled ${label}`);
      return found[0];
    } finally {
      this.#library.C_FindObjectsFinal(handle);
    }
  }

  /** Gives the session back: tokens have few. */
  drop(): void {
    if (this.#session) this.#closeSession(this.#session.handle);
    this.#session = undefined;
  }

  close(): void {
    this.#finalize();
    try {
      this.#library.close();
    } catch {
      // It was never loaded.
    }
  }

  #open(): Session {
    if (this.#session) return this.#session;
    try {
      return (this.#session = this.#begin());
    } catch (error) {
      if (this.#locked) throw error;
    }
    // Modules may look for tokens when they are initialised and never again: a device that is back is found so.
    attempt('initialise the module anew', () => {
      this.#finalize();
      this.#library.C_Initialize();
    });
    return (this.#session = this.#begin());
  }

  #begin(): Session {
    return attempt('open a session', () => {
      const [slot, another] = this.#library
        .C_GetSlotList(true)
        .filter((one) => this.#library.C_GetTokenInfo(one).label.trim() === this.#label);
      if (!slot) throw new SignerError('hsm-unavailable', `no token labelled ${this.#label}`);
      if (another) throw new SignerError('hsm-unavailable', `two tokens labelled ${this.#label}`);
      const handle = this.#library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
      try {
        this.#login(handle);
        return { handle, privateKeys: new Map() };
      } catch (error) {
        this.#closeSession(handle);
        throw error;
      }
    });
  }

  #finalize(): void {
    try {
      this.#library.C_Finalize();
    } catch {
      // A token that is gone cannot be told goodbye.
    }
  }

  #login(handle: Buffer): void {
    // A token locks its PIN after a few wrong ones (PKCS #11, CKF_USER_PIN_LOCKED): one try is enough.
    if (this.#locked) throw this.#locked;
    try {
      this.#library.C_Login(handle, pkcs11js.CKU_USER, this.#pin);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
      // Logging in holds for the whole token: a second session of this process finds it done.
      if (code === pkcs11js.CKR_USER_ALREADY_LOGGED_IN) return;
      if (code !== pkcs11js.CKR_PIN_INCORRECT && code !== pkcs11js.CKR_PIN_LOCKED) throw cause;
      const why = code === pkcs11js.CKR_PIN_LOCKED ? 'is locked' : 'is wrong; not tried again';
      this.#locked = new SignerError('pin-refused', `the PIN ${why}`, { cause });
      throw this.#locked;
    }
  }

  #closeSession(handle: Buffer): void {
    try {
      this.#library.C_CloseSession(handle);
    } catch {
      // It was gone already.
    }
  }
}

/** @throws SignerError `hsm-unavailable` for whatever the module has to complain about */
export function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof SignerError) throw cause;
    throw new SignerError('hsm-unavailable', `cannot ${what}: ${reasonOf(cause)}`, { cause });
  }
}
