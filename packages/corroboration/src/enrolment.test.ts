import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createUser } from '@nats-io/nkeys';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admitted, enrol, maxEnrolmentOctets, openEnrolment } from './enrolment.ts';
import { CorroborationError } from './error.ts';
import { newToken, parseInvitation, readToken, signInvitation, verifyInvitation } from './invitation.ts';
import { parseAgent } from './registry.ts';

const oslo = {
  name: 'oslo',
  city: 'Oslo',
  country: 'NO',
  latitude: 59.91,
  longitude: 10.75,
  rir: 'ripencc',
  asn: 64496,
} as const;
const expires = Date.UTC(2027, 0, 1);
const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const operator = p256();
const token = newToken(randomBytes(32));
const { publicKey: tokenKey } = readToken(token);
const newKeys = () => ({ observation: p256().privateKey, natsSeed: createUser().getSeed() });
const keys = newKeys();

const invited = (agent: object = oslo) =>
  parseInvitation(signInvitation({ tokenKey, expires, agent }, operator.privateKey).document);
const enrolment = enrol(token, oslo, keys);

/** The error's code, or what it returned. */
function codeOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    if (error instanceof CorroborationError) return error.code;
    throw error;
  }
}

describe('invitation', () => {
  const signed = signInvitation({ tokenKey, expires, agent: oslo }, operator.privateKey);

  it('is the operator’s: no octet can be another', () => {
    expect(verifyInvitation(signed, [p256().publicKey, operator.publicKey])).toBe(true);
    expect(verifyInvitation(signed, [p256().publicKey])).toBe(false);
    expect(verifyInvitation(signed, [])).toBe(false);
    fc.assert(
      fc.property(fc.nat(signed.document.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const document = Uint8Array.from(signed.document);
        document[at]! ^= bits;
        expect(verifyInvitation({ ...signed, document }, [operator.publicKey])).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('says nothing of the token but its public half', () => {
    expect(parseInvitation(signed.document)).toEqual({ tokenKey, expires, agent: { ...oslo, region: '' } });
    expect(Buffer.from(signed.document).toString()).not.toContain(token.slice('mecai-join-'.length));
  });

  it.each([
    ['an agent without a network', { tokenKey, expires, agent: { ...oslo, asn: undefined } }, 'asn'],
    ['an agent with keys', { tokenKey, expires, agent: { ...oslo, publicKey: 'x' } }, 'unknown member'],
    ['a name with a dot', { tokenKey, expires, agent: { ...oslo, name: 'oslo.*' } }, 'name'],
    ['half a key', { tokenKey: tokenKey.slice(2), expires, agent: oslo }, 'tokenKey'],
    ['no end', { tokenKey, expires: Number.NaN, agent: oslo }, 'expires'],
  ])('refused: %s', (_, bad, message) => {
    expect(() => signInvitation(bad, operator.privateKey)).toThrow(message);
    expect(codeOf(() => signInvitation(bad, operator.privateKey))).toBe('bad-invitation');
  });

  it.each([
    '',
    'mecai-join-',
    token.slice(1),
    `${token}A`,
    token.replace('mecai', 'MECAI'),
    Buffer.from(keys.natsSeed).toString(),
  ])('%j is no token', (text) => {
    expect(codeOf(() => readToken(text))).toBe('bad-token');
  });
});

describe('enrolment', () => {
  it('makes an entry of the registry: the place as invited, the keys as shown', () => {
    const entry = admitted(invited({ ...oslo, region: 'NO-03' }), openEnrolment(enrolment));
    const agent = parseAgent(entry, 'agent');
    expect(agent).toMatchObject({ ...oslo, region: 'NO-03' });
    expect(agent.keyId).toBe(openEnrolment(enrolment).agent.keyId);
    expect(agent.natsKey).toMatch(/^U/);
  });

  it('is the same each time it is made, but for signatures', () => {
    expect(openEnrolment(enrol(token, oslo, keys)).statement).toEqual(openEnrolment(enrolment).statement);
  });

  it.each(['token', 'observation', 'nats'])('is nothing without the signature %s', (which) => {
    const parts = JSON.parse(enrolment.toString()) as Record<string, string>;
    // Of the same agent with other keys: right in form, and by somebody.
    const other = JSON.parse(
      Buffer.from(enrol(newToken(randomBytes(32)), oslo, newKeys())).toString(),
    ) as Record<string, string>;
    for (const signature of [other[which], '', Buffer.alloc(64).toString('base64'), parts['statement']]) {
      const forged = Buffer.from(JSON.stringify({ ...parts, [which]: signature }));
      expect(codeOf(() => openEnrolment(forged))).toBe('not-proven');
    }
  });

  it('of another token is none of this invitation', () => {
    const other = openEnrolment(enrol(newToken(randomBytes(32)), oslo, keys));
    expect(codeOf(() => admitted(invited(), other))).toBe('not-proven');
  });

  it.each([
    ['name', 'bergen'],
    ['city', 'Bergen'],
    ['country', 'SE'],
    ['latitude', 59.92],
    ['longitude', 10.76],
    ['rir', 'arin'],
    ['asn', 64497],
  ] as const)('by another %s than invited is refused', (member, value) => {
    const claimed = openEnrolment(enrol(token, { ...oslo, [member]: value }, keys));
    expect(codeOf(() => admitted(invited(), claimed))).toBe('other-place');
    expect(() => admitted(invited(), claimed)).toThrow(
      `${member}: the agent says ${value}, it was invited as ${oslo[member]}`,
    );
  });

  it('hostile octets are refused by a code, whatever they are', () => {
    const text = enrolment.toString();
    const parts = JSON.parse(text) as Record<string, unknown>;
    const refused = (bytes: Uint8Array) => {
      expect(['bad-enrolment', 'not-proven']).toContain(codeOf(() => openEnrolment(bytes)));
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => refused(bytes)));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 127 }), (at, bits) => {
        const bytes = Buffer.from(text);
        bytes[at]! ^= bits;
        // Base64 has bits of padding that say nothing.
        if (codeOf(() => openEnrolment(bytes)) instanceof Object) {
          expect(openEnrolment(bytes).statement).toEqual(openEnrolment(enrolment).statement);
        } else refused(bytes);
      }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('statement', 'token', 'observation', 'nats'),
        fc.oneof(fc.jsonValue(), fc.base64String()),
        (member, value) => refused(Buffer.from(JSON.stringify({ ...parts, [member]: value }))),
      ),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (agent) => {
        const statement = Buffer.from(JSON.stringify({ tokenKey, agent })).toString('base64');
        refused(Buffer.from(JSON.stringify({ ...parts, statement })));
      }),
    );
    refused(Buffer.from(JSON.stringify({ ...parts, more: 1 })));
    refused(Buffer.alloc(maxEnrolmentOctets + 1, 0x20));
  });

  it('of the longest city there is fits', () => {
    const place = { ...oslo, name: 'o'.repeat(63), city: '\u{10ffff}'.repeat(32) };
    expect(enrol(token, place, keys).length).toBeLessThan(maxEnrolmentOctets / 2);
  });
});
