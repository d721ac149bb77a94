import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestCa, intermediateCa, serverCertificate, silence } from '../network/index.ts';
import { testCrl } from '@mecai/voucher/testing';
import { Asker, serverName, until } from './asker.ts';

const refreshMs = 300;
const deadlineMs = 1_000;
let asker: Asker;

beforeAll(async () => {
  const revocation = {
    deadlineMs,
    fetchTimeoutMs: 5_000,
    maxAgeMs: refreshMs,
    refreshEveryMs: 100,
    retryAfterMs: 100,
  };
  asker = await Asker.start({ coordinator: { revocation } });
});
afterAll(() => asker.close());

/** A new CA below the web root, so that no test meets the evidence of another. */
let count = 0;
function newCa(): TestCa {
  const { network } = asker;
  const crlUrl = network.crls.url();
  return intermediateCa(`Issuing CA ${++count}`, network.pki.webRoot, { crlUrl });
}
async function server(ca = newCa()) {
  const leaf = serverCertificate(ca, { dns: [serverName] });
  return { ca, leaf, ask: await asker.about([leaf, ca]) };
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

describe('CRLs over HTTP', () => {
  it('the voucher carries the facts of the CRLs for leaf and intermediate', async () => {
    const { network } = asker;
    const { ca, ask } = await server();
    const crl = network.crls.publish(ca, { number: 4711 });
    const { status, trustContexts } = asker.content(await ask());
    expect(trustContexts).toEqual(['CHROME', 'MOZ']);
    expect(status.map(({ certificate }) => certificate)).toEqual([0, 1]);
    const [leaf, intermediate] = status;
    expect(leaf).toMatchObject({ crl: { number: 4711n } });
    expect('crl' in leaf! && Buffer.from(leaf.crl.digest)).toEqual(sha256(crl));
    expect(intermediate).toMatchObject({ crl: { number: 1n } });
  });

  it('a revoked leaf is refused within one refresh, and an older CRL does not undo that', async () => {
    const { network } = asker;
    const { ca, leaf, ask } = await server();
    const before = network.crls.publish(ca);
    expect((await ask()).status).toBe('issued');
    network.crls.publish(ca, { revoked: [{ certificate: leaf, reason: 1 }] });
    const { result, milliseconds } = await until(ask, ({ status }) => status === 'refused', 20_000);
    expect(result).toMatchObject({ status: 'refused', reason: 'revoked' });
    expect(result.detail).toMatch(
      /www\.example\.test \(SHA-256 [0-9a-f]{64}\) was revoked on .*keyCompromise/,
    );
    console.log(`revoked leaf refused after ${milliseconds.toFixed(0)} ms (refresh every ${refreshMs} ms)`);
    network.crls.put(ca, before);
    const asked = network.crls.asked(ca);
    await until(ask, () => network.crls.asked(ca) > asked + 1);
    expect((await ask()).reason).toBe('revoked');
  });

  it('a revoked intermediate is refused', async () => {
    const { network } = asker;
    const { ca, ask } = await server();
    network.crls.publish(ca);
    expect((await ask()).status).toBe('issued');
    network.crls.publish(network.pki.webRoot, { revoked: [{ certificate: ca, reason: 2 }] });
    const { result } = await until(ask, ({ status }) => status === 'refused', 20_000);
    expect(result.reason).toBe('revoked');
    expect(result.detail).toContain(`${ca.subject} (SHA-256`);
    expect(result.detail).toContain('cACompromise');
  });

  it('a server that keeps silent delays nobody longer than the deadline', async () => {
    const { network } = asker;
    const { ca, ask } = await server();
    network.crls.put(ca, silence);
    const since = performance.now();
    const result = await ask();
    const took = performance.now() - since;
    console.log(`silent CRL server: answered after ${took.toFixed(0)} ms, the deadline is ${deadlineMs} ms`);
    expect(result).toMatchObject({ status: 'inconclusive', retryAfter: 60 });
    expect(result.detail).toContain('revocation status unknown');
    expect(took).toBeGreaterThan(deadlineMs - 100);
    expect(took).toBeLessThan(deadlineMs + 1_000);
  });

  it.each<[string, (ca: TestCa) => Uint8Array]>([
    ['malformed', (ca) => testCrl(ca, { number: 1 }).subarray(0, 100)],
    ['of another issuer', () => testCrl(asker.network.pki.brokenRoot, { number: 1 })],
    [
      'out of date',
      (ca) => {
        const thisUpdate = new Date(Date.now() - 86_400_000);
        return testCrl(ca, { number: 1, thisUpdate, nextUpdate: new Date(Date.now() - 3_600_000) });
      },
    ],
  ])('a CRL that is %s is logged and counts for nothing', async (_, document) => {
    const { network } = asker;
    const { ca, ask } = await server();
    network.crls.put(ca, document(ca));
    const result = await ask();
    expect(result.status).toBe('inconclusive');
    expect(result.detail).toContain('revocation status');
    const path = new URL(ca.crlUrl!).pathname;
    expect(network.coordinator.log()).toContain(path);
    network.crls.publish(ca);
    await until(ask, ({ status }) => status === 'issued', 20_000);
  });

  it('a CRL of ten megabytes goes through', { timeout: 150_000 }, async () => {
    const { network } = asker;
    const { ca, leaf, ask } = await server();
    const crl = network.crls.publish(ca, { padding: 300_000 });
    expect(crl.length).toBeGreaterThan(10_000_000);
    const { milliseconds } = await until(ask, ({ status }) => status === 'issued', 60_000);
    console.log(`CRL of ${(crl.length / 1e6).toFixed(1)} MB: voucher after ${milliseconds.toFixed(0)} ms`);
    network.crls.publish(ca, { padding: 300_000, revoked: [{ certificate: leaf }] });
    const { result } = await until(ask, ({ status }) => status === 'refused', 60_000);
    expect(result.reason).toBe('revoked');
  });
});
