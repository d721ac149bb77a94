import { constructed, der, type RevocationDocument } from '@mecai/pki';
import * as fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as pkijs from 'pkijs';
import { afterAll, describe, expect, test } from 'vitest';
import { parseSignedVoucher } from './cms-decoder.ts';
import { changed, type DerNode, mutations, primitive, readTree, writeTree } from './der-tree.ts';
import { VoucherError } from './error.ts';
import { type TestOcspOptions, testCrl, testOcsp, testVa, testVoucher } from './testing.ts';
import { verifyVoucher, type VerifierOptions, VoucherVerifier } from './verify.ts';
import { encodeVoucher } from './voucher-encoder.ts';

const va = testVa();
const other = testVa();
const { certificate, intermediate, root } = va;
const { producedAt } = testVoucher;
const hours = (n: number) => new Date(producedAt.getTime() + n * 3_600_000);
const now = hours(1);

const response = (shape: Partial<TestOcspOptions> = {}): RevocationDocument => ({
  kind: 'ocsp',
  der: testOcsp({
    about: certificate,
    issuer: intermediate,
    thisUpdate: hours(-2),
    nextUpdate: hours(10),
    ...shape,
  }),
});
const crlOf = (
  issuer: typeof root,
  options: Partial<Parameters<typeof testCrl>[1]> = {},
): RevocationDocument => ({
  kind: 'crl',
  der: testCrl(issuer, { number: 1, thisUpdate: hours(-5), nextUpdate: hours(20), ...options }),
});
const ofVa = response();
const ofIntermediate = crlOf(root);
const issue = (...revocation: readonly RevocationDocument[]) => va.issue(testVoucher, producedAt, revocation);

function verified(bytes: Uint8Array, options: Partial<VerifierOptions> & { readonly now?: Date } = {}) {
  return verifyVoucher(bytes, { now, roots: [root.der], ...options });
}
const statusOf = (...revocation: readonly RevocationDocument[]) => verified(issue(...revocation)).vaStatus;

function codeOf(check: () => unknown): string {
  try {
    check();
    return 'none';
  } catch (error) {
    if (!(error instanceof VoucherError)) throw error;
    return error.code;
  }
}

const directory = mkdtempSync(join(tmpdir(), 'mecai-va-status-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe.each([
  ['an OCSP response and a CRL', [ofVa, ofIntermediate], 5],
  ['a CRL', [ofIntermediate], 3],
  ['two OCSP responses', [ofVa, response({ thisUpdate: hours(-3) })], 5],
] as const)('a voucher with %s about the VA', (_, revocation, version) => {
  const bytes = issue(...revocation);

  test('is what openssl cms -verify accepts', () => {
    const [file, rootFile, out] = ['voucher.der', 'root.pem', 'content'].map((name) => join(directory, name));
    writeFileSync(file!, bytes);
    writeFileSync(
      rootFile!,
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(root.der).toString('base64')}\n-----END CERTIFICATE-----\n`,
    );
    const at = String(now.getTime() / 1000);
    execFileSync(
      'openssl',
      ['cms', '-verify', '-binary', '-inform', 'DER', '-in', file!, '-CAfile', rootFile!].concat([
        '-purpose',
        'any',
        '-attime',
        at,
        '-out',
        out!,
      ]),
      { stdio: 'pipe' },
    );
    expect(execFileSync('cat', [out!]).equals(encodeVoucher(testVoucher))).toBe(true);
  });

  test('is a SignedData of the right version to pkijs', () => {
    const data = new pkijs.SignedData({ schema: pkijs.ContentInfo.fromBER(bytes).content });
    expect(data.version).toBe(version);
    expect(data.crls).toHaveLength(revocation.length);
    const others = data.crls!.filter((one) => one instanceof pkijs.OtherRevocationInfoFormat);
    expect(others.map((one) => one.otherRevInfoFormat)).toEqual(
      revocation.filter(({ kind }) => kind === 'ocsp').map(() => '1.3.6.1.5.5.7.16.2'),
    );
  });

  test('gives them back', () => {
    const text = (list: readonly RevocationDocument[]) =>
      list.map((one) => `${one.kind} ${Buffer.from(one.der).toString('hex')}`).toSorted();
    expect(text(parseSignedVoucher(bytes).revocation)).toEqual(text(revocation));
  });

  test('is the same voucher as without', () => {
    expect(parseSignedVoucher(bytes).contentHash).toEqual(parseSignedVoucher(issue()).contentHash);
  });
});

describe('the status of the VA', () => {
  test('is good until the first statement ends, as old as the oldest', () => {
    const { status, certificates, thisUpdate, nextUpdate } = statusOf(ofVa, ofIntermediate);
    expect(status).toBe('good');
    expect(certificates.map((one) => one.status)).toEqual(['good', 'good']);
    expect([thisUpdate, nextUpdate]).toEqual([hours(-5), hours(10)]);
  });

  test('of two statements about one certificate the newer counts', () => {
    const newer = response({ thisUpdate: hours(0), nextUpdate: hours(24) });
    const crl = crlOf(root, { number: 2, thisUpdate: hours(-1) });
    expect(statusOf(ofVa, newer, ofIntermediate, crl)).toMatchObject({
      thisUpdate: hours(-1),
      nextUpdate: hours(20),
    });
    const earlier = crlOf(root, { number: 0, revoked: [{ certificate: intermediate }] });
    expect(statusOf(ofVa, earlier, ofIntermediate).status).toBe('good');
  });

  test.each([
    ['nothing', []],
    ['nothing about the VA certificate', [ofIntermediate]],
    ['nothing about the intermediate', [ofVa]],
    [
      'statements about others',
      [response({ about: other.certificate, issuer: other.intermediate }), ofIntermediate],
    ],
    [
      'a response signed by another with the same name',
      [response({ issuer: other.intermediate }), ofIntermediate],
    ],
    ['a response that knows nothing', [response({ status: 'unknown' }), ofIntermediate]],
    ['a CRL signed by another with the same name', [ofVa, crlOf(other.root)]],
    ['what is no OCSP response', [{ kind: 'ocsp', der: der.sequence() }, ofIntermediate]],
    ['what is no CRL', [ofVa, { kind: 'crl', der: der.sequence() }]],
  ] as const)('is unknown from %s', (_, documents) => {
    expect(statusOf(...documents)).toMatchObject({ status: 'unknown' });
    expect(statusOf(...documents).thisUpdate).toBeUndefined();
  });

  test.each([
    ['response', [response({ nextUpdate: hours(0) }), ofIntermediate]],
    ['CRL', [ofVa, crlOf(root, { nextUpdate: hours(0) })]],
    ['CRL from the future', [ofVa, crlOf(root, { thisUpdate: hours(2) })]],
  ] as const)('is stale by a %s out of its time', (_, documents) => {
    expect(statusOf(...documents).status).toBe('stale');
  });

  test('may come from elsewhere', () => {
    const { vaStatus } = verified(issue(), { revocation: [ofVa, ofIntermediate] });
    expect(vaStatus.status).toBe('good');
  });
});

describe('refused as revoked', () => {
  const cases: readonly [string, readonly RevocationDocument[]][] = [
    ['an OCSP response', [response({ status: 'revoked' }), ofIntermediate]],
    ['one that has expired since', [response({ status: 'revoked', nextUpdate: hours(0) })]],
    ['a CRL', [crlOf(intermediate, { revoked: [{ certificate }] })]],
    [
      'one that has expired since',
      [crlOf(intermediate, { revoked: [{ certificate }], nextUpdate: hours(0) })],
    ],
    ['a CRL, whatever a response says', [ofVa, crlOf(intermediate, { revoked: [{ certificate }] })]],
    ['a CRL with the intermediate', [ofVa, crlOf(root, { revoked: [{ certificate: intermediate }] })]],
  ];

  test.each(cases)('by %s in the voucher, or known beside it', (_, documents) => {
    expect(codeOf(() => verified(issue(...documents)))).toBe('va-certificate-revoked');
    expect(codeOf(() => verified(issue(ofVa, ofIntermediate), { revocation: documents }))).toBe(
      'va-certificate-revoked',
    );
  });

  test('not by a signature that is none', () => {
    const forged = crlOf(other.intermediate, { revoked: [{ certificate }] });
    expect(codeOf(() => verified(issue(forged)))).toBe('none');
  });
});

test('what is said of a voucher does not depend on what was seen before', () => {
  const documents = [
    ofVa,
    ofIntermediate,
    response({ nextUpdate: hours(0) }),
    crlOf(root, { number: 2, thisUpdate: hours(2), nextUpdate: hours(3) }),
    crlOf(intermediate, { number: 3, thisUpdate: hours(3), revoked: [{ certificate }] }),
  ];
  const vouchers = [[], [0, 1], [1, 2], [0, 3], [0, 1, 4]].map((some) =>
    issue(...some.map((i) => documents[i]!)),
  );
  const say = (verifier: VoucherVerifier, [voucher, hour]: readonly [number, number]) => {
    try {
      const { status, thisUpdate, nextUpdate } = verifier.verify(vouchers[voucher]!, hours(hour)).vaStatus;
      return { status, thisUpdate, nextUpdate };
    } catch (error) {
      return (error as VoucherError).code;
    }
  };
  const fresh = () => new VoucherVerifier({ roots: [root.der] });
  const question = fc.tuple(fc.nat(vouchers.length - 1), fc.integer({ min: -1, max: 23 }));
  fc.assert(
    fc.property(fc.array(question, { maxLength: 8 }), (questions) => {
      const verifier = fresh();
      for (const one of questions) expect(say(verifier, one)).toEqual(say(fresh(), one));
    }),
    { numRuns: 50 },
  );
});

describe('the decoder refuses', () => {
  const tree = readTree(issue(ofVa, ofIntermediate));
  const crls = [1, 0, 4];
  const change = (list: (list: readonly DerNode[]) => readonly DerNode[], from = tree) =>
    writeTree(changed(from, crls, (node) => [{ tag: node.tag, children: list(node.children!) }]));
  const version = (number: number, from: DerNode) =>
    writeTree(changed(from, [1, 0, 0], () => [primitive(2, number)]));
  const other = (...inner: readonly Uint8Array[]) => [readTree(der.tlv(constructed(1), ...inner))];
  const oid = der.oid('1.3.6.1.5.5.7.16.2');
  const filler = (octets: number) => readTree(der.sequence(der.octetString(new Uint8Array(octets))));

  test.each([
    ['version 3 with an OCSP response', version(3, tree)],
    ['version 5 without', version(5, readTree(issue(ofIntermediate)))],
    ['version 4', version(4, tree)],
    ['an empty set', change(() => [])],
    ['descending order', change((list) => list.toReversed())],
    ['one twice', change((list) => [list[0]!, ...list])],
    ['another format', change(() => other(der.oid('1.3.6.1.5.5.7.16.4'), der.sequence()))],
    ['a format without information', change(() => other(oid))],
    ['something after the response', change(() => other(oid, der.sequence(), der.nullValue()))],
    ['another choice', change(() => [{ tag: constructed(2), children: [] }])],
    ['a primitive', change(() => [primitive(4, 1)])],
    [
      'eleven',
      change(() => Array.from({ length: 11 }, (_, i) => filler(200 + i)), readTree(issue(ofIntermediate))),
    ],
    ['a CRL of 16385 octets', change(() => [filler(16_377)], readTree(issue(ofIntermediate)))],
  ])('%s', (_, bytes) => {
    expect(codeOf(() => parseSignedVoucher(bytes))).toBe('malformed');
  });

  test('nothing else than VoucherError comes of any structural change', () => {
    for (const { bytes } of mutations(issue(ofVa, ofIntermediate))) codeOf(() => verified(bytes));
  });
});

describe('the encoder refuses', () => {
  test.each([
    ['eleven documents', Array.from({ length: 11 }, (_, i) => response({ thisUpdate: hours(-i) }))],
    ['a document of 16385 octets', [crlOf(root, { padding: 500 })]],
  ])('%s', (_, documents) => {
    expect(codeOf(() => issue(...documents))).toBe('not-encodable');
  });
});
