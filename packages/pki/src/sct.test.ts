import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import {
  createTrustStore,
  embeddedScts,
  PkiError,
  precertificateTbs,
  readLogKey,
  readSctList,
  verifySct,
} from './index.ts';
import { authority, keyOf, now, server } from './testing/issue.ts';
import { embeddedSctLeaf, log, sctList } from './testing/sct.ts';

const ca = authority('CT CA');
const early = new Date(now.getTime() - 86_400_000);
const leaf = server('www.example.com', ca);

describe('an SCT', () => {
  it('inside the certificate verifies over the precertificate that the log saw', () => {
    const { leaf: with1, bare } = embeddedSctLeaf(ca, early);
    const [sct] = embeddedScts(with1.certificate);
    expect(sct!.timestamp).toEqual(early);
    expect(precertificateTbs(with1.certificate)).toEqual(bare.certificate.tbs);
    expect(verifySct(sct!, log, with1.certificate, ca.certificate)).toBe(true);
    expect(verifySct(sct!, log, with1.certificate, authority('other').certificate)).toBe(false);
    expect(verifySct(sct!, readLogKey(keyOf('other log').spki), with1.certificate, ca.certificate)).toBe(
      false,
    );
  });

  it('from TLS or OCSP verifies over the certificate itself', () => {
    const [sct] = readSctList(sctList(leaf.der, early), 'tls');
    expect(verifySct(sct!, log, leaf.certificate, ca.certificate)).toBe(true);
    expect(verifySct({ ...sct!, timestamp: now }, log, leaf.certificate, ca.certificate)).toBe(false);
    expect(verifySct(sct!, log, server('www.example.com', ca).certificate, ca.certificate)).toBe(false);
  });

  it('is read or refused, whatever the bytes', () => {
    const valid = sctList(leaf.der, early);
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.nat(4), (at, octet, cut) => {
        const changed = valid.slice(0, valid.length - cut);
        changed[at % changed.length] = octet;
        try {
          readSctList(changed, 'tls');
        } catch (error) {
          expect(error).toBeInstanceOf(PkiError);
        }
      }),
    );
  });
});

describe('a context that asks for SCTs', () => {
  const context = {
    id: 'CT',
    anchors: [{ certificate: ca.certificate, constraints: [{ sctUntil: early }] }],
  };
  const trusted = (options: object, chain: Uint8Array[], scts?: object) =>
    createTrustStore([context], options).evaluate({ chain, now, ...(scts && { scts }) }).contexts[0]!.trusted;

  it('takes them from the certificate, the TLS extension and the OCSP response', () => {
    const list = sctList(leaf.der, early);
    expect(trusted({}, [leaf.der])).toBe(false);
    expect(trusted({}, [embeddedSctLeaf(ca, early).leaf.der])).toBe(true);
    const configured = { logKeys: [log] };
    expect(trusted(configured, [leaf.der], { tls: [list] })).toBe(true);
    expect(trusted(configured, [leaf.der], { ocsp: [list] })).toBe(true);
    expect(trusted(configured, [leaf.der], { tls: [sctList(leaf.der, now), list] })).toBe(true);
    expect(trusted(configured, [leaf.der], { tls: [sctList(leaf.der, now)] })).toBe(false);
    expect(trusted(configured, [leaf.der], { tls: [Uint8Array.of(0)] })).toBe(false);
    // Signed by nobody whom one could ask.
    expect(trusted({}, [leaf.der], { tls: [list], ocsp: [list] })).toBe(false);
  });

  it('rules nothing out before the handshake was seen that it may still repair', () => {
    const evaluate = (constraint: object, chain: Uint8Array[], scts: object | string) =>
      createTrustStore(
        [{ id: 'CT', anchors: [{ certificate: ca.certificate, constraints: [constraint] }] }],
        { logKeys: [log] },
      ).evaluate({ chain, now, scts: scts as 'unknown' });
    const answer = (...args: Parameters<typeof evaluate>) => evaluate(...args).contexts[0]!.trusted;
    const late = embeddedSctLeaf(ca, now).leaf.der;
    const soon = embeddedSctLeaf(ca, early).leaf.der;
    for (const [constraint, der, unknown, without] of [
      [{ sctUntil: early }, leaf.der, true, false],
      [{ sctUntil: early }, late, true, false],
      [{ sctAllAfter: early }, leaf.der, true, false],
      [{ sctAllAfter: early }, late, true, true],
      // One inside the certificate is too early, whatever comes.
      [{ sctAllAfter: early }, soon, false, false],
      [{ notBeforeUntil: new Date(0) }, leaf.der, false, false],
    ] as const) {
      expect(answer(constraint, [der], 'unknown')).toBe(unknown);
      expect(answer(constraint, [der], {})).toBe(without);
    }
    expect(evaluate({ sctUntil: early }, [leaf.der], 'unknown').dependsOnScts).toBe(true);
    expect(evaluate({ notBeforeUntil: now }, [leaf.der], 'unknown').dependsOnScts).toBe(false);
  });

  it('counts only those of the configured logs', () => {
    const stranger = keyOf('a stranger');
    const configured = { logKeys: [log] };
    expect(trusted(configured, [embeddedSctLeaf(ca, early).leaf.der])).toBe(true);
    expect(trusted(configured, [embeddedSctLeaf(ca, early, stranger).leaf.der])).toBe(false);
    expect(trusted(configured, [leaf.der], { tls: [sctList(leaf.der, early)] })).toBe(true);
    expect(trusted(configured, [leaf.der], { tls: [sctList(leaf.der, early, undefined, stranger)] })).toBe(
      false,
    );
  });

  it('refuses a log key that is none', () => {
    expect(() => readLogKey(Uint8Array.of(1))).toThrow(/log key/);
  });
});
