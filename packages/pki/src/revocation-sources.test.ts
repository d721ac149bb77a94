import { describe, expect, it } from 'vitest';
import { type Fetch, PkiError, RevocationSource } from './index.ts';
import { deltaIndicator, freshestCrl, issuingDistributionPoint, makeCrl } from './testing/crl.ts';
import { authority, ext, keyOf, now, server } from './testing/issue.ts';
import { makeOcspResponse } from './testing/ocsp.ts';

const ca = authority('Source CA');
const crlUrl = 'http://crl.example/1.crl';
const deltaUrl = 'http://crl.example/delta.crl';
const ocspUrl = 'http://ocsp.example/';
const points = ext.crlDistributionPoint(crlUrl);
const leaf = server('www.example.com', ca, { change: { points } });
const withDelta = server('www.example.com', ca, { change: { points, fresh: freshestCrl(deltaUrl) } });
const withOcsp = server('www.example.com', ca, { change: { ocsp: ext.ocsp(ocspUrl) } });

/** What the network holds, by URL. */
const network =
  (content: Readonly<Record<string, Uint8Array>>): Fetch =>
  async ({ url }) => {
    const found = content[url];
    if (!found) throw new PkiError('unreachable', `no ${url}`);
    return found;
  };

async function check(one: typeof leaf, content: Readonly<Record<string, Uint8Array>>, stapled?: Uint8Array) {
  const source = new RevocationSource({ fetch: network(content), clock: () => now });
  const path = [one.certificate, ca.certificate];
  const [status] = await source.check({
    path,
    signal: AbortSignal.timeout(5_000),
    ...(stapled && { stapled }),
  });
  return { ...status!, problems: status!.problems.map(({ source, error }) => `${source} ${error.code}`) };
}

describe('a fetched CRL', () => {
  it('counts when it covers the certificate and its issuer signed it', async () => {
    expect(await check(leaf, { [crlUrl]: makeCrl(ca) })).toMatchObject({ status: 'good', problems: [] });
    const partition = (uri: string) => makeCrl(ca, { change: { idp: issuingDistributionPoint.uri(uri) } });
    expect((await check(leaf, { [crlUrl]: partition(crlUrl) })).status).toBe('good');
    expect(await check(leaf, { [crlUrl]: partition('http://crl.example/2.crl') })).toMatchObject({
      status: 'unknown',
      problems: ['crl unverified'],
    });
    const namesake = authority('Source CA', { key: keyOf('namesake') });
    expect(await check(leaf, { [crlUrl]: makeCrl(namesake) })).toMatchObject({
      status: 'unknown',
      problems: ['crl unverified'],
    });
    const indirect = makeCrl(ca, { change: { idp: issuingDistributionPoint.flags(4) } });
    expect(await check(leaf, { [crlUrl]: indirect })).toMatchObject({ problems: ['crl unsupported'] });
  });

  it('is completed by its delta, and counts alone where that fails', async () => {
    const base = makeCrl(ca, { number: 3 });
    const delta = (on: number) =>
      makeCrl(ca, {
        number: 9,
        revoked: [{ serial: withDelta.certificate.serial, reason: 4 }],
        change: { delta: deltaIndicator(on) },
      });
    const revoked = await check(withDelta, { [crlUrl]: base, [deltaUrl]: delta(3) });
    expect(revoked).toMatchObject({ status: 'revoked', reason: 4, problems: [] });
    expect(await check(withDelta, { [crlUrl]: base })).toMatchObject({
      status: 'good',
      problems: ['delta-crl unreachable'],
    });
    expect(await check(withDelta, { [crlUrl]: base, [deltaUrl]: delta(5) })).toMatchObject({
      status: 'good',
      problems: ['delta-crl unverified'],
    });
    expect(await check(withDelta, { [crlUrl]: delta(3), [deltaUrl]: delta(3) })).toMatchObject({
      status: 'unknown',
    });
  });
});

describe('a fetched OCSP response', () => {
  it('counts when it is about the certificate of this issuer', async () => {
    expect((await check(withOcsp, { [ocspUrl]: makeOcspResponse(withOcsp, ca) })).status).toBe('good');
    const about = authority('Source CA', { key: keyOf('namesake') });
    expect(await check(withOcsp, { [ocspUrl]: makeOcspResponse(withOcsp, ca, { about }) })).toMatchObject({
      status: 'unknown',
      problems: ['ocsp unverified'],
    });
    expect(await check(withOcsp, { [ocspUrl]: makeOcspResponse(leaf, ca) })).toMatchObject({
      status: 'unknown',
    });
  });

  it('without nextUpdate counts for an hour', async () => {
    const from = (minutes: number) =>
      makeOcspResponse(withOcsp, ca, {
        thisUpdate: new Date(now.getTime() - minutes * 60_000),
        nextUpdate: undefined,
      });
    expect((await check(withOcsp, { [ocspUrl]: from(59) })).status).toBe('good');
    expect((await check(withOcsp, { [ocspUrl]: from(61) })).status).toBe('stale');
  });
});

describe('a certificate without a source', () => {
  it('is unknown, unless it lives so short that none is needed', async () => {
    expect((await check(server('www.example.com', ca), {})).status).toBe('unknown');
    const days = (count: number) =>
      server('www.example.com', ca, {
        notAfter: new Date(leaf.certificate.notBefore.getTime() + count * 86_400_000),
      });
    expect(await check(days(7), {})).toMatchObject({ status: 'good', evidence: [{ kind: 'short-lived' }] });
    expect((await check(days(8), {})).status).toBe('unknown');
  });

  it('is good by a stapled response', async () => {
    const bare = server('www.example.com', ca);
    expect((await check(bare, {}, makeOcspResponse(bare, ca))).status).toBe('good');
    expect(await check(bare, {}, Uint8Array.of(1))).toMatchObject({
      status: 'unknown',
      problems: ['stapled-ocsp malformed'],
    });
  });
});
