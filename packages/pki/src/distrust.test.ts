import { describe, expect, it } from 'vitest';
import { createTrustStore, der, type DistrustEntry, matchesDistrust } from './index.ts';
import { attribute, authority, type Issued, now, server } from './testing/issue.ts';
import { sha256 } from './vertex.ts';

const root = authority('root');
const other = authority('other root');
const ica = authority('ica', { issuer: root });
const leaf = server('www.example.com', ica);
const name = { dns: 'www.example.com' };
const context = (id: string, ...anchors: Issued[]) => ({
  id,
  anchors: anchors.map(({ certificate }) => ({ certificate })),
});
const ders = (...chain: Issued[]) => chain.map((one) => one.der);

describe('distrust', () => {
  const acme = der.sequence(
    attribute('2.5.4.10', der.utf8String('ACME  Trust')),
    attribute('2.5.4.3', der.utf8String('CA')),
  );
  const acmeCa = authority('acme', { issuer: root, subject: acme });
  const below = server('www.example.com', acmeCa);
  const path = [below, acmeCa, root].map(({ certificate }) => certificate);
  const matched = (entry: Partial<DistrustEntry>, tci = 'MOZ') =>
    matchesDistrust(
      [{ id: '1', subject: { kind: 'operator', organization: 'acme trust' }, ...entry }],
      path,
      tci,
      now,
    )?.index;

  it('hits by certificate, key, issuer and CA operator', () => {
    expect(matched({ subject: { kind: 'certificate', sha256: sha256(below.der) } })).toBe(0);
    expect(matched({ subject: { kind: 'spki', sha256: sha256(root.key.spki).toUpperCase() } })).toBe(2);
    expect(matched({ subject: { kind: 'issuer', name: acme } })).toBe(0);
    expect(matched({})).toBe(1);
    expect(matched({ subject: { kind: 'operator', organization: 'acme' } })).toBeUndefined();
    expect(matched({ subject: { kind: 'certificate', sha256: sha256(leaf.der) } })).toBeUndefined();
  });

  it('holds in one context, from a date, and for what was issued after a date', () => {
    expect(matched({ tci: 'MOZ' })).toBe(1);
    expect(matched({ tci: 'CHROME' })).toBeUndefined();
    expect(matched({ from: now })).toBe(1);
    expect(matched({ from: new Date(now.getTime() + 1) })).toBeUndefined();
    expect(matched({ issuedAfter: below.certificate.notBefore })).toBeUndefined();
    expect(matched({ issuedAfter: new Date(0) })).toBe(1);
  });

  it('does not take the organization of a server for a CA operator', () => {
    const subject = der.sequence(attribute('2.5.4.10', der.utf8String('Other')));
    const customer = server('www.example.com', ica, { subject }).certificate;
    const entry: DistrustEntry = { id: '1', subject: { kind: 'operator', organization: 'Other' } };
    expect(matchesDistrust([entry], [customer, ica.certificate], undefined, now)).toBeUndefined();
  });

  it('takes a context out of an evaluation, unless another path avoids what is distrusted', () => {
    const store = createTrustStore([context('ONE', root), context('TWO', root, other)]);
    const cross = authority('ica', { issuer: other });
    const distrust: DistrustEntry[] = [
      { id: 'd7', subject: { kind: 'spki', sha256: sha256(root.key.spki) } },
    ];
    const { contexts } = store.evaluate({ chain: ders(leaf, ica, cross), name, now, distrust });
    expect(contexts[0]!.reason).toMatchObject({ code: 'distrusted', detail: 'distrusted by entry d7' });
    expect(contexts[1]!.path?.at(-1)).toEqual(other.certificate);
  });
});
