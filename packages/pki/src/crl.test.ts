import { describe, expect, it } from 'vitest';
import { covers, der, parseCrl, parseCrlInSlices, PkiError, verifyCrl } from './index.ts';
import { crlStatus, deltaIndicator, issuingDistributionPoint, makeCrl } from './testing/crl.ts';
import { authority, ext, extension, keyOf, now, server } from './testing/issue.ts';

const ca = authority('CRL issuer');
const here = 'http://crl.example/1.crl';
const leaf = server('www.example.com', ca, { change: { points: ext.crlDistributionPoint(here) } });
const { serial } = leaf.certificate;
const other = Uint8Array.of(1, 2, 3);
const day = 86_400_000;
const later = (days: number) => new Date(now.getTime() + days * day);

const status = (...crls: Uint8Array[]) => crlStatus(leaf.certificate, ca.certificate, crls, now);
const code = (read: () => unknown): string => {
  try {
    read();
    return 'none';
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return error.code;
  }
};

describe('a complete CRL', () => {
  it('says good of what it lacks and revoked of what it has, with the reason', () => {
    expect(status(makeCrl(ca)).status).toBe('good');
    expect(status(makeCrl(ca, { revoked: [{ serial: other }] })).status).toBe('good');
    const crl = makeCrl(ca, { revoked: [{ serial: other }, { serial, reason: 1 }] });
    expect(status(crl).status).toBe('revoked');
    expect(parseCrl(crl).entries.find(serial)).toEqual({ revocationDate: later(-1), reason: 1 });
  });

  it('answers nothing when it is stale, from the future, unsigned or of another issuer', () => {
    expect(status(makeCrl(ca, { nextUpdate: later(-0.5) })).status).toBe('stale');
    expect(status(makeCrl(ca, { nextUpdate: now })).status).toBe('good');
    expect(status(makeCrl(ca, { thisUpdate: later(0.5) })).status).toBe('stale');
    expect(status(makeCrl(ca, { signer: authority('mallory') })).status).toBe('unknown');
    expect(status(makeCrl(authority('another'))).status).toBe('unknown');
    const namesake = authority('CRL issuer', { key: keyOf('namesake') });
    expect(status(makeCrl(namesake)).status).toBe('unknown');
    expect(status().status).toBe('unknown');
  });

  it('needs an issuer that may sign CRLs, where its key usage says anything', () => {
    const mute = authority('CRL issuer', { change: { keyUsage: ext.keyUsage(5) } });
    expect(code(() => verifyCrl(parseCrl(makeCrl(ca)), mute.certificate))).toBe('unverified');
    const silent = authority('CRL issuer', { change: { keyUsage: undefined } });
    expect(code(() => verifyCrl(parseCrl(makeCrl(ca)), silent.certificate))).toBe('none');
  });

  it.each([
    ['of version 1', makeCrl(ca, { version: 0 }), 'malformed'],
    ['without nextUpdate', makeCrl(ca, { nextUpdate: undefined }), 'malformed'],
    ['without a number', makeCrl(ca, { change: { number: undefined } }), 'malformed'],
    [
      'with a critical number',
      makeCrl(ca, { change: { number: extension('2.5.29.20', der.integer(1), true) } }),
      'malformed',
    ],
    [
      'with an unknown critical extension',
      makeCrl(ca, { change: { x: extension('1.2.3', der.nullValue(), true) } }),
      'unsupported',
    ],
    [
      'with an unknown critical entry extension',
      makeCrl(ca, { revoked: [{ serial, extension: extension('1.2.3', der.nullValue(), true) }] }),
      'unsupported',
    ],
    ['that is indirect', makeCrl(ca, { change: { idp: issuingDistributionPoint.flags(4) } }), 'unsupported'],
    [
      'with an entry of another issuer',
      makeCrl(ca, { revoked: [{ serial, extension: extension('2.5.29.29', der.sequence(), true) }] }),
      'unsupported',
    ],
    [
      'with an entry of another issuer, not even critical',
      makeCrl(ca, { revoked: [{ serial, extension: extension('2.5.29.29', der.sequence()) }] }),
      'unsupported',
    ],
    [
      'for some reasons',
      makeCrl(ca, { change: { idp: issuingDistributionPoint.someReasons } }),
      'unsupported',
    ],
    [
      'for attribute certificates',
      makeCrl(ca, { change: { idp: issuingDistributionPoint.flags(5) } }),
      'unsupported',
    ],
    ['with a reason that is none', makeCrl(ca, { revoked: [{ serial, reason: 7 }] }), 'malformed'],
    [
      'with a serial number not minimal',
      makeCrl(ca, { revoked: [{ serial: Uint8Array.of(0, 1) }] }),
      'malformed',
    ],
    ['with bytes after it', Uint8Array.from([...makeCrl(ca), 0]), 'malformed'],
  ])('is refused %s', (_, crl, expected) => {
    expect(code(() => parseCrl(crl))).toBe(expected);
  });

  it('counts the newest of several', () => {
    const old = makeCrl(ca, { number: 1 });
    const fresh = makeCrl(ca, { number: 2, revoked: [{ serial }] });
    expect(status(fresh, old).status).toBe('revoked');
    expect(status(old, fresh).status).toBe('revoked');
  });
});

const of = (idp: Uint8Array) => covers(parseCrl(makeCrl(ca, { change: { idp } })), leaf.certificate);

describe('a partitioned CRL', () => {
  it('covers the certificates whose distribution point it names', () => {
    expect(of(issuingDistributionPoint.uri(here))).toBe(true);
    expect(of(issuingDistributionPoint.uri('http://crl.example/2.crl'))).toBe(false);
  });

  it('covers users or CAs only, as it says', () => {
    expect(of(issuingDistributionPoint.flags(1))).toBe(true);
    expect(of(issuingDistributionPoint.flags(2))).toBe(false);
    const caCrl = parseCrl(makeCrl(ca, { change: { idp: issuingDistributionPoint.flags(2) } }));
    expect(covers(caCrl, authority('below', { issuer: ca }).certificate)).toBe(true);
  });

  it('of another partition does not make a certificate good', () => {
    const elsewhere = makeCrl(ca, {
      change: { idp: issuingDistributionPoint.uri('http://crl.example/2.crl') },
    });
    expect(status(elsewhere).status).toBe('unknown');
  });
});

describe('a delta CRL', () => {
  const base = makeCrl(ca, { number: 5, revoked: [{ serial: other }] });
  const delta = (
    number: number,
    on: number,
    revoked: { serial: Uint8Array; reason?: number }[],
    change = {},
  ) => makeCrl(ca, { number, revoked, change: { delta: deltaIndicator(on), ...change } });

  it('adds to a complete one', () => {
    expect(status(base).status).toBe('good');
    expect(status(base, delta(7, 5, [{ serial }])).status).toBe('revoked');
    expect(status(base, delta(7, 4, [{ serial }])).status).toBe('revoked');
  });

  it('takes away what it says was removed', () => {
    const held = makeCrl(ca, { number: 5, revoked: [{ serial, reason: 6 }] });
    expect(status(held).status).toBe('revoked');
    expect(status(held, delta(6, 5, [{ serial, reason: 8 }])).status).toBe('good');
  });

  it('is left aside when it is for a later or an older complete one, or for another scope', () => {
    expect(status(base, delta(7, 6, [{ serial }])).status).toBe('good');
    expect(status(base, delta(5, 4, [{ serial }])).status).toBe('good');
    expect(status(base, delta(7, 5, [{ serial }], { idp: issuingDistributionPoint.uri(here) })).status).toBe(
      'good',
    );
  });

  it('alone says nothing', () => {
    expect(status(delta(7, 5, [])).status).toBe('unknown');
  });
});

const serialAt = (i: number) => {
  const octets = new Uint8Array(16).fill(0x5a);
  new DataView(octets.buffer).setUint32(4, Math.imul(i, 2_654_435_761));
  new DataView(octets.buffer).setUint32(8, i);
  return octets;
};

describe('a CRL of 300,000 entries', () => {
  const crl = parseCrl(
    makeCrl(ca, {
      revoked: Array.from({ length: 300_000 }, (_, i) => ({ serial: serialAt(i), reason: i % 6 })),
    }),
  );

  it('has every one of them, and no other', () => {
    expect(crl.der.length).toBeGreaterThan(10_000_000);
    expect(crl.entries.size).toBe(300_000);
    let found = 0;
    for (let i = 0; i < 300_000; i++) if (crl.entries.find(serialAt(i))?.reason === i % 6) found++;
    expect(found).toBe(300_000);
    for (let i = 300_000; i < 310_000; i++) if (crl.entries.find(serialAt(i))) found++;
    expect(found).toBe(300_000);
  });

  it('read in slices is the same, and leaves turns to others', async () => {
    let turns = 0;
    const others = setInterval(() => turns++, 1);
    const sliced = await parseCrlInSlices(crl.der);
    clearInterval(others);
    expect(turns).toBeGreaterThan(5);
    expect(sliced.entries.size).toBe(300_000);
    expect(sliced.entries.find(serialAt(299_999))).toEqual(crl.entries.find(serialAt(299_999)));
    await expect(parseCrlInSlices(crl.der.subarray(1))).rejects.toThrow(PkiError);
  });
});

describe('serial numbers made to collide', () => {
  it('are refused before they take long', () => {
    // All entries with one serial number hash alike.
    const revoked = Array.from({ length: 20_000 }, () => ({ serial: other }));
    expect(code(() => parseCrl(makeCrl(ca, { revoked })))).toBe('limit');
  });
});
