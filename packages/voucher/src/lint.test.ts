import type { RevocationDocument } from '@mecai/pki';
import { sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type LinterOptions, type LintRule, lintRules, lintVoucher } from './lint.ts';
import { keyUsages, testCertificate, testCrl, testKey, testVa, testVoucher } from './testing.ts';
import type { CertificateStatus, Voucher } from './voucher.ts';
import { voucherSigner } from './cms-encoder.ts';
import { changed, primitive, readTree, writeTree } from './der-tree.ts';
import { oids } from './oids.ts';

const va = testVa();
const signed = va.issue(testVoucher);
const options: LinterOptions = { vaCertificate: va.certificate.der, intermediates: [va.intermediate.der] };

const lint = (bytes: Uint8Array, meant = testVoucher, changes: Partial<LinterOptions> = {}): LintRule[] =>
  lintVoucher(bytes, { ...options, ...changes, meant }).map((one) => one.rule);

/** The rules that a voucher breaks that was meant exactly so. */
const faultsOf = (fields: Partial<Voucher>, signingTime?: Date): LintRule[] => {
  const meant = { ...testVoucher, ...fields };
  return lint(va.issue(meant, signingTime), meant);
};

const after = (seconds: number) => new Date(testVoucher.producedAt.getTime() + seconds * 1000);

test('a good voucher has no problems, whatever the order of what was meant', () => {
  expect(lint(signed)).toEqual([]);
  expect(lint(signed, { ...testVoucher, perspectives: testVoucher.perspectives.toReversed() })).toEqual([]);
  expect(
    lint(signed, { ...testVoucher, producedAt: new Date(testVoucher.producedAt.getTime() + 400) }),
  ).toEqual([]);
});

test('revocation documents that were meant are no problem, in any order', () => {
  const revocation = [1, 2].map((number) => ({ kind: 'crl' as const, der: testCrl(va.root, { number }) }));
  const bytes = va.issue(testVoucher, testVoucher.producedAt, revocation);
  const rules = (meant: readonly RevocationDocument[]) =>
    lintVoucher(bytes, { ...options, meant: testVoucher, revocation: meant }).map(({ rule }) => rule);
  expect(rules(revocation.toReversed())).toEqual([]);
  expect(rules(revocation.slice(1))).toEqual(['revocation']);
  expect(rules([revocation[0]!, { kind: 'ocsp', der: revocation[1]!.der }])).toEqual(['revocation']);
});

describe('rules', () => {
  const tested = new Map<LintRule, () => LintRule[]>([
    ['form', () => lint(Uint8Array.of(...signed, 0))],
    [
      'digest',
      () => {
        const tree = changed(readTree(signed), [1, 0, 4, 0, 3, 2, 1, 0], () => [
          primitive(4, ...new Uint8Array(32)),
        ]);
        return lint(writeTree(tree)).filter((rule) => rule !== 'signature');
      },
    ],
    [
      'signature',
      () => {
        const prepared = va.signer.prepare(testVoucher, testVoucher.producedAt);
        return lint(prepared.finish(sign('sha256', prepared.toBeSigned, testKey().privateKey)));
      },
    ],
    ['certificates', () => lint(signed, testVoucher, { intermediates: [va.intermediate.der, va.root.der] })],
    [
      'revocation',
      () =>
        lint(
          va.issue(testVoucher, testVoucher.producedAt, [
            { kind: 'crl', der: testCrl(va.root, { number: 1 }) },
          ]),
        ),
    ],
    ['content', () => lint(signed, { ...testVoucher, port: 8443 })],
    ['serial', () => faultsOf({ serial: new Uint8Array(16) })],
    ['lifetime', () => faultsOf({ notAfter: after(86_401) })],
    [
      'va-certificate-lifetime',
      () => {
        const short = testVa('P-256', { notAfter: after(86_399) });
        const expected = { vaCertificate: short.certificate.der, intermediates: [short.intermediate.der] };
        return lint(short.issue(testVoucher), testVoucher, expected);
      },
    ],
    ['signing-time', () => faultsOf({}, after(61))],
    ['crl-time', () => faultsOf({ status: [crlStatus('2026-11-22T12:00:01Z', '2026-11-29T00:00:00Z')] })],
    ['quorum', () => faultsOf({ quorum: { ...testVoucher.quorum, matches: 5 } })],
  ]);

  test.each(lintRules)('%s', (rule) => {
    expect(tested.get(rule)!()).toEqual([rule]);
  });

  test('a stale CRL', () => {
    expect(faultsOf({ status: [crlStatus('2026-11-20T00:00:00Z', '2026-11-22T11:59:59Z')] })).toEqual([
      'crl-time',
    ]);
  });

  test('a quorum of too few regions or networks', () => {
    const perspectives = testVoucher.perspectives.map((one) => ({ ...one, rir: 'arin' as const }));
    expect(faultsOf({ perspectives })).toEqual(['quorum']);
    const oneNetwork = testVoucher.perspectives.map((one) => ({ ...one, asn: 64_496 }));
    expect(faultsOf({ perspectives: oneNetwork })).toEqual(['quorum']);
  });

  test('bounds can be set', () => {
    const longer = { ...testVoucher, notAfter: after(172_800) };
    expect(lint(va.issue(longer), longer, { maxLifetimeSeconds: 172_800 })).toEqual([]);
    const late = va.issue(testVoucher, after(-120));
    expect(lint(late, testVoucher, { maxSigningDelaySeconds: 120 })).toEqual([]);
    expect(lint(late, testVoucher, { maxSigningDelaySeconds: 119 })).toEqual(['signing-time']);
  });

  test('a certificate of the same key that is not the one expected', () => {
    const other = testCertificate({
      subject: 'Other',
      issuer: va.intermediate,
      key: va.certificate,
      keyUsage: keyUsages.digitalSignature,
      extendedKeyUsage: [oids.voucherSigning],
    });
    const signer = voucherSigner({ certificate: other.der, intermediates: [va.intermediate.der] });
    const prepared = signer.prepare(testVoucher, testVoucher.producedAt);
    expect(lint(prepared.finish(sign('sha256', prepared.toBeSigned, va.certificate.privateKey)))).toEqual([
      'certificates',
    ]);
  });
});

describe('each field that is not what was meant is named', () => {
  const [ocsp, crl] = testVoucher.status;
  const changes: { readonly [Field in keyof Voucher]-?: readonly Voucher[Field][] } = {
    serial: [Buffer.from('00112233445566778899aabbccddeefe', 'hex')],
    ipv4: [Uint8Array.of(192, 0, 2, 2)],
    ipv6: [new Uint8Array(16)],
    port: [444],
    leaf: [new Uint8Array(32)],
    intermediates: [[], testVoucher.intermediates.toReversed()],
    status: [
      [ocsp!],
      [ocsp!, { certificate: 2, crl: crlOf(crl) }],
      [ocsp!, { certificate: 1, crl: { ...crlOf(crl), number: 4712n } }],
      [ocsp!, { certificate: 1, crl: { ...crlOf(crl), digest: new Uint8Array(32) } }],
      [ocsp!, { certificate: 1, ocsp: new Uint8Array(5) }],
      [{ certificate: 0, ocsp: new Uint8Array(5) }, crl!],
    ],
    producedAt: [after(1)],
    notAfter: [after(86_399)],
    trustContexts: [['MOZ'], ['CHROME', 'MOZ2']],
    quorum: [
      { ...testVoucher.quorum, kilometres: 501 },
      { ...testVoucher.quorum, intermediates: false },
    ],
    directoryVersion: [13],
    perspectives: [
      testVoucher.perspectives.slice(1),
      testVoucher.perspectives.map((one, i) => (i === 3 ? { ...one, ipv4: 'match' as const } : one)),
      // The same five countries and networks, but one twice in place of another.
      [...testVoucher.perspectives.slice(1), testVoucher.perspectives[1]!],
    ],
    extensions: [[{ oid: '1.3.6', critical: false, value: new Uint8Array(1) }]],
  };

  test.each(Object.entries(changes))('%s', (field, values) => {
    for (const value of values) {
      const problems = lintVoucher(signed, { ...options, meant: { ...testVoucher, [field]: value } });
      expect(problems).toEqual([{ rule: 'content', message: `${field} is not what was meant` }]);
    }
  });

  test('an address that should not be there', () => {
    const { ipv6: _, ...meant } = testVoucher;
    expect(lint(signed, meant)).toEqual(['content']);
  });
});

test('a certificate that is not for vouchers has no linter', () => {
  const other = testVa('P-256', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] });
  expect(() => lint(signed, testVoucher, { vaCertificate: other.certificate.der })).toThrow(
    expect.objectContaining({ code: 'not-a-voucher-certificate' }),
  );
});

function crlStatus(thisUpdate: string, nextUpdate: string): CertificateStatus {
  const crl = {
    thisUpdate: new Date(thisUpdate),
    nextUpdate: new Date(nextUpdate),
    digest: new Uint8Array(32),
  };
  return { certificate: 0, crl };
}

function crlOf(status: CertificateStatus | undefined) {
  if (!status || !('crl' in status)) throw new Error('no CRL');
  return status.crl;
}
