import { afterAll, describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { der, encodeOcspRequest, PkiError, toPem, verifyOcsp } from './index.ts';
import { authority, ext, extension, type Issued, keyOf, server } from './testing/issue.ts';
import { OpenSsl } from './testing/openssl.ts';

// openssl ocsp answers for the time of the machine.
const wide = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2049-01-01T00:00:00Z') };
const now = new Date();
const ca = authority('OCSP issuer', wide);
const good = server('good.example.com', ca, wide);
const revoked = server('revoked.example.com', ca, wide);
const absent = server('absent.example.com', ca, wide);
const responder = (name: string, change: Record<string, Uint8Array | undefined> = {}, issuer = ca) =>
  server(name, issuer, {
    ...wide,
    key: keyOf(name),
    change: {
      extKeyUsage: ext.extKeyUsage('1.3.6.1.5.5.7.3.9'),
      noCheck: extension('1.3.6.1.5.5.7.48.1.5', der.nullValue()),
      ...change,
    },
  });

const openssl = new OpenSsl();
afterAll(() => openssl[Symbol.dispose]());
const pem = (name: string, issued: Issued) => {
  openssl.write(`${name}.key`, issued.key.privateKey.export({ type: 'sec1', format: 'pem' }));
  return openssl.write(`${name}.pem`, toPem(issued.der, 'CERTIFICATE'));
};
pem('ca', ca);
const hex = ({ certificate }: Issued) => Buffer.from(certificate.serial).toString('hex').toUpperCase();
openssl.write(
  'index.txt',
  [
    `V\t490101000000Z\t\t${hex(good)}\tunknown\t/CN=good`,
    `R\t490101000000Z\t260601000000Z,keyCompromise\t${hex(revoked)}\tunknown\t/CN=revoked`,
    '',
  ].join('\n'),
);

/** The answer of a real responder. */
function answer(about: Issued, signer = 'ca', ...more: string[]): Uint8Array {
  const request = openssl.write('request.der', encodeOcspRequest(about.certificate, ca.certificate, nonce));
  openssl.run(
    'ocsp',
    '-index',
    'index.txt',
    '-CA',
    'ca.pem',
    '-rsigner',
    `${signer}.pem`,
    '-rkey',
    `${signer}.key`,
    '-reqin',
    request,
    '-respout',
    'response.der',
    '-ndays',
    '1',
    ...more,
  );
  return Uint8Array.from(readFileSync(openssl.path('response.der')));
}
const nonce = new Uint8Array(32).fill(7);
const ask = (response: Uint8Array, about: Issued, at = now, options = {}) =>
  verifyOcsp(response, about.certificate, ca.certificate, at, options);
const code = (read: () => unknown): string => {
  try {
    read();
    return 'none';
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return error.code;
  }
};

describe('the response of an openssl responder', () => {
  it('says good, revoked with time and reason, and unknown', () => {
    expect(ask(answer(good), good).status).toBe('good');
    expect(ask(answer(revoked), revoked)).toMatchObject({
      status: 'revoked',
      reason: 1,
      revokedAt: new Date('2026-06-01T00:00:00Z'),
    });
    expect(ask(answer(absent), absent).status).toBe('unknown');
  });

  it('may be signed by the issuer or by a responder that it authorized, named by name or by key', () => {
    pem('delegate', responder('delegate'));
    for (const signer of ['ca', 'delegate']) {
      expect(ask(answer(good, signer), good).status).toBe('good');
      expect(ask(answer(good, signer, '-resp_key_id'), good).status).toBe('good');
    }
  });

  it('counts no longer than the certificate of the responder', () => {
    const notAfter = new Date(Math.floor(now.getTime() / 1000) * 1000 + 3_600_000);
    const key = keyOf('soon over');
    pem(
      'soon-over',
      server('soon over', ca, {
        ...wide,
        notAfter,
        key,
        change: { extKeyUsage: ext.extKeyUsage('1.3.6.1.5.5.7.3.9') },
      }),
    );
    expect(ask(answer(good, 'soon-over'), good).nextUpdate).toEqual(notAfter);
    expect(ask(answer(good), good).nextUpdate > notAfter).toBe(true);
  });

  it('counts by SHA-256 identifiers too', () => {
    const request = openssl.path('sha256.der');
    pem('good', good);
    openssl.run('ocsp', '-sha256', '-issuer', 'ca.pem', '-cert', 'good.pem', '-reqout', request);
    openssl.run(
      'ocsp',
      '-index',
      'index.txt',
      '-CA',
      'ca.pem',
      '-rsigner',
      'ca.pem',
      '-rkey',
      'ca.key',
      '-reqin',
      request,
      '-respout',
      'r.der',
      '-ndays',
      '1',
    );
    expect(ask(Uint8Array.from(readFileSync(openssl.path('r.der'))), good).status).toBe('good');
  });

  it('is refused from a responder without the EKU, of another issuer, or outdated', () => {
    pem('no-eku', responder('no-eku', { extKeyUsage: ext.extKeyUsage('1.3.6.1.5.5.7.3.1') }));
    expect(code(() => ask(answer(good, 'no-eku'), good))).toBe('unverified');
    pem(
      'stranger',
      responder('stranger', {}, authority('OCSP issuer', { ...wide, key: keyOf('stranger CA') })),
    );
    expect(code(() => ask(answer(good, 'stranger'), good))).toBe('unverified');
    pem(
      'outdated',
      server('outdated', ca, {
        key: keyOf('outdated'),
        notBefore: wide.notBefore,
        notAfter: new Date('2021-01-01T00:00:00Z'),
        change: { extKeyUsage: ext.extKeyUsage('1.3.6.1.5.5.7.3.9') },
      }),
    );
    expect(code(() => ask(answer(good, 'outdated'), good))).toBe('unverified');
    expect(code(() => ask(answer(good, 'delegate', '-resp_no_certs'), good))).toBe('unverified');
  });

  it('may lack id-pkix-ocsp-nocheck in its responder, unless that is required', () => {
    pem('checkable', responder('checkable', { noCheck: undefined }));
    const response = answer(good, 'checkable');
    expect(ask(response, good).status).toBe('good');
    expect(code(() => ask(response, good, now, { requireNoCheck: true }))).toBe('unverified');
  });

  it('may leave out the nonce, and may not have another', () => {
    const response = answer(good);
    expect(ask(response, good, now, { nonce }).status).toBe('good');
    expect(code(() => ask(response, good, now, { nonce: new Uint8Array(32) }))).toBe('unverified');
    expect(ask(answer(good, 'ca', '-no_nonce'), good, now, { nonce }).status).toBe('good');
  });

  it('is about one certificate and one time', () => {
    const response = answer(good);
    expect(code(() => ask(response, revoked))).toBe('unverified');
    expect(code(() => ask(response, good, new Date(now.getTime() + 2 * 86_400_000)))).toBe('stale');
    expect(code(() => ask(response, good, new Date(now.getTime() - 3_600_000)))).toBe('stale');
    const sibling = authority('OCSP issuer', { ...wide, key: keyOf('sibling') });
    expect(code(() => verifyOcsp(response, good.certificate, sibling.certificate, now))).toBe('unverified');
  });

  it('never survives a changed bit', () => {
    const responses = [
      answer(revoked, 'ca', '-resp_no_certs', '-no_nonce'),
      answer(good, 'ca', '-resp_no_certs', '-no_nonce'),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...responses), fc.nat(), fc.nat(7), (response, at, bit) => {
        const changed = Uint8Array.from(response);
        changed[at % changed.length]! ^= 1 << bit;
        expect(code(() => ask(changed, responses[0] === response ? revoked : good))).not.toBe('none');
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('a responder that has nothing to say', () => {
  it('counts as unreachable', () => {
    // OCSPResponse { tryLater }
    expect(code(() => ask(Uint8Array.of(0x30, 3, 0x0a, 1, 3), good))).toBe('unreachable');
  });
});
