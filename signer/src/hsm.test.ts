import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Hsm, type HsmOptions } from './hsm.ts';
import { type SoftHsm, createSoftHsm } from './testing/soft-hsm.ts';

const { PKCS11 } = pkcs11js;
const message = Buffer.from('to be signed');

let soft: SoftHsm;
beforeAll(() => {
  soft = createSoftHsm();
  // SoftHSM reads it when the module is initialised, in this process.
  Object.assign(process.env, soft.environment);
  const hsm = new Hsm(options());
  hsm.generateKey();
  hsm.close();
});
afterAll(() => soft.remove());

let open: Hsm[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const hsm of open) hsm.close();
  open = [];
});

const options = (changes: Partial<HsmOptions> = {}): HsmOptions => ({
  module: soft.module,
  tokenLabel: 'test',
  keyLabel: 'va',
  pin: soft.pin,
  ...changes,
});
function hsmOf(changes: Partial<HsmOptions> = {}): Hsm {
  const hsm = new Hsm(options(changes));
  open.push(hsm);
  return hsm;
}

/** Whether OpenSSL takes the signature for one of the key that the token shows. */
function good(hsm: Hsm, signature = hsm.sign(message)): boolean {
  const key = createPublicKey({ key: Buffer.from(hsm.publicKey()), format: 'der', type: 'spki' });
  return verify('sha256', message, key, signature);
}

/** A second user of the module in this process: to do to the token what an operator or a fault might. */
function meddler() {
  const library = new PKCS11();
  library.load(soft.module);
  const slot = library
    .C_GetSlotList(true)
    .find((one) => library.C_GetTokenInfo(one).label.trim() === 'test')!;
  return { library, slot };
}

const unavailable = (message: RegExp, code = 'hsm-unavailable') =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('the key', () => {
  it('signs, and the public key is its own', () => {
    const hsm = hsmOf();
    expect(good(hsm)).toBe(true);
    const signature = hsm.sign(Buffer.from('something else'));
    expect(good(hsm, signature)).toBe(false);
  });

  it('gives DER signatures that OpenSSL reads, leading zeros and all', () => {
    const hsm = hsmOf();
    const lengths = new Set<number>();
    // A value without its first nine bits makes it shorter than 70: one signature in 512.
    for (let i = 0; i < 10_000 && (i < 500 || Math.min(...lengths) >= 70); i++) {
      const signature = hsm.sign(message);
      lengths.add(signature.length);
      expect(good(hsm, signature)).toBe(true);
    }
    expect(Math.min(...lengths)).toBeLessThan(70);
    expect(Math.max(...lengths)).toBe(72);
  });

  it('is not generated twice', () => {
    const hsm = hsmOf();
    const before = Buffer.from(hsm.publicKey());
    expect(() => hsm.generateKey()).toThrow(expect.objectContaining({ code: 'key-exists' }));
    expect(Buffer.from(hsm.publicKey())).toEqual(before);
  });

  it('was made in the token and cannot be read out of it', () => {
    const hsm = hsmOf();
    expect(hsm.keyWeaknesses()).toEqual([]);
    const { library, slot } = meddler();
    const session = library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    library.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      { type: pkcs11js.CKA_LABEL, value: 'va' },
    ]);
    const [key] = library.C_FindObjects(session, 1);
    library.C_FindObjectsFinal(session);
    // Logged in, with the key at hand.
    expect(() => library.C_GetAttributeValue(session, key!, [{ type: pkcs11js.CKA_VALUE }])).toThrow(
      /CKR_ATTRIBUTE_SENSITIVE/,
    );
    const makeExtractable = [{ type: pkcs11js.CKA_EXTRACTABLE, value: true }];
    expect(() => library.C_SetAttributeValue(session, key!, makeExtractable)).toThrow(/CKR_/);
    const makeReadable = [{ type: pkcs11js.CKA_SENSITIVE, value: false }];
    expect(() => library.C_SetAttributeValue(session, key!, makeReadable)).toThrow(/CKR_/);
    library.C_CloseSession(session);
  });

  it('is told from one that was brought in from outside', () => {
    const hsm = hsmOf({ keyLabel: 'imported' });
    const { library, slot } = meddler();
    const session = library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    library.C_CreateObject(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_EC },
      { type: pkcs11js.CKA_LABEL, value: 'imported' },
      { type: pkcs11js.CKA_TOKEN, value: true },
      { type: pkcs11js.CKA_PRIVATE, value: true },
      { type: pkcs11js.CKA_SENSITIVE, value: false },
      { type: pkcs11js.CKA_EXTRACTABLE, value: true },
      { type: pkcs11js.CKA_SIGN, value: true },
      { type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') },
      { type: pkcs11js.CKA_VALUE, value: Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url') },
    ]);
    expect(hsm.sign(message).length).toBeGreaterThan(60);
    expect(hsm.keyWeaknesses()).toEqual([
      'CKA_SENSITIVE is not true',
      'CKA_EXTRACTABLE is not false',
      'CKA_ALWAYS_SENSITIVE is not true',
      'CKA_NEVER_EXTRACTABLE is not true',
      'CKA_LOCAL is not true',
    ]);
  });

  it('is one of several of the token, each with a name of its own', () => {
    const hsm = hsmOf();
    const next = hsm.key('next');
    expect(() => next.sign(message)).toThrow(expect.objectContaining({ code: 'no-such-key' }));
    next.generateKey();
    expect(Buffer.from(next.publicKey())).not.toEqual(Buffer.from(hsm.publicKey()));
    expect([good(hsm), good(next), good(hsm, next.sign(message))]).toEqual([true, true, false]);
    // And is destroyed alone.
    next.destroyKey();
    for (const act of [() => next.sign(message), () => next.publicKey(), () => next.destroyKey()]) {
      expect(act).toThrow(expect.objectContaining({ code: 'no-such-key' }));
    }
    expect(good(hsm)).toBe(true);
  });

  it('has to be there', () => {
    const hsm = hsmOf({ keyLabel: 'absent' });
    const none = expect.objectContaining({ code: 'no-such-key', message: expect.stringContaining('absent') });
    expect(() => hsm.sign(message)).toThrow(none);
    expect(() => hsm.publicKey()).toThrow(none);
    expect(() => hsm.keyWeaknesses()).toThrow(none);
  });
});

describe('what may be missing', () => {
  it('the module', () => {
    expect(() => hsmOf({ module: join(soft.directory, 'none.so') })).toThrow(
      unavailable(/cannot load .*none\.so/),
    );
    expect(() => hsmOf({ module: join(soft.directory, 'softhsm2.conf') })).toThrow(
      unavailable(/cannot load/),
    );
    expect(good(hsmOf())).toBe(true);
  });

  it('the token', () => {
    expect(() => hsmOf({ tokenLabel: 'other' })).toThrow(unavailable(/no token labelled other/));
    expect(good(hsmOf())).toBe(true);
  });

  it('the right PIN, which is tried once', () => {
    const login = vi.spyOn(PKCS11.prototype, 'C_Login');
    expect(() => hsmOf({ pin: '9999' })).toThrow(unavailable(/the PIN is wrong/, 'pin-refused'));
    expect(login).toHaveBeenCalledOnce();
    expect(good(hsmOf())).toBe(true);
  });

  it('one of two tokens of the same name', () => {
    soft.addToken('twin');
    soft.addToken('twin');
    expect(() => hsmOf({ tokenLabel: 'twin' })).toThrow(unavailable(/two tokens labelled twin/));
  });
});

describe('a session lost', () => {
  it('is opened anew, and no sessions pile up', () => {
    const hsm = hsmOf();
    const { library, slot } = meddler();
    for (let i = 0; i < 50; i++) {
      library.C_CloseAllSessions(slot);
      expect(good(hsm, hsm.sign(message))).toBe(true);
    }
    const opened = vi.spyOn(PKCS11.prototype, 'C_OpenSession');
    const closed = vi.spyOn(PKCS11.prototype, 'C_CloseSession');
    // The session stays open, but the token no longer lets it sign.
    library.C_Logout(anySession(library, slot));
    expect(good(hsm)).toBe(true);
    expect(opened.mock.calls.length - closed.mock.calls.length).toBe(0);
  });

  it('while it signs, costs no signature', () => {
    const hsm = hsmOf();
    vi.spyOn(PKCS11.prototype, 'C_Sign').mockImplementationOnce(() => {
      throw new Error('CKR_DEVICE_ERROR');
    });
    expect(good(hsm)).toBe(true);
  });

  it('for good, is an error each time and ends when the token is back', () => {
    const hsm = hsmOf();
    const fault = vi.spyOn(PKCS11.prototype, 'C_OpenSession').mockImplementation(() => {
      throw new Error('CKR_TOKEN_NOT_PRESENT');
    });
    const { library, slot } = meddler();
    library.C_CloseAllSessions(slot);
    for (let i = 0; i < 3; i++) expect(() => hsm.sign(message)).toThrow(unavailable(/CKR_TOKEN_NOT_PRESENT/));
    fault.mockRestore();
    expect(good(hsm)).toBe(true);
  });

  it('to a changed PIN, does not lock the token by trying on', () => {
    const login = vi.spyOn(PKCS11.prototype, 'C_Login');
    const hsm = hsmOf();
    const { library, slot } = meddler();
    const setPin = (from: string, to: string) => {
      const session = library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
      library.C_SetPIN(session, from, to);
      library.C_CloseAllSessions(slot);
    };
    setPin(soft.pin, '8642');
    login.mockClear();
    for (let i = 0; i < 5; i++) {
      expect(() => hsm.sign(message)).toThrow(unavailable(/PIN is wrong; not tried again/, 'pin-refused'));
    }
    expect(login).toHaveBeenCalledOnce();
    setPin('8642', soft.pin);
    hsm.close();
    expect(good(hsmOf())).toBe(true);
  });

  it('with its token, is told, and ends when the token is plugged in again', () => {
    const hsm = hsmOf();
    const tokens = join(soft.directory, 'tokens');
    renameSync(tokens, `${tokens}.away`);
    mkdirSync(tokens);
    try {
      for (let i = 0; i < 2; i++)
        expect(() => hsm.sign(message)).toThrow(unavailable(/no token labelled test/));
    } finally {
      renameSync(tokens, `${tokens}.empty`);
      renameSync(`${tokens}.away`, tokens);
    }
    expect(good(hsm)).toBe(true);
  });

  const anySession = (library: InstanceType<typeof PKCS11>, slot: Buffer) =>
    library.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION);
});
