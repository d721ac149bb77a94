import { prepareJws, signJws } from '@mecai/voucher';
import { keyUsages, testCertificate, testKey } from '@mecai/voucher/testing';
import { createPublicKey, generateKeyPairSync, hash, sign, verify } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientError } from '../error.ts';
import { encodeVaList, parseVaList, readVaList, signVaList, type VaEntry, type VaList } from './va-list.ts';

const root = rootOf(1);
function rootOf(serial: number): Uint8Array {
  return testCertificate({ subject: 'VA root', ca: true, keyUsage: keyUsages.keyCertSign, serial }).der;
}
const va = (id: string, codepoint: number, fields: Partial<VaEntry> = {}): VaEntry => ({
  id,
  name: `VA ${id}`,
  operator: 'Example CA',
  country: 'DE',
  vrp: `https://${id}.example/vrp`,
  roots: [rootOf(codepoint % 100)],
  caKeys: [hash('sha256', 'key', 'buffer')],
  status: 'active',
  codepoint,
  ...fields,
});
const list: VaList = {
  version: 7,
  issuer: 'Example Browser',
  issuedAt: new Date('2026-11-01T00:00:00Z'),
  expires: new Date('2027-02-01T00:00:00Z'),
  vas: [
    va('one', 65_300, { roots: [root] }),
    va('two', 65_301, { status: 'retired' }),
    va('three', 65_302, { caKeys: [] }),
  ],
};
const vendor = testKey();
const keys = new Map([['vendor-1', vendor.publicKey]]);
const now = new Date('2026-11-22T00:00:00Z');
const signed = Buffer.from(signVaList(list, 'vendor-1', vendor.privateKey));
const read = (bytes: Uint8Array, options = {}) => readVaList(bytes, { keys, now, ...options });
const text = (one: VaList) => Buffer.from(encodeVaList(one)).toString();

function code(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return error.code;
  }
}

test('a list comes out as it was signed, whichever curve the vendor uses', () => {
  expect(text(read(signed))).toBe(text(list));
  expect(read(signed).issuedAt).toEqual(list.issuedAt);
  expect(Buffer.from(read(signed).vas[0]!.roots[0]!)).toEqual(Buffer.from(root));
  const p384 = testKey('P-384');
  const other = Buffer.from(signVaList(list, 'v', p384.privateKey));
  expect(readVaList(other, { keys: new Map([['v', p384.publicKey]]), now }).version).toBe(7);
});

test('it is a JWS as RFC 7515 has it', () => {
  const [header, payload, signature] = signed.toString().split('.');
  expect(JSON.parse(Buffer.from(header!, 'base64url').toString())).toEqual({
    alg: 'ES256',
    typ: 'mecai-va-list+jws',
    kid: 'vendor-1',
  });
  const key = { key: createPublicKey(vendor.privateKey), dsaEncoding: 'ieee-p1363' as const };
  const octets = Buffer.from(`${header}.${payload}`);
  expect(verify('sha256', octets, key, Buffer.from(signature!, 'base64url'))).toBe(true);
});

describe('a list counts for nothing', () => {
  const sign = (change: Partial<VaList>) =>
    Buffer.from(signVaList({ ...list, ...change }, 'vendor-1', vendor.privateKey));
  test('signed with a key of nobody, or under the name of another key', () => {
    const stranger = testKey();
    expect(code(() => read(Buffer.from(signVaList(list, 'vendor-1', stranger.privateKey))))).toBe(
      'va-list-unsigned',
    );
    expect(code(() => read(Buffer.from(signVaList(list, 'vendor-2', vendor.privateKey))))).toBe(
      'va-list-unsigned',
    );
    const withCertificate = signJws(encodeVaList(list), 'mecai-va-list+jws', vendor.privateKey, {
      x5c: [root],
    });
    expect(code(() => read(Buffer.from(withCertificate)))).toBe('va-list-unsigned');
  });
  test('past its end, to the second', () => {
    expect(code(() => read(signed, { now: new Date(list.expires.getTime() - 1) }))).toBe('none');
    expect(code(() => read(signed, { now: list.expires }))).toBe('va-list-expired');
  });
  test('older than one seen before', () => {
    expect(code(() => read(signed, { leastVersion: 7 }))).toBe('none');
    expect(code(() => read(signed, { leastVersion: 8 }))).toBe('va-list-rolled-back');
  });
  test('that was signed as a document of another kind', () => {
    const other = signJws(encodeVaList(list), 'mecai-directory+jws', vendor.privateKey, { kid: 'vendor-1' });
    expect(code(() => read(Buffer.from(other)))).toBe('va-list-malformed');
  });
  test('whose vendor gave one thing to two VAs', () => {
    const first = va('one', 65_300);
    for (const second of [
      va('one', 65_310),
      va('four', 65_300),
      va('four', 65_310, { vrp: 'https://one.example/vrp' }),
      va('four', 65_310, { roots: first.roots }),
    ]) {
      expect(code(() => sign({ vas: [first, second] }))).toBe('va-list-malformed');
    }
  });
  test.each<[string, Partial<VaEntry>]>([
    ['a codepoint that is not private', { codepoint: 0xfeff }],
    ['the codepoint of renegotiation_info', { codepoint: 0xff01 }],
    ['a URL without TLS', { vrp: 'http://va.example/vrp' }],
    ['no URL', { vrp: 'va.example' }],
    ['no country', { country: 'de' }],
    ['a name with capitals', { id: 'One' }],
    ['no roots', { roots: [] }],
    ['a root that is no certificate', { roots: [Uint8Array.of(0x30, 0)] }],
    ['a key that is no digest', { caKeys: [new Uint8Array(31)] }],
    ['another status', { status: 'maybe' as VaEntry['status'] }],
  ])('with %s', (_, fields) => {
    expect(code(() => sign({ vas: [va('one', 65_300, fields)] }))).toBe('va-list-malformed');
  });
  test.each([
    ['no VA', { vas: [] }],
    [
      'more than 256',
      { vas: Array.from({ length: 257 }, (_, i) => va(`va-${i}`, i === 1 ? 65_279 : 65_280 + i)) },
    ],
    ['an end before its beginning', { expires: list.issuedAt }],
    ['version 0', { version: 0 }],
  ])('with %s', (_, change) => {
    expect(code(() => sign(change))).toBe('va-list-malformed');
  });
  test('with members that nobody knows, or times that are none', () => {
    const good = text(list);
    for (const changed of [
      good.replace('"version"', '"more":1,"version"'),
      good.replace('"id"', '"more":1,"id"'),
      good.replace('"id":"one",', ''),
      good.replace('2026-11-01', '2026-11-31'),
      good.replace('2026-11-01T', '2026-11-01 '),
      `${good}x`,
    ]) {
      expect(changed).not.toBe(good);
      expect(code(() => parseVaList(Buffer.from(changed)))).toBe('va-list-malformed');
    }
  });
});

describe('hostile lists', () => {
  test('no change of an octet goes unnoticed', () => {
    fc.assert(
      fc.property(fc.nat(signed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(signed);
        changed[at]! ^= change;
        expect(code(() => read(changed))).toMatch(/^va-list-(malformed|unsigned)$/);
      }),
      { numRuns: 2_000 },
    );
  });
  test('headers that other readers fell for', () => {
    const [, payload, signature] = signed.toString().split('.');
    const base64url = (text: string) => Buffer.from(text).toString('base64url');
    const typ = '"typ":"mecai-va-list+jws"';
    for (const header of [
      `{"alg":"none",${typ},"kid":"vendor-1"}`,
      `{"alg":"HS256",${typ},"kid":"vendor-1"}`,
      `{"alg":"ES256",${typ}}`,
      `{"alg":"ES256",${typ},"kid":"vendor-1","crit":["b64"],"b64":false}`,
      `{"alg":"ES256",${typ},"kid":"vendor-1","kid":"vendor-2"}`,
      `{"alg":"ES256",${typ},"kid":"vendor-1","x5c":[]}`,
      `{"alg":"ES256",${typ},"jwk":{"kty":"EC"}}`,
      '[]',
      '',
    ]) {
      const forged = Buffer.from(`${base64url(header)}.${payload}.${signature}`);
      expect(
        code(() => read(forged)),
        header,
      ).toBe('va-list-malformed');
    }
    for (const text of [
      `${payload}.${signature}`,
      `${signed.toString()}.`,
      `${signed.toString()}=`,
      '..',
      '',
    ]) {
      expect(
        code(() => read(Buffer.from(text))),
        text.slice(-9),
      ).toBe('va-list-malformed');
    }
    expect(code(() => read(Buffer.alloc(5_000_000, 'A')))).toBe('va-list-malformed');
  });
  test('a key on another curve of 256 bits', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    const prepared = prepareJws(encodeVaList(list), 'mecai-va-list+jws', 'ES256', { kid: 'k' });
    const forged = prepared.finish(sign('sha256', prepared.toBeSigned, privateKey));
    expect(code(() => readVaList(Buffer.from(forged), { keys: new Map([['k', publicKey]]), now }))).toBe(
      'va-list-unsigned',
    );
  });
  test('any octets at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(code(() => read(bytes))).toBe('va-list-malformed');
        expect(code(() => parseVaList(bytes))).toBe('va-list-malformed');
      }),
      { numRuns: 2_000 },
    );
  });
});
