import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Certificate, type CertificateStatus, httpFetch, refusedBy, RevocationSource } from './index.ts';
import { OpenSslCa } from './testing/openssl-ca.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on the loopback: what it answers for each path, and what it was asked. */
let answers: Record<string, Answer> = {};
let requests: string[] = [];
const server = createServer((request, response) => {
  requests.push(`${request.method} ${request.url}`);
  const answer = answers[request.url ?? ''];
  if (answer) answer(request, response);
  else response.writeHead(404).end();
});
const serve =
  (bytes: Uint8Array): Answer =>
  (_, response) =>
    void response.writeHead(200).end(bytes);
const redirect =
  (location: string): Answer =>
  (_, response) =>
    void response.writeHead(302, { location }).end();

const minute = 60_000;
let clock = Date.now();
let base = '';
let ca: OpenSslCa;
let source: RevocationSource;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  ca = new OpenSslCa(base);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  ca[Symbol.dispose]();
});

beforeEach(() => {
  clock = Date.now();
  requests = [];
  source = newSource();
  answers = { '/ocsp': (request, response) => void answerOcsp(request, response) };
});

async function answerOcsp(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  response.writeHead(200).end(await ca.respond(Buffer.concat(parts)));
}

const newSource = (
  options: { timeout?: number; isAllowed?: (address: string) => boolean; crlOctets?: number } = {},
) =>
  new RevocationSource({
    fetch: httpFetch({
      resolve: async () => ['127.0.0.1'],
      isAllowed: options.isAllowed ?? ((address) => address === '127.0.0.1'),
      timeout: options.timeout ?? 5_000,
    }),
    clock: () => new Date(clock),
    maxAge: 60 * minute,
    retryAfter: minute,
    ...(options.crlOctets !== undefined && { crlOctets: options.crlOctets }),
  });

const check = async (
  leaf: Certificate,
  more: { stapled?: Uint8Array; signal?: AbortSignal } = {},
): Promise<CertificateStatus> => {
  const statuses = await source.check({
    path: [leaf, ca.certificate],
    signal: AbortSignal.timeout(10_000),
    ...more,
  });
  expect(statuses).toHaveLength(1);
  return statuses[0]!;
};

describe('a CRL over HTTP', () => {
  it('refuses a leaf revoked with openssl ca within one refresh', async () => {
    const leaf = ca.issue('soon-revoked', 'both');
    answers['/ca.crl'] = serve(ca.crl());
    const first = await check(leaf);
    expect(first).toMatchObject({ status: 'good', problems: [] });
    expect(first.evidence[0]).toMatchObject({ kind: 'crl', url: `${base}/ca.crl`, crl: { number: 1n } });
    ca.revoke('soon-revoked');
    answers['/ca.crl'] = serve(ca.crl());
    expect((await check(leaf)).status).toBe('good');
    clock += 61 * minute;
    await source.refreshDue();
    const second = await check(leaf);
    expect(second).toMatchObject({ status: 'revoked', reason: 1 });
    expect(refusedBy([second], 'allow-unknown')).toBe(second);
    expect(requests).toEqual(['GET /ca.crl', 'GET /ca.crl']);
  });

  it('is fetched once, however many ask at once', async () => {
    const leaf = ca.issue('popular', 'both');
    answers['/ca.crl'] = serve(ca.crl());
    const statuses = await Promise.all(Array.from({ length: 20 }, () => check(leaf)));
    expect(statuses.every(({ status }) => status === 'good')).toBe(true);
    expect(requests).toEqual(['GET /ca.crl']);
  });

  it('is renewed in the background, and nobody waits for that', async () => {
    const leaf = ca.issue('patient', 'both');
    const crl = ca.crl();
    answers['/ca.crl'] = serve(crl);
    await check(leaf);
    clock += 61 * minute;
    const waiting = Promise.withResolvers<void>();
    answers['/ca.crl'] = (_, response) => void waiting.promise.then(() => response.writeHead(200).end(crl));
    // The server does not answer yet, and the check is done.
    expect((await check(leaf)).status).toBe('good');
    waiting.resolve();
    await source.refreshDue();
    expect(requests).toEqual(['GET /ca.crl', 'GET /ca.crl']);
  });

  it('is not replaced by an older one', async () => {
    const leaf = ca.issue('replayed', 'both');
    const old = ca.crl();
    ca.revoke('replayed');
    answers['/ca.crl'] = serve(ca.crl());
    expect((await check(leaf)).status).toBe('revoked');
    answers['/ca.crl'] = serve(old);
    clock += 61 * minute;
    await source.refreshDue();
    expect((await check(leaf)).status).toBe('revoked');
  });

  it('past its nextUpdate makes the status stale, which a policy refuses or not', async () => {
    const leaf = ca.issue('late', 'both');
    answers = { '/ca.crl': serve(ca.crl()) };
    clock += 8 * 24 * 60 * minute;
    const status = await check(leaf);
    expect(status.status).toBe('stale');
    expect(refusedBy([status], 'require')).toBe(status);
    expect(refusedBy([status], 'allow-unknown')).toBeUndefined();
  });

  it.each([
    ['missing', undefined, 'unreachable'],
    ['no CRL', serve(Uint8Array.of(0x30, 0)), 'malformed'],
    ['too long', serve(new Uint8Array(2_000_000)), 'limit'],
    ['an endless redirect', redirect('/ca.crl'), 'unreachable'],
    ['a redirect out of HTTP', redirect('file:///etc/passwd'), 'unreachable'],
    [
      'cut off',
      (_: IncomingMessage, response: ServerResponse) =>
        void response.writeHead(200, { 'content-length': 100 }).write('x', () => response.destroy()),
      'unreachable',
    ],
  ])('that is %s never counts as good', async (_, answer, code) => {
    const leaf = ca.issue('unlucky', 'both');
    answers = answer ? { '/ca.crl': answer } : {};
    source = newSource({ crlOctets: 1_000_000 });
    const status = await check(leaf);
    expect(status.status).toBe('unknown');
    expect(status.problems[0]).toMatchObject({ source: 'crl', error: { code } });
    // A source that failed is left alone for a while.
    const before = requests.length;
    await check(leaf);
    expect(requests.length).toBe(before);
    clock += 2 * minute;
    await check(leaf);
    expect(requests.length).toBeGreaterThan(before);
  });

  it('is followed over three redirects and no more', async () => {
    const leaf = ca.issue('far-away', 'both');
    const crl = ca.crl();
    answers = { '/ca.crl': redirect('/1'), '/1': redirect('/2'), '/2': redirect('/3'), '/3': serve(crl) };
    expect((await check(leaf)).status).toBe('good');
    answers['/3'] = redirect('/4');
    answers['/4'] = serve(crl);
    source = newSource();
    expect((await check(leaf)).status).toBe('unknown');
  });

  it('from a server that never answers delays nobody beyond the deadline', async () => {
    const leaf = ca.issue('stuck', 'both');
    answers = { '/ca.crl': () => undefined, '/ocsp': () => undefined };
    const started = performance.now();
    expect((await check(leaf, { signal: AbortSignal.timeout(100) })).status).toBe('unknown');
    source = newSource({ timeout: 100 });
    const status = await check(leaf);
    expect(status.status).toBe('unknown');
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('is not asked for where the address guard forbids it', async () => {
    const leaf = ca.issue('guarded', 'both');
    answers['/ca.crl'] = serve(ca.crl());
    source = newSource({ isAllowed: () => false });
    expect((await check(leaf)).status).toBe('unknown');
    expect(requests).toEqual([]);
  });

  it('behind a redirect is guarded too', async () => {
    const leaf = ca.issue('redirected', 'both');
    answers = {
      '/ca.crl': redirect('http://127.0.0.2:1/ca.crl'),
    };
    const status = await check(leaf);
    expect(status.problems[0]!.error.message).toMatch(/no address that may be asked/);
  });
});

describe('an OCSP responder over HTTP', () => {
  it('is asked where there is no CRL, and its answer is kept', async () => {
    const leaf = ca.issue('ocsp-only', 'ocsp');
    const status = await check(leaf);
    expect(status).toMatchObject({ status: 'good', problems: [] });
    expect(status.evidence[0]).toMatchObject({ kind: 'ocsp', stapled: false, verdict: { status: 'good' } });
    await check(leaf);
    expect(requests).toEqual(['POST /ocsp']);
  });

  it('says of a leaf revoked with openssl ca that it is, after one refresh', async () => {
    const leaf = ca.issue('ocsp-revoked', 'ocsp');
    expect((await check(leaf)).status).toBe('good');
    ca.revoke('ocsp-revoked');
    clock += 50 * minute;
    await source.refreshDue();
    expect((await check(leaf)).status).toBe('revoked');
  });

  it('is asked where the CRL fails', async () => {
    const leaf = ca.issue('fallback', 'both');
    const status = await check(leaf);
    expect(status.status).toBe('good');
    expect(status.problems.map(({ source }) => source)).toEqual(['crl']);
    expect(requests).toEqual(['GET /ca.crl', 'POST /ocsp']);
  });

  it('does not know a certificate: the status is unknown', async () => {
    const leaf = ca.issue('forgotten', 'ocsp');
    ca.forget('forgotten');
    expect(await check(leaf)).toMatchObject({
      status: 'unknown',
      problems: [{ source: 'ocsp', error: { code: 'unverified' } }],
    });
  });

  it('need not be asked when the server stapled its answer, which a revoking CRL still beats', async () => {
    const leaf = ca.issue('stapled', 'ocsp');
    const [evidence] = (await check(leaf)).evidence;
    const stapled = evidence?.kind === 'ocsp' ? evidence.verdict.der : new Uint8Array();
    source = newSource();
    requests = [];
    expect(await check(leaf, { stapled })).toMatchObject({
      status: 'good',
      evidence: [{ kind: 'ocsp', stapled: true }],
    });
    expect(requests).toEqual([]);
    const foreign = ca.issue('not-stapled', 'both');
    answers['/ca.crl'] = serve(ca.crl());
    expect(await check(foreign, { stapled })).toMatchObject({
      status: 'good',
      problems: [{ source: 'stapled-ocsp' }],
    });
    ca.revoke('not-stapled');
    source = newSource();
    answers['/ca.crl'] = serve(ca.crl());
    expect((await check(foreign)).status).toBe('revoked');
  });
});
