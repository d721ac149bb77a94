import type { Voucher } from '@mecai/voucher';
import { testOcsp } from '@mecai/voucher/testing';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Candidate } from './candidates.ts';
import { Checker, type CheckerOptions, type Handshake } from './checker.ts';
import type { Choice } from './choice/choose.ts';
import { RevocationCache } from './revocation-cache.ts';
import {
  after,
  chainOf,
  listedVa,
  listOf,
  now,
  serverCertificate,
  sha256,
  vaRevocation,
  voucherFor,
  webIntermediate,
  webRoot,
} from './testing/world.ts';

const [one, two, three, four] = [1, 2, 3, 4].map((i) => listedVa(i));
const distrusted = listedVa(5, { status: 'distrusted' });
const list = listOf([one!, two!, three!, four!, distrusted]);
const choice = (fields: Partial<Choice> = {}): Choice => ({
  list,
  vas: [one!.entry, two!.entry, three!.entry],
  accept: 1,
  perspectives: [],
  ...fields,
});
const leaf = serverCertificate();
const chain = chainOf(leaf, webIntermediate);
const handshake: Handshake = { chain, address: '192.0.2.1', port: 443 };
const about = (fields: Partial<Voucher> = {}) => voucherFor(handshake, fields);
const from = (va = one!, fields: Partial<Voucher> = {}): Candidate => ({
  route: 'tls-extension',
  voucher: va.issue(about(fields)),
});

function codes(
  candidates: readonly Candidate[],
  {
    at = now,
    seen = handshake,
    chosen = choice(),
    ...options
  }: { at?: Date; seen?: Handshake; chosen?: Choice } & Partial<CheckerOptions> = {},
): string[] {
  const checker = new Checker({ list, ...options });
  return checker.check(seen, candidates, chosen, at).failures.map(({ code }) => code);
}

describe('a server is accepted', () => {
  test('with a voucher of one chosen VA, whatever else it shows', () => {
    expect(codes([from()])).toEqual([]);
    expect(codes([from(four), { route: 'ocsp', voucher: Uint8Array.of(1) }, from(two)])).toEqual([]);
  });

  test('and each voucher is judged, with its route and its VA', () => {
    const check = new Checker({ list }).check(handshake, [from(four), from(two)], choice(), now);
    expect(check.vouchers).toMatchObject([
      { route: 'tls-extension', va: { id: 'va-4' }, failures: [{ code: 'va-not-chosen' }] },
      { route: 'tls-extension', va: { id: 'va-2' }, failures: [] },
    ]);
    expect(check.status).toBe('good');
  });

  test('after as many vouchers as have to be, no more are looked at', () => {
    const check = new Checker({ list }).check(handshake, [from(one), from(two)], choice(), now);
    expect(check.vouchers).toHaveLength(1);
  });

  test('by its chain as the TLS stack rebuilt it, without what did not link', () => {
    const stray = about({
      intermediates: [sha256(Buffer.from('stray')), sha256(webIntermediate.der)],
      status: [],
    });
    const seen = { ...handshake, rebuiltChain: true };
    const ifKnown = { serverStatus: 'if-known' } as const;
    const candidate: Candidate = { route: 'ocsp', voucher: one!.issue(stray) };
    expect(codes([candidate], { seen, ...ifKnown })).toEqual([]);
    expect(codes([candidate], ifKnown)).toEqual(['other-intermediates']);
    const longer = { ...seen, chain: chainOf(leaf, webIntermediate, webRoot) };
    expect(codes([candidate], { seen: longer, ...ifKnown })).toEqual(['other-intermediates']);
  });
});

describe('each failure has its code', () => {
  test('no voucher', () => expect(codes([])).toEqual(['no-voucher', 'certificate-status-unknown']));

  const ifKnown = { serverStatus: 'if-known' } as const;
  test('a VA that was not chosen, one that is distrusted, one that is not on the list', () => {
    expect(codes([from(four)], ifKnown)).toEqual(['va-not-chosen']);
    expect(codes([from(distrusted)], ifKnown)).toEqual(['va-distrusted']);
    expect(codes([from(listedVa(9))], ifKnown)).toEqual(['untrusted-va']);
  });

  test('fewer than have to vouch; one VA twice is one', () => {
    const chosen = choice({ accept: 2 });
    expect(codes([from(one), from(two)], { chosen })).toEqual([]);
    expect(codes([from(one)], { chosen })).toEqual(['too-few-vouchers']);
    expect(codes([from(one), from(one, { serial: sha256(chain[0]!).subarray(16) })], { chosen })).toEqual([
      'too-few-vouchers',
    ]);
    expect(codes([from(one), from(four)], { chosen })).toEqual(['too-few-vouchers', 'va-not-chosen']);
  });

  test('perspectives where the rules do not want them', () => {
    const chosen = choice({ perspectives: [{ notIn: ['DE', 'US'], atLeast: 5 }] });
    expect(codes([from()], { chosen, ...ifKnown })).toEqual(['wrong-perspectives']);
  });

  test('older than a day, or than the client wants', () => {
    const longLived = { notAfter: after(48) };
    expect(codes([from(one, longLived)], { at: after(24) })).toEqual([]);
    expect(codes([from(one, longLived)], { at: new Date(after(24).getTime() + 1), ...ifKnown })).toEqual([
      'expired',
    ]);
    expect(codes([from()], { at: after(2), maxAgeSeconds: 3_600, ...ifKnown })).toEqual(['expired']);
    expect(codes([from()], { at: after(-1), ...ifKnown })).toEqual(['not-yet-valid']);
    expect(codes([from()], { at: after(-1), clockSkewSeconds: 3_600, ...ifKnown })).toEqual([]);
  });

  test('a VA whose certificate is revoked, or of whose nobody says that it is not', () => {
    const voucher = (documents: Parameters<(typeof one & object)['issue']>[2]): Candidate => ({
      route: 'ocsp',
      voucher: one!.issue(about(), undefined, documents),
    });
    expect(codes([voucher(vaRevocation(one!, now, 'revoked'))], ifKnown)).toEqual(['va-certificate-revoked']);
    expect(codes([voucher([])], ifKnown)).toEqual(['va-status-unknown']);
    expect(codes([voucher([])], { vaStatus: 'if-known' })).toEqual([]);
  });

  test("the VA's own CA, by a key that only the list knows", () => {
    const spki = webIntermediate.publicKey.export({ format: 'der', type: 'spki' });
    const entry = { ...one!.entry, caKeys: [sha256(spki)] };
    const own = { ...list, vas: [entry, ...list.vas.slice(1)] };
    const chosen = choice({ list: own, vas: [entry] });
    expect(codes([from()], { list: own, chosen, ...ifKnown })).toEqual(['same-ca']);
  });

  test('expectations of trust context and quorum', () => {
    expect(codes([from()], { trustContext: 'APPLE', ...ifKnown })).toEqual(['trust-context-missing']);
    expect(codes([from()], { quorum: { matches: 7 }, ...ifKnown })).toEqual(['weak-quorum']);
  });
});

describe('the status of the server certificate', () => {
  const none = { status: [] };
  const ocsp = (status: 'good' | 'revoked', nextUpdate = after(24)) =>
    testOcsp({ about: leaf, issuer: webIntermediate, status, thisUpdate: after(-2), nextUpdate });

  test('must be known: from a voucher, from its OCSP response, or from the stapled one', () => {
    expect(codes([from(one, none)])).toEqual(['certificate-status-unknown']);
    expect(codes([from(one, none)], { serverStatus: 'if-known' })).toEqual([]);
    expect(codes([from(one, { status: [{ certificate: 0, ocsp: ocsp('good') }] })])).toEqual([]);
    expect(codes([from(one, none)], { seen: { ...handshake, ocsp: ocsp('good') } })).toEqual([]);
  });

  test('counts only as long as it lasts', () => {
    const voucher = from(one, { status: [{ certificate: 0, ocsp: ocsp('good', after(1)) }] });
    expect(codes([voucher], { at: after(1) })).toEqual([]);
    expect(codes([voucher], { at: after(2) })).toEqual(['certificate-status-unknown']);
  });

  test('is kept for the next connection, until it is out of date or too old to be fresh', () => {
    const crl = { thisUpdate: after(-1), nextUpdate: after(20), digest: sha256(leaf.der) };
    const codesOf = (checker: Checker, candidates: Candidate[], at: Date) =>
      checker.check(handshake, candidates, choice(), at).failures.map(({ code }) => code);
    const checker = new Checker({ list });
    expect(codesOf(checker, [from(one, { status: [{ certificate: 0, crl }] })], now)).toEqual([]);
    expect(codesOf(checker, [from(one, none)], after(20))).toEqual([]);
    expect(codesOf(checker, [from(one, none)], after(21))).toEqual(['certificate-status-unknown']);
    const strict = new Checker({ list, revocation: new RevocationCache({ maxAgeSeconds: 7_200 }) });
    expect(codesOf(strict, [from(one, { status: [{ certificate: 0, crl }] })], after(1))).toEqual([]);
    expect(codesOf(strict, [from(one, none)], after(2))).toEqual(['certificate-status-unknown']);
  });

  test('is revoked: refused under every setting, and remembered', () => {
    const serverStatus = 'if-known';
    const checker = new Checker({ list, serverStatus });
    const check = (seen: Handshake) =>
      checker.check(seen, [from()], choice(), now).failures.map(({ code }) => code);
    expect(check(handshake)).toEqual([]);
    expect(check({ ...handshake, ocsp: ocsp('revoked') })).toEqual(['certificate-revoked']);
    expect(check(handshake)).toEqual(['certificate-revoked']);
    const inVoucher = from(one, { status: [{ certificate: 0, ocsp: ocsp('revoked') }] });
    expect(codes([inVoucher], { serverStatus })).toEqual(['certificate-revoked']);
  });

  test('of an intermediate, by an OCSP response in a voucher', () => {
    const response = testOcsp({
      about: webIntermediate,
      issuer: webRoot,
      status: 'revoked',
      thisUpdate: after(-2),
      nextUpdate: after(2),
    });
    const voucher = from(one, { status: [{ certificate: 1, ocsp: response }] });
    const serverStatus = 'if-known';
    expect(codes([voucher], { serverStatus, seen: { ...handshake, above: [webRoot.der] } })).toEqual([
      'certificate-revoked',
    ]);
    // Without its issuer the response proves nothing.
    expect(codes([voucher], { serverStatus })).toEqual([]);
  });

  test('is not taken from a voucher that does not hold, nor from a response that nobody signed', () => {
    const forged = ocsp('good');
    // In the signature.
    forged[forged.length - 1]! ^= 1;
    expect(codes([from(one, none)], { seen: { ...handshake, ocsp: forged } })).toEqual([
      'certificate-status-unknown',
    ]);
    expect(codes([from(four)])).toEqual(['va-not-chosen', 'certificate-status-unknown']);
  });

  test('is not asked for where a certificate lives for seven days at most and names no source', () => {
    const shortLived = serverCertificate({ notBefore: after(-24), notAfter: after(6 * 24) });
    const seen = { ...handshake, chain: chainOf(shortLived, webIntermediate) };
    const voucher: Candidate = { route: 'ocsp', voucher: one!.issue(voucherFor(seen, none)) };
    expect(codes([voucher], { seen })).toEqual([]);
  });
});

describe('hostile servers', () => {
  const good = one!.issue(about());
  const flipped = (bytes: Uint8Array) =>
    fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
      const changed = Uint8Array.from(bytes);
      changed[at]! ^= change;
      return changed;
    });
  const ocsp = testOcsp({
    about: leaf,
    issuer: webIntermediate,
    thisUpdate: after(-2),
    nextUpdate: after(24),
  });
  const bytes = fc.uint8Array({ maxLength: 300 });

  test('whatever they send is a failure, never an exception, and no altered voucher passes', () => {
    const checker = new Checker({ list, serverStatus: 'if-known' });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(bytes, flipped(good)), { maxLength: 4 }),
        fc.option(fc.array(fc.oneof(bytes, flipped(chain[0]!), fc.constant(chain[1]!)), { maxLength: 3 })),
        fc.option(fc.oneof(bytes, flipped(ocsp))),
        (vouchers, otherChain, stapled) => {
          const seen = { ...handshake, chain: otherChain ?? chain, ...(stapled && { ocsp: stapled }) };
          const candidates = vouchers.map((voucher) => ({ route: 'well-known', voucher }) as const);
          expect(checker.check(seen, candidates, choice(), now).failures).not.toEqual([]);
        },
      ),
      { numRuns: 1_500 },
    );
  });
});
