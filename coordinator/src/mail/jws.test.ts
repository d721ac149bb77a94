import { createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyOf } from '@mecai/pki/testing';
import { rsaKey, testIdentity } from '../testing/identity.ts';
import { publicKeyOf, signJws, verifyJws } from './jws.ts';

const from = 'notices@va.example';
const identities = [testIdentity(from, keyOf('jws')), testIdentity(from, rsaKey())];
const other = publicKeyOf(testIdentity(from, keyOf('other')));
const payload = { iss: 'https://va.example', text: 'ü' };
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe.each(identities)('a JWS by identity %#', (identity) => {
  const key = publicKeyOf(identity);
  const jws = signJws('a+jws', payload, identity);
  const [header = '', body = '', signature = ''] = jws.split('.');

  it('is verified by its key, among others, and names its certificates', () => {
    expect(verifyJws('a+jws', jws, [other, key])).toEqual(payload);
    const { x5c } = JSON.parse(Buffer.from(header, 'base64url').toString());
    const spki = createPublicKey(`-----BEGIN CERTIFICATE-----\n${x5c[0]}\n-----END CERTIFICATE-----\n`);
    expect(spki.equals(key)).toBe(true);
    expect(x5c).toHaveLength(2);
  });

  it('is nothing for another key, type, algorithm, or with a critical extension', () => {
    expect(verifyJws('a+jws', jws, [other])).toBeUndefined();
    expect(verifyJws('a+jws', jws, [])).toBeUndefined();
    expect(verifyJws('b+jws', jws, [key])).toBeUndefined();
    const { alg, ...rest } = JSON.parse(Buffer.from(header, 'base64url').toString());
    for (const changed of [
      { ...rest, alg: 'none' },
      { ...rest, alg: 'HS256' },
      { ...rest, alg, crit: ['x'] },
    ]) {
      expect(verifyJws('a+jws', `${encode(changed)}.${body}.${signature}`, [key])).toBeUndefined();
      expect(verifyJws('a+jws', `${encode(changed)}.${body}.`, [key])).toBeUndefined();
    }
  });

  it('is nothing when anything in it is changed', () => {
    fc.assert(
      fc.property(fc.nat(jws.length - 1), fc.base64String(), (at, text) => {
        const changed = jws.slice(0, at) + text + jws.slice(at + 1);
        const signed = changed.split('.').slice(0, 2).join('.') === `${header}.${body}`;
        // The unused bits of the last character of a signature are nobody's.
        if (!signed) expect(verifyJws('a+jws', changed, [key])).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  it('of anything at all is nothing', () => {
    fc.assert(fc.property(fc.string(), (text) => verifyJws('a+jws', text, [key]) === undefined));
  });
});
