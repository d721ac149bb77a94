import { describe, expect, it } from 'vitest';
import { createTrustStore, issuedByOwnCa } from './index.ts';
import { authority, type Issued, keyOf, now, server } from './testing/issue.ts';

const root = authority('root');
const other = authority('other root');
const ica = authority('ica', { issuer: root });
const leaf = server('www.example.com', ica);
const context = (id: string, ...anchors: Issued[]) => ({
  id,
  anchors: anchors.map(({ certificate }) => ({ certificate })),
});
const ders = (...chain: Issued[]) => chain.map((one) => one.der);

describe('the own-CA rule', () => {
  const store = createTrustStore([context('ONE', other)]);
  const own = (chain: Issued[], cas: Issued[] = [root]) =>
    issuedByOwnCa(
      store.evaluate({ chain: ders(...chain), now }),
      cas.map(({ certificate }) => certificate),
    );

  it('finds the own CA above an intermediate, and when its certificate is not sent', () => {
    expect(own([leaf, ica, root])).toBe(true);
    expect(own([leaf, ica])).toBe(true);
    expect(own([server('www.example.com', root)])).toBe(true);
  });

  it('finds it behind a cross-sign by a CA that is trusted', () => {
    const cross = authority('ica', { issuer: other });
    expect(own([leaf, cross], [ica])).toBe(true);
    expect(own([leaf, cross, ica])).toBe(true);
  });

  it('finds it under a new name for the same key', () => {
    const renamed = authority('renamed', { key: root.key });
    expect(own([server('www.example.com', renamed), renamed])).toBe(true);
  });

  it('lets others pass, even with the own CA sent along', () => {
    const foreign = server('www.example.com', other);
    expect(own([foreign])).toBe(false);
    expect(own([foreign, root, ica])).toBe(false);
    const namesake = authority('root', { key: keyOf('a namesake') });
    expect(own([server('www.example.com', namesake), namesake])).toBe(false);
  });

  it('takes the own CA in the chain for an ancestor when the budget ran out', () => {
    const poor = createTrustStore([context('ONE', other)], { budgets: { signatures: 0 } });
    const evaluation = poor.evaluate({ chain: ders(leaf, ica, root), now });
    expect(
      issuedByOwnCa({ ...evaluation, leaf: server('x.example.com', other).certificate }, [root.certificate]),
    ).toBe(true);
  });
});
