import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createTrustStore, PkiError } from './index.ts';
import { sha256 } from './vertex.ts';
import {
  authority,
  commonName,
  dnsName,
  ext,
  type Issued,
  ipName,
  keyOf,
  now,
  pairOf,
  server,
} from './testing/issue.ts';

const root = authority('root');
const other = authority('other root');
const ica = authority('ica', { issuer: root });
const leaf = server('www.example.com', ica);
const context = (id: string, ...anchors: Issued[]) => ({
  id,
  anchors: anchors.map(({ certificate }) => ({ certificate })),
});
const name = { dns: 'www.example.com' };
const ders = (...chain: Issued[]) => chain.map((one) => one.der);

describe('a trust store with two contexts', () => {
  const store = createTrustStore([context('ONE', root), context('TWO', other)]);

  it('names the contexts that have the anchor, with the path, and says why another is left out', () => {
    const { contexts, leaf: read } = store.evaluate({ chain: ders(leaf, ica), name, now });
    expect(contexts.map(({ id, trusted }) => [id, trusted])).toEqual([
      ['ONE', true],
      ['TWO', false],
    ]);
    expect(contexts[0]!.path).toEqual([leaf.certificate, ica.certificate, root.certificate]);
    expect(contexts[1]!.reason).toMatchObject({ code: 'no-issuer', certificate: { subject: 'CN=root' } });
    expect(read).toEqual(leaf.certificate);
  });

  it('finds the path in a bag out of order, with strays, duplicates and bytes that are no certificate', () => {
    const stray = authority('stray', { issuer: other });
    const junk = Uint8Array.of(0x30, 0x03, 1, 2, 3);
    const { contexts, chain } = store.evaluate({
      chain: [leaf.der, stray.der, junk, root.der, ica.der, ica.der],
      name,
      now,
    });
    expect(contexts[0]!.trusted).toBe(true);
    expect(chain.map((one) => one !== undefined)).toEqual([true, true, false, true, true, true]);
  });

  it('follows a cross-sign into both contexts', () => {
    const cross = authority('root', { issuer: other });
    const { contexts } = store.evaluate({ chain: ders(leaf, ica, cross), name, now });
    expect(contexts.map(({ trusted }) => trusted)).toEqual([true, true]);
    expect(contexts[1]!.path).toEqual([leaf, ica, cross, other].map(({ certificate }) => certificate));
  });

  it('gives one path for each context, the one that needs least', () => {
    // The search goes on for the second context.
    const both = createTrustStore([context('ONE', root, other), context('TWO', authority('elsewhere'))]);
    const cross = authority('root', { issuer: other });
    const { contexts } = both.evaluate({ chain: ders(leaf, ica, cross), name, now });
    expect(contexts[0]!.path).toEqual([leaf, ica, root].map(({ certificate }) => certificate));
  });

  it('prefers a path that holds over an expired cross-sign', () => {
    const expired = authority('ica', { issuer: other, notAfter: new Date('2026-02-01T00:00:00Z') });
    const { contexts } = store.evaluate({ chain: ders(leaf, expired, ica), name, now });
    expect(contexts[0]!.trusted).toBe(true);
    expect(contexts[1]!.reason?.code).toBe('expired');
  });

  it('needs the intermediate, unless it is known', () => {
    const missing = store.evaluate({ chain: ders(leaf), name, now }).contexts[0]!;
    expect(missing.reason).toMatchObject({ code: 'no-issuer', certificate: { index: 0 } });
    const knowing = createTrustStore([context('ONE', root)], { knownIntermediates: [ica.certificate] });
    expect(knowing.evaluate({ chain: ders(leaf), name, now }).contexts[0]!.trusted).toBe(true);
  });

  it('names the failing certificate by its place in the chain as sent', () => {
    const weak = authority('weak', {
      issuer: root,
      change: { basicConstraints: ext.basicConstraints(false) },
    });
    const below = server('www.example.com', weak);
    const { reason } = store.evaluate({ chain: ders(below, ica, weak), name, now }).contexts[0]!;
    expect(reason).toMatchObject({
      code: 'not-a-ca',
      rule: 'RFC 5280 4.2.1.9',
      certificate: { index: 2, subject: 'CN=weak', sha256: sha256(weak.der) },
    });
  });

  it('rejects a signature by another key under the issuer name', () => {
    const forged = server('www.example.com', ica, { signer: keyOf('mallory') });
    expect(store.evaluate({ chain: ders(forged, ica), name, now }).contexts[0]!.reason?.code).toBe(
      'bad-signature',
    );
    // The answer is remembered, and the same.
    expect(store.evaluate({ chain: ders(forged, ica), name, now }).contexts[0]!.reason?.code).toBe(
      'bad-signature',
    );
  });

  it('throws for a leaf that is no certificate, and for an empty chain', () => {
    expect(() => store.evaluate({ chain: [], now })).toThrow(PkiError);
    expect(() => store.evaluate({ chain: [Uint8Array.of(1)], now })).toThrow(PkiError);
  });

  it('does not take a self-signed leaf for its own anchor', () => {
    const self = authority('self', { change: { subjectAltName: ext.subjectAltName([dnsName('self')]) } });
    const trusting = createTrustStore([context('ONE', self)], { profile: 'rfc5280' });
    expect(trusting.evaluate({ chain: ders(self), now }).contexts[0]!.trusted).toBe(false);
  });

  it('matches names and addresses', () => {
    const addressed = server('*.example.com', ica, {
      subject: commonName('*.example.com'),
      change: { subjectAltName: ext.subjectAltName([dnsName('*.example.com'), ipName(192, 0, 2, 1)]) },
    });
    const trusted = (reference: { dns: string } | { ip: string }) =>
      store.evaluate({ chain: ders(addressed, ica), name: reference, now }).contexts[0]!.trusted;
    expect(trusted({ dns: 'WWW.example.com.' })).toBe(true);
    expect(trusted({ dns: 'a.b.example.com' })).toBe(false);
    expect(trusted({ dns: 'example.com' })).toBe(false);
    expect(trusted({ ip: '192.0.2.1' })).toBe(true);
    expect(trusted({ ip: '::ffff:192.0.2.1' })).toBe(false);
    expect(trusted({ dns: '192.0.2.1' })).toBe(false);
  });
});

describe('the RFC 5280 profile', () => {
  const store = createTrustStore([context('ONE', root)], { profile: 'rfc5280' });
  const nameless = server('www.example.com', ica, { change: { subjectAltName: undefined } });

  it('accepts a certificate without alternative names where no name is asked for', () => {
    expect(store.evaluate({ chain: ders(nameless, ica), now }).contexts[0]!.trusted).toBe(true);
    expect(store.evaluate({ chain: ders(nameless, ica), name, now }).contexts[0]!.reason?.code).toBe(
      'name-mismatch',
    );
  });
});

describe('hostile bags', () => {
  const store = createTrustStore([context('ONE', root)], { budgets: { signatures: 20, steps: 100 } });

  it('costs no more than the budget when every certificate could have signed every other', () => {
    const bag = Array.from({ length: 60 }, (_, i) =>
      authority('same name', {
        key: keyOf(`k${i}`),
        issuer: { ...root, certificate: authority('same name').certificate },
      }),
    );
    const below = server('www.example.com', bag[0]!);
    const result = store.evaluate({ chain: ders(below, ...bag), name, now });
    expect(result.exhausted).toBe(true);
    expect(result.contexts[0]!.trusted).toBe(false);
  });

  it('ends in a cycle of cross-signs', () => {
    const a = authority('a');
    const b = authority('b');
    const ab = authority('a', { issuer: b });
    const ba = authority('b', { issuer: a });
    const below = server('www.example.com', a);
    const result = store.evaluate({ chain: ders(below, ab, ba, a, b), name, now });
    expect(result.contexts[0]!.reason?.code).toBe('no-issuer');
    expect(result.exhausted).toBe(false);
  });

  it('has no more intermediates than the budget, self-issued ones not counted', () => {
    const rolled = authority('root', { issuer: root, key: keyOf('rolled') });
    const sub = authority('sub', { issuer: rolled });
    const chain = ders(server('www.example.com', sub), sub, rolled);
    const trusted = (intermediates: number) =>
      createTrustStore([context('ONE', root)], { budgets: { intermediates } }).evaluate({ chain, now })
        .contexts[0]!.trusted;
    expect([trusted(0), trusted(1)]).toEqual([false, true]);
  });

  it('reads no more certificates and octets than the budget', () => {
    const narrow = createTrustStore([context('ONE', root)], { budgets: { certificates: 2 } });
    expect(narrow.evaluate({ chain: ders(leaf, other, ica), now }).contexts[0]!.trusted).toBe(false);
    const short = createTrustStore([context('ONE', root)], { budgets: { octets: leaf.der.length } });
    expect(short.evaluate({ chain: ders(leaf, ica), now }).exhausted).toBe(true);
  });
});

describe('anchors', () => {
  it('are judged by the root profile, and by their essentials where a root program lists them', () => {
    const old = authority('old', { change: { subjectKeyIdentifier: undefined } });
    const below = server('www.example.com', old);
    const evaluate = (listed: boolean) =>
      createTrustStore([{ ...context('ONE', old), listed }]).evaluate({ chain: ders(below), name, now })
        .contexts[0]!;
    expect(evaluate(false).reason).toMatchObject({ code: 'profile', certificate: { index: undefined } });
    expect(evaluate(true).trusted).toBe(true);
  });

  it('must be strong even where listed', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const weak = authority('weak', {
      key: pairOf(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))),
    });
    const below = server('www.example.com', weak);
    const store = createTrustStore([{ ...context('ONE', weak), listed: true }]);
    expect(store.evaluate({ chain: ders(below), name, now }).contexts[0]!.reason?.code).toBe('weak-key');
  });

  it('have identifiers in the grammar of the voucher, each once', () => {
    expect(() => createTrustStore([context('moz', root)])).toThrow(/identifier/);
    expect(() => createTrustStore([context('A'.repeat(33), root)])).toThrow(/identifier/);
    expect(() => createTrustStore([context('A', root), context('A', other)])).toThrow(/twice/);
  });
});

describe('the constraints of a context', () => {
  const constrained = (constraints: object) =>
    createTrustStore([
      { id: 'FREE', anchors: [{ certificate: root.certificate }] },
      { id: 'BOUND', anchors: [{ certificate: root.certificate, constraints: [constraints] }] },
    ])
      .evaluate({ chain: ders(leaf, ica), name, now })
      .contexts.map(({ trusted, reason }) => (trusted ? 'trusted' : reason!.code));
  const issued = leaf.certificate.notBefore;

  it('leave out a certificate issued after the date of distrust, and only it', () => {
    expect(constrained({ notBeforeUntil: issued })).toEqual(['trusted', 'trusted']);
    expect(constrained({ notBeforeUntil: new Date(issued.getTime() - 1000) })).toEqual([
      'trusted',
      'anchor-constraint',
    ]);
    expect(constrained({ notBeforeAfter: issued })).toEqual(['trusted', 'anchor-constraint']);
  });

  it('leave out a certificate with a name outside', () => {
    expect(constrained({ permittedDnsNames: ['example.com'] })).toEqual(['trusted', 'trusted']);
    expect(constrained({ permittedDnsNames: ['ample.com', 'gov.example'] })).toEqual([
      'trusted',
      'anchor-constraint',
    ]);
  });

  it('leave out a certificate without any SCT', () => {
    expect(constrained({ sctUntil: now })).toEqual(['trusted', 'anchor-constraint']);
    expect(constrained({ sctAllAfter: new Date(0) })).toEqual(['trusted', 'anchor-constraint']);
  });

  it('are met by one set of several', () => {
    const sets = [{ notBeforeUntil: new Date(0) }, { permittedDnsNames: ['example.com'] }];
    const store = createTrustStore([
      { id: 'ANY', anchors: [{ certificate: root.certificate, constraints: sets }] },
    ]);
    expect(store.evaluate({ chain: ders(leaf, ica), name, now }).contexts[0]!.trusted).toBe(true);
  });
});
