/** Each option of `revocation` changes what the coordinator does, against a real HTTP server. */
import { parsePrefix } from '@mecai/addresses';
import type { Link, SupplyResponse } from '@mecai/proto/signer';
import { keyUsages, testCertificate, testCrl } from '@mecai/voucher/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { type CoordinatorConfig, coordinatorConfig } from './config.ts';
import { Revocation, revocationSource } from './revocation.ts';
import { type TestHttp, startHttp } from './testing/http-server.ts';
import { keptLog } from './testing/log.ts';

const { log, lines } = keptLog();
let http: TestHttp;
/** What is at a path; silence where it is undefined. */
const documents = new Map<string, Uint8Array | undefined>();

beforeAll(async () => {
  http = await startHttp(({ url = '' }, response) => {
    const document = documents.get(url);
    if (document) response.writeHead(200).end(document);
    else if (!documents.has(url)) response.writeHead(404).end();
  });
});
afterAll(() => http[Symbol.asyncDispose]());
beforeEach(() => {
  documents.clear();
  http.asked.length = 0;
  lines.length = 0;
});

const stops: (() => void)[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));
const fail = (error: unknown) => {
  throw error;
};

let count = 0;
/** A CA with a certificate below it, whose CRL is at a path of its own. */
function newCa() {
  const path = `/${++count}.crl`;
  const crlUrl = `http://127.0.0.1:${http.port}${path}`;
  const usage = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };
  const ca = testCertificate({ subject: `CA ${count}`, ...usage });
  const link: Link = {
    certificate: testCertificate({ subject: `server ${count}`, issuer: ca, crlUrl }).der,
    issuer: ca.der,
  };
  return { ca, path, link };
}

/** What brings evidence with these options, and what it brought. */
function coordinator(options: Partial<CoordinatorConfig['revocation']>) {
  const supplied: Uint8Array[] = [];
  const config = coordinatorConfig.shape.revocation.parse(options);
  const revocation = new Revocation({
    source: revocationSource(config, [parsePrefix('127.0.0.0/8')]),
    signer: {
      supply: (_nonce, _link, _kind, der): Promise<SupplyResponse> => {
        supplied.push(der);
        return Promise.resolve({ accepted: true, detail: '' });
      },
    },
    deadlineMs: config.deadlineMs,
    lookAgainMs: 0,
    log,
  });
  const bring = async (...links: readonly Link[]) => {
    const since = performance.now();
    await revocation.bring({ nonce: new Uint8Array(32), links: [...links] });
    return performance.now() - since;
  };
  return { revocation, bring, supplied };
}
const times = (path: string) => http.asked.filter((one) => one === `GET ${path}`).length;
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const tests: Record<string, () => Promise<void>> = {
  async deadlineMs() {
    const { path, link } = newCa();
    documents.set(path, undefined);
    const took = await coordinator({ deadlineMs: 100 }).bring(link);
    expect(took).toBeLessThan(await coordinator({ deadlineMs: 1_500 }).bring(link));
    expect(took).toBeGreaterThan(90);
  },
  async fetchTimeoutMs() {
    const { path, link } = newCa();
    documents.set(path, undefined);
    // It gives up before the deadline, and says so.
    const { bring } = coordinator({ deadlineMs: 60_000, fetchTimeoutMs: 100 });
    expect(await bring(link)).toBeLessThan(30_000);
    expect(lines.map(({ message }) => message)).toEqual(['revocation source']);
  },
  async maxAgeMs() {
    const { ca, path, link } = newCa();
    documents.set(path, testCrl(ca, { number: 1 }));
    const { revocation, bring } = coordinator({ maxAgeMs: 100 });
    await bring(link);
    stops.push(revocation.refreshEvery(50, fail));
    await expect.poll(() => times(path), { timeout: 60_000 }).toBeGreaterThan(2);
    const older = coordinator({ maxAgeMs: 3_600_000 });
    stops.splice(0).forEach((stop) => stop());
    http.asked.length = 0;
    await older.bring(link);
    stops.push(older.revocation.refreshEvery(50, fail));
    await wait(300);
    expect(times(path)).toBe(1);
  },
  async refreshEveryMs() {
    const { ca, path, link } = newCa();
    documents.set(path, testCrl(ca, { number: 1 }));
    const { revocation } = coordinator({ maxAgeMs: 100 });
    // What is known of the VA comes with each refresh, without anybody's question.
    await revocation.bringOfVa([link]);
    expect(times(path)).toBe(1);
    stops.push(revocation.refreshEvery(3_600_000, fail));
    await wait(300);
    expect(times(path)).toBe(1);
    stops.push(revocation.refreshEvery(50, fail));
    await expect.poll(() => times(path), { timeout: 60_000 }).toBeGreaterThan(3);
  },
  async retryAfterMs() {
    const { path, link } = newCa();
    for (const [retryAfterMs, fetches] of [
      [3_600_000, 1],
      [100, 2],
    ] as const) {
      http.asked.length = 0;
      const { bring } = coordinator({ retryAfterMs });
      await bring(link);
      await wait(150);
      await bring(link);
      expect(times(path)).toBe(fetches);
    }
  },
  async crlOctets() {
    const { ca, path, link } = newCa();
    const crl = testCrl(ca, { number: 1, padding: 100 });
    documents.set(path, crl);
    for (const [crlOctets, brought] of [
      [crl.length, 1],
      [crl.length - 1, 0],
    ] as const) {
      const { bring, supplied } = coordinator({ crlOctets });
      await bring(link);
      expect(supplied).toHaveLength(brought);
    }
  },
  async cacheOctets() {
    const cas = [newCa(), newCa()];
    for (const { ca, path } of cas) documents.set(path, testCrl(ca, { number: 1, padding: 1_500 }));
    for (const [cacheOctets, fetches] of [
      [1_000_000, 1],
      [150_000, 2],
    ] as const) {
      http.asked.length = 0;
      const { bring } = coordinator({ cacheOctets });
      for (const { link } of [...cas, cas[0]!]) await bring(link);
      expect(times(cas[0]!.path)).toBe(fetches);
    }
  },
};

it.each(Object.keys(tests))('%s', (option) => tests[option]!());

it('and none is left out', () => {
  const options = Object.keys(coordinatorConfig.shape.revocation.parse({}));
  expect(Object.keys(tests).toSorted()).toEqual(options.toSorted());
});
