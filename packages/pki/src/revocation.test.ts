import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type Certificate,
  type CertificateStatus,
  httpFetch,
  pemBlocks,
  pemCertificates,
  refusedBy,
  RevocationSource,
} from './index.ts';
import { OpenSsl } from './testing/openssl.ts';
import type { AddressInfo } from 'node:net';

/** A CA of `openssl ca`, its CRL and its responder (`openssl ocsp`) behind a server on the loopback. */
const openssl = new OpenSsl();
const minute = 60_000;
let clock = Date.now();
/** What each path answers; by default the CA's CRL and responder. */
let answers: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {};
let requests: string[] = [];
const server = createServer((request, response) => {
  requests.push(`${request.method} ${request.url}`);
  const answer = answers[request.url ?? ''];
  if (answer) answer(request, response);
  else response.writeHead(404).end();
});
let base = '';
let source: RevocationSource;

const config = (url: string) => `
[ca]
default_ca = own
[own]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
unique_subject = no
[any]
commonName = supplied
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[both]
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth
subjectAltName = DNS:www.example.com
crlDistributionPoints = URI:${url}/ca.crl
authorityInfoAccess = OCSP;URI:${url}/ocsp
[ocsp]
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth
subjectAltName = DNS:www.example.com
authorityInfoAccess = OCSP;URI:${url}/ocsp
`;

function issueLeaf(name: string, section: string) {
  openssl.run(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
    '-subj',
    `/CN=${name}`,
  );
  openssl.run(
    'ca',
    '-batch',
    '-config',
    'ca.cnf',
    '-extensions',
    section,
    '-in',
    `${name}.csr`,
    '-out',
    `${name}.pem`,
    '-notext',
  );
  return pemCertificates(readFileSync(openssl.path(`${name}.pem`), 'utf8'))[0]!;
}
function publishCrl(): Uint8Array {
  openssl.run('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'crl.pem');
  return pemBlocks(readFileSync(openssl.path('crl.pem'), 'utf8'), 'X509 CRL')[0]!;
}
const revoke = (name: string) =>
  openssl.run('ca', '-config', 'ca.cnf', '-revoke', `${name}.pem`, '-crl_reason', 'keyCompromise');

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  openssl.write('request.der', Buffer.concat(parts));
  const { code, output } = await openssl.attempt(
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
    'request.der',
    '-respout',
    'response.der',
    '-nmin',
    '60',
  );
  if (code === 0)
    response
      .writeHead(200, { 'content-type': 'application/ocsp-response' })
      .end(readFileSync(openssl.path('response.der')));
  else response.writeHead(500).end(output);
}

let ca: Certificate;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  openssl.write('ca.cnf', config(base));
  openssl.write('index.txt', '');
  openssl.write('serial', '1000');
  openssl.write('crlnumber', '01');
  openssl.run(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=Own CA',
    '-days',
    '365',
    '-config',
    'ca.cnf',
    '-extensions',
    'root',
  );
  ca = pemCertificates(readFileSync(openssl.path('ca.pem'), 'utf8'))[0]!;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  openssl[Symbol.dispose]();
});

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
  const statuses = await source.check({ path: [leaf, ca], signal: AbortSignal.timeout(10_000), ...more });
  expect(statuses).toHaveLength(1);
  return statuses[0]!;
};

beforeEach(() => {
  clock = Date.now();
  requests = [];
  source = newSource();
  answers = { '/ocsp': (request, response) => void respond(request, response) };
});
const serve = (bytes: Uint8Array) => (_: IncomingMessage, response: ServerResponse) =>
  void response.writeHead(200).end(bytes);

describe('a CRL over HTTP', () => {
  it('refuses a leaf revoked with openssl ca within one refresh', async () => {
    const leaf = issueLeaf('soon-revoked', 'both');
    answers['/ca.crl'] = serve(publishCrl());
    const first = await check(leaf);
    expect(first).toMatchObject({ status: 'good', problems: [] });
    expect(first.evidence[0]).toMatchObject({ kind: 'crl', url: `${base}/ca.crl`, crl: { number: 1n } });
    revoke('soon-revoked');
    answers['/ca.crl'] = serve(publishCrl());
    expect((await check(leaf)).status).toBe('good');
    clock += 61 * minute;
    await source.refreshDue();
    const second = await check(leaf);
    expect(second).toMatchObject({ status: 'revoked', reason: 1 });
    expect(refusedBy([second], 'allow-unknown')).toBe(second);
    expect(requests).toEqual(['GET /ca.crl', 'GET /ca.crl']);
  });

  it('is fetched once, however many ask at once', async () => {
    const leaf = issueLeaf('popular', 'both');
    answers['/ca.crl'] = serve(publishCrl());
    const statuses = await Promise.all(Array.from({ length: 20 }, () => check(leaf)));
    expect(statuses.every(({ status }) => status === 'good')).toBe(true);
    expect(requests).toEqual(['GET /ca.crl']);
  });

  it('is renewed in the background, and nobody waits for that', async () => {
    const leaf = issueLeaf('patient', 'both');
    const crl = publishCrl();
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
    const leaf = issueLeaf('replayed', 'both');
    const old = publishCrl();
    revoke('replayed');
    answers['/ca.crl'] = serve(publishCrl());
    expect((await check(leaf)).status).toBe('revoked');
    answers['/ca.crl'] = serve(old);
    clock += 61 * minute;
    await source.refreshDue();
    expect((await check(leaf)).status).toBe('revoked');
  });

  it('past its nextUpdate makes the status stale, which a policy refuses or not', async () => {
    const leaf = issueLeaf('late', 'both');
    answers = { '/ca.crl': serve(publishCrl()) };
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
    [
      'an endless redirect',
      (_: IncomingMessage, response: ServerResponse) =>
        void response.writeHead(302, { location: '/ca.crl' }).end(),
      'unreachable',
    ],
    [
      'a redirect out of HTTP',
      (_: IncomingMessage, response: ServerResponse) =>
        void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      'unreachable',
    ],
    [
      'cut off',
      (_: IncomingMessage, response: ServerResponse) =>
        void response.writeHead(200, { 'content-length': 100 }).write('x', () => response.destroy()),
      'unreachable',
    ],
  ])('that is %s never counts as good', async (_, answer, code) => {
    const leaf = issueLeaf('unlucky', 'both');
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

  it('from a server that never answers delays nobody beyond the deadline', async () => {
    const leaf = issueLeaf('stuck', 'both');
    answers = { '/ca.crl': () => undefined, '/ocsp': () => undefined };
    const started = performance.now();
    expect((await check(leaf, { signal: AbortSignal.timeout(100) })).status).toBe('unknown');
    source = newSource({ timeout: 100 });
    const status = await check(leaf);
    expect(status.status).toBe('unknown');
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('is not asked for where the address guard forbids it', async () => {
    const leaf = issueLeaf('guarded', 'both');
    answers['/ca.crl'] = serve(publishCrl());
    source = newSource({ isAllowed: () => false });
    expect((await check(leaf)).status).toBe('unknown');
    expect(requests).toEqual([]);
  });

  it('behind a redirect is guarded too', async () => {
    const leaf = issueLeaf('redirected', 'both');
    answers = {
      '/ca.crl': (_, response) =>
        void response.writeHead(302, { location: 'http://127.0.0.2:1/ca.crl' }).end(),
    };
    const status = await check(leaf);
    expect(status.problems[0]!.error.message).toMatch(/no address that may be asked/);
  });
});

describe('an OCSP responder over HTTP', () => {
  it('is asked where there is no CRL, and its answer is kept', async () => {
    const leaf = issueLeaf('ocsp-only', 'ocsp');
    const status = await check(leaf);
    expect(status).toMatchObject({ status: 'good', problems: [] });
    expect(status.evidence[0]).toMatchObject({ kind: 'ocsp', stapled: false, verdict: { status: 'good' } });
    await check(leaf);
    expect(requests).toEqual(['POST /ocsp']);
  });

  it('says of a leaf revoked with openssl ca that it is, after one refresh', async () => {
    const leaf = issueLeaf('ocsp-revoked', 'ocsp');
    expect((await check(leaf)).status).toBe('good');
    revoke('ocsp-revoked');
    clock += 50 * minute;
    await source.refreshDue();
    expect((await check(leaf)).status).toBe('revoked');
  });

  it('is asked where the CRL fails', async () => {
    const leaf = issueLeaf('fallback', 'both');
    const status = await check(leaf);
    expect(status.status).toBe('good');
    expect(status.problems.map(({ source }) => source)).toEqual(['crl']);
    expect(requests).toEqual(['GET /ca.crl', 'POST /ocsp']);
  });

  it('does not know a certificate: the status is unknown', async () => {
    const leaf = issueLeaf('forgotten', 'ocsp');
    openssl.write(
      'index.txt',
      readFileSync(openssl.path('index.txt'), 'utf8').replace(/^.*forgotten\n/m, ''),
    );
    expect(await check(leaf)).toMatchObject({
      status: 'unknown',
      problems: [{ source: 'ocsp', error: { code: 'unverified' } }],
    });
  });

  it('need not be asked when the server stapled its answer, which a revoking CRL still beats', async () => {
    const leaf = issueLeaf('stapled', 'ocsp');
    const [evidence] = (await check(leaf)).evidence;
    const stapled = evidence?.kind === 'ocsp' ? evidence.verdict.der : new Uint8Array();
    source = newSource();
    requests = [];
    expect(await check(leaf, { stapled })).toMatchObject({
      status: 'good',
      evidence: [{ kind: 'ocsp', stapled: true }],
    });
    expect(requests).toEqual([]);
    const foreign = issueLeaf('not-stapled', 'both');
    answers['/ca.crl'] = serve(publishCrl());
    expect(await check(foreign, { stapled })).toMatchObject({
      status: 'good',
      problems: [{ source: 'stapled-ocsp' }],
    });
    revoke('not-stapled');
    source = newSource();
    answers['/ca.crl'] = serve(publishCrl());
    expect((await check(foreign)).status).toBe('revoked');
  });
});
