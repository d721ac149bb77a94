import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toPem } from '@mecai/pki';
import { engines, testDatabases } from '@mecai/database/testing';
import { testCertificate } from '@mecai/voucher/testing';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Endorsement } from '../log/endorsements.ts';
import { newId } from '../notice/open.ts';
import { deliveriesAbout } from '../notice/outbox.ts';
import { noticeMigrations } from '../notice/schema.ts';
import { webLeaf } from '../testing/chains.ts';
import { testIdentity } from '../testing/identity.ts';
import { statementVerifiedByOpenssl } from '../testing/openssl-mail.ts';
import { emptyTables } from '../testing/tables.ts';
import { Approvals, type ApprovalsParts } from './approvals.ts';
import { readCertificateRequest } from './certificate-request.ts';
import { approvalCode, digitsOf, grouped } from './codes.ts';
import { approvalMigrations } from './schema.ts';
import { type Approvable, approves, signApproval, verifyApproval } from './statement.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-approval-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A CSR by openssl, PEM. */
function csrFor(...names: string[]): Buffer {
  const [key, csr] = [join(directory, 'key'), join(directory, 'csr')];
  execFileSync(
    'openssl',
    [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      csr,
    ]
      .concat(['-subj', `/CN=${names[0]}`])
      .concat(['-addext', `subjectAltName=${names.join(',')}`]),
    { stdio: 'pipe' },
  );
  return readFileSync(csr);
}

const identity = testIdentity('notices@va.test');
const publicUrl = 'https://va.test';
const secret = randomBytes(32);
const leaf = webLeaf();
const hour = 3_600_000;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('what is to be approved', () => {
  it('is a certificate or a CSR, in PEM or DER', async () => {
    const pem = toPem(leaf.der, 'CERTIFICATE');
    const certificate = await readCertificateRequest(leaf.der);
    expect(certificate).toMatchObject({ kind: 'certificate', names: ['www.example.org'] });
    expect(await readCertificateRequest(Buffer.from(`some words\n${pem}`))).toEqual(certificate);
    const csr = await readCertificateRequest(csrFor('DNS:www.example.org', 'DNS:*.example.org'));
    expect(csr).toMatchObject({ kind: 'csr', names: ['www.example.org', '*.example.org'] });
    expect(await readCertificateRequest(csr.der)).toEqual(csr);
    const spki = execFileSync('openssl', ['req', '-in', join(directory, 'csr'), '-noout', '-pubkey']);
    const der = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: spki });
    expect(csr.spkiSha256).toEqual(Buffer.from(await crypto.subtle.digest('SHA-256', Uint8Array.from(der))));
  });

  it.each<[string, () => Uint8Array]>([
    ['a CSR whose signature does not hold', () => changed(csrFor('DNS:www.example.org'))],
    ['a CSR for an address', () => csrFor('DNS:www.example.org', 'IP:192.0.2.1')],
    ['no names', () => testCertificate({ subject: 'nobody' }).der],
    ['a name that DNS does not have', () => webLeaf({ dnsNames: ['www.example.org', 'a b'] }).der],
    ['too many names', () => webLeaf({ dnsNames: Array.from({ length: 101 }, (_, i) => `a${i}.org`) }).der],
    ['rubbish', () => Buffer.from('rubbish')],
    ['nothing', () => new Uint8Array()],
    ['too much', () => new Uint8Array(65_537)],
  ])('is not %s', async (_, bytes) => {
    await expect(readCertificateRequest(bytes())).rejects.toMatchObject({ code: 'bad-request' });
  });

  it('is never a crash', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await expect(readCertificateRequest(bytes)).rejects.toMatchObject({ code: 'bad-request' });
      }),
    );
  });
});

function changed(csr: Buffer): Uint8Array {
  const der = execFileSync('openssl', ['req', '-outform', 'DER'], { input: csr });
  der[der.length - 1]! ^= 1;
  return der;
}

describe.each(engines)('approvals on %s', (engine) => {
  const tables = emptyTables(
    testDatabases(engine),
    'approval',
    [...noticeMigrations, ...approvalMigrations],
    ['approval', 'approval_domain', 'delivery'],
  );
  let now: number;
  let phones: Record<string, string[]>;
  let endorsed: Endorsement[];
  let approvals: Approvals;

  const make = (changes: Partial<ApprovalsParts> = {}) =>
    new Approvals({
      database: tables.database,
      rdap: { contacts: async (domain) => ({ mail: [], phone: phones[domain] ?? [] }) },
      identity,
      secret,
      publicUrl,
      lastsMs: hour,
      maxTries: 5,
      perDomainAndDay: 2,
      automatic: false,
      endorse: async (_, endorsement) => void endorsed.push(endorsement),
      now: () => now,
      randomInteger: (below) => randomInt(below),
      newId,
      ...changes,
    });
  beforeEach(() => {
    now = Date.UTC(2026, 10, 22);
    phones = { 'example.org': ['tel:+4930123', 'tel:+14155551212'], 'example.net': ['tel:+3312345678'] };
    endorsed = [];
    approvals = make();
  });
  const codeOf = (number: string, domain = 'example.org') => approvalCode(secret, number, domain);

  it('of a certificate end in a signed statement, and are told to the certificate log', async () => {
    const number = await approvals.open(leaf.der);
    expect(number).toMatch(/^\d{12}$/);
    expect(await approvals.find(number)).toMatchObject({ state: 'open', expiresAt: now + hour });
    expect(await approvals.approve(number, codeOf(number))).toBe('approved');
    const { state, statement, request } = (await approvals.find(number))!;
    expect(state).toBe('approved');
    expect(JSON.parse(statementVerifiedByOpenssl(statement!).toString())).toEqual({
      type: 'mecai-approval',
      from: publicUrl,
      transaction: number,
      kind: 'certificate',
      sha256: hex(request.sha256),
      spkiSha256: hex(request.spkiSha256),
      names: ['www.example.org'],
      domains: [{ domain: 'example.org', approvedAt: '2026-11-22T00:00:00.000Z' }],
      at: '2026-11-22T00:00:00.000Z',
    });
    expect(endorsed).toMatchObject([
      { kind: 'approval', authority: `${publicUrl} transaction ${number}`, at: now },
    ]);
    expect(hex(endorsed[0]!.sha256)).toBe(hex(request.sha256));
    expect(await approvals.approve(number, codeOf(number))).toBe('closed');
    expect(endorsed).toHaveLength(1);
  });

  it('of names in several domains need the contacts of each', async () => {
    const number = await approvals.open(
      csrFor('DNS:www.example.org', 'DNS:example.net', 'DNS:b.example.org'),
    );
    expect(codeOf(number)).not.toBe(codeOf(number, 'example.net'));
    expect(await approvals.approve(number, codeOf(number))).toBe('more');
    expect((await approvals.find(number))!.domains).toEqual([
      { domain: 'example.net', approvedAt: null },
      { domain: 'example.org', approvedAt: now },
    ]);
    now += 1_000;
    expect(await approvals.approve(number, codeOf(number, 'example.net'))).toBe('approved');
    const { domains, request } = (await approvals.find(number))!;
    expect(domains[1]!.approvedAt).toBe(now - 1_000);
    expect(endorsed.map(({ sha256 }) => hex(sha256))).toEqual([hex(request.spkiSha256)]);
  });

  it('have every number called that the registry lists', async () => {
    const number = await approvals.open(leaf.der);
    const sheet = await approvals.callSheet(number);
    expect(sheet).toContain(`Transaction ${grouped(number)}: call every number below`);
    expect(sheet).toMatch(/\[ \] \+4930123\n {2}\[ \] \+14155551212\n/);
    expect(sheet).toContain(`the approval code ${grouped(codeOf(number))}.`);
    const provider = make({ automatic: true });
    const other = await provider.open(leaf.der);
    expect(await provider.callSheet(other)).toBe('');
    const about = `${other} example.org`;
    const called = await deliveriesAbout(tables.database, 'call', about);
    expect(called.map(({ recipient }) => recipient)).toEqual(['tel:+14155551212', 'tel:+4930123']);
    expect(await approvals.approve(number, codeOf(number))).toBe('approved');
    expect(await approvals.callSheet(number)).toBe('');
  });

  it.each<[string, () => Uint8Array, string]>([
    [
      'a domain without a telephone number',
      () => webLeaf({ dnsNames: ['a.example.com'] }).der,
      'no telephone number for example.com',
    ],
    [
      'one such domain among others',
      () => webLeaf({ dnsNames: ['example.org', 'example.com'] }).der,
      'example.com',
    ],
    ['a public suffix', () => webLeaf({ dnsNames: ['*.co.uk'] }).der, 'no registered domain'],
    [
      'too many domains',
      () => webLeaf({ dnsNames: Array.from({ length: 11 }, (_, i) => `a${i}.org`) }).der,
      '11 registered domains',
    ],
  ])('are not begun for %s', async (_, bytes, reason) => {
    await expect(approvals.open(bytes())).rejects.toThrow(reason);
  });

  it('disturb the same people only so often', async () => {
    await approvals.open(leaf.der);
    await approvals.open(leaf.der);
    await expect(approvals.open(leaf.der)).rejects.toThrow('often enough');
    now += 86_400_000;
    expect(await approvals.open(leaf.der)).toMatch(/^\d{12}$/);
  });

  it('end after five wrong codes, however many are tried at once', async () => {
    const number = await approvals.open(leaf.der);
    const guesses = await Promise.all(
      Array.from({ length: 20 }, (_, i) => approvals.approve(number, String(i).padStart(8, '0'))),
    );
    expect(guesses.filter((outcome) => outcome === 'wrong')).toHaveLength(5);
    expect(guesses.filter((outcome) => outcome === 'closed')).toHaveLength(15);
    expect(await approvals.approve(number, codeOf(number))).toBe('closed');
    expect((await approvals.find(number))!.state).toBe('locked');
  });

  it('take a code that is right at the last try, and no other form of it', async () => {
    const number = await approvals.open(leaf.der);
    const code = codeOf(number);
    for (const wrong of ['', code.slice(1), `${code}0`, `${code}\0`]) {
      expect(await approvals.approve(number, wrong)).toBe('wrong');
    }
    expect(await approvals.approve(number, code)).toBe('approved');
  });

  it('expire, and are not to be had for another transaction', async () => {
    const [first, second] = [await approvals.open(leaf.der), await approvals.open(leaf.der)];
    expect(await approvals.approve(first, codeOf(second))).toBe('wrong');
    expect(await approvals.approve('000000000000', codeOf(first))).toBe('closed');
    now += hour;
    expect(await approvals.approve(first, codeOf(first))).toBe('closed');
    expect((await approvals.find(first))!.state).toBe('expired');
    await approvals.forget(now);
    expect(await approvals.find(first)).toBeDefined();
    await approvals.forget(now + 1);
    expect(await approvals.find(first)).toBeUndefined();
  });
});

describe('a statement', () => {
  const names = ['www.example.org', '*.example.org'];
  const statement = {
    type: 'mecai-approval',
    from: publicUrl,
    transaction: '123456789012',
    kind: 'csr',
    sha256: '0'.repeat(64),
    spkiSha256: '1'.repeat(64),
    names,
    domains: [{ domain: 'example.org', approvedAt: '2026-11-22T00:00:00.000Z' }],
    at: '2026-11-22T00:00:00.000Z',
  } as const;
  const signed = { ...statement, names: [...names], domains: [...statement.domains] };
  const cms = signApproval(signed, identity);
  const own = identity.certificates[0]!.der;

  it('counts if a certificate that is trusted has signed it', async () => {
    expect(await verifyApproval(cms, [leaf.der, own])).toEqual(statement);
    expect(await verifyApproval(cms, [leaf.der])).toBeUndefined();
    expect(await verifyApproval(cms, [])).toBeUndefined();
  });

  it('is nothing when a bit of it is changed, or when it is of another type', async () => {
    for (let at = 0; at < cms.length; at += 29) {
      const bytes = Uint8Array.from(cms);
      bytes[at]! ^= 1;
      const read = await verifyApproval(bytes, [own]);
      // Certificates that travel along, and the algorithms of RFC 5652 that are named twice, bind nothing.
      if (read) expect(read).toEqual(statement);
    }
    const other = { ...signed, type: 'mecai-expedite' } as unknown as typeof signed;
    expect(await verifyApproval(signApproval(other, identity), [own])).toBeUndefined();
    expect(await verifyApproval(new Uint8Array(70_000), [own])).toBeUndefined();
  });

  it.each<[string, Partial<Approvable>, boolean]>([
    ['the CSR’s key and names', {}, true],
    ['fewer names', { names: { dns: ['www.example.org'], ip: [] } }, true],
    ['a further name', { names: { dns: [...names, 'example.org'], ip: [] } }, false],
    ['an address', { names: { dns: names, ip: [new Uint8Array(4)] } }, false],
    ['no name', { names: { dns: [], ip: [] } }, false],
    ['another key', { spkiSha256: '2'.repeat(64) }, false],
  ])('of a CSR, and a certificate with %s', (_, changes, expected) => {
    const certificate = { sha256: '3'.repeat(64), spkiSha256: '1'.repeat(64), names: { dns: names, ip: [] } };
    expect(approves(signed, { ...certificate, ...changes })).toBe(expected);
  });

  it('of a certificate is of no other', () => {
    const certificate = { sha256: '0'.repeat(64), spkiSha256: '1'.repeat(64), names: { dns: names, ip: [] } };
    expect(approves({ ...signed, kind: 'certificate' }, certificate)).toBe(true);
    expect(approves({ ...signed, kind: 'certificate' }, { ...certificate, sha256: '3'.repeat(64) })).toBe(
      false,
    );
  });
});

it('codes are eight digits, read in groups and typed in any way', () => {
  fc.assert(
    fc.property(fc.string(), (number) => {
      const code = approvalCode(secret, number, 'example.org');
      expect(code).toMatch(/^\d{8}$/);
      expect(digitsOf(` ${grouped(code)}\n`)).toBe(code);
    }),
  );
  expect(grouped('123456789012')).toBe('1234 5678 9012');
});
