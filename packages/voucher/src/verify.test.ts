import { der, extensionOids, keyPurposes } from '@mecai/pki';
import { sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseSignedVoucher } from './cms-decoder.ts';
import { voucherSigner } from './cms-encoder.ts';
import { changed, primitive, readTree, writeTree } from './der-tree.ts';
import { VoucherError, type VoucherErrorCode } from './error.ts';
import { oids } from './oids.ts';
import {
  keyUsages,
  type TestCertificate,
  testCertificate,
  type TestCertificateOptions,
  testCrl,
  testExtension,
  testKey,
  testVa,
  testVoucher,
} from './testing.ts';
import { verifyVoucher, type VerifierOptions, VoucherVerifier } from './verify.ts';

const va = testVa();
const signed = va.issue(testVoucher);
const roots = [va.root.der];
const producedAt = testVoucher.producedAt;
const after = (seconds: number) => new Date(producedAt.getTime() + seconds * 1000);
const now = after(3600);

function codeOf(
  bytes: Uint8Array,
  options: Partial<VerifierOptions> & { readonly now?: Date } = {},
): VoucherErrorCode | undefined {
  try {
    verifyVoucher(bytes, { now, roots, ...options });
    return undefined;
  } catch (error) {
    if (!(error instanceof VoucherError)) throw error;
    return error.code;
  }
}

test('a good voucher says what it holds and who signed it', () => {
  const verified = verifyVoucher(signed, { now, roots });
  expect(verified.content.port).toBe(443);
  expect(Buffer.from(verified.contentHash).equals(parseSignedVoucher(signed).contentHash)).toBe(true);
  expect(Buffer.from(verified.vaCertificate.der).equals(va.certificate.der)).toBe(true);
  expect(verified.path.map((one) => Buffer.from(one.der).toString('hex'))).toEqual(
    [va.certificate, va.intermediate, va.root].map((one) => Buffer.from(one.der).toString('hex')),
  );
  expect(verified.signingTime).toEqual(producedAt);
});

describe('time', () => {
  const cases: readonly [string, number, Partial<VerifierOptions>, VoucherErrorCode | undefined][] = [
    ['at producedAt', 0, {}, undefined],
    ['at notAfter', 86_400, {}, undefined],
    ['a second after notAfter', 86_401, {}, 'expired'],
    ['within the default clock skew before producedAt', -300, {}, undefined],
    ['beyond the default clock skew', -301, {}, 'not-yet-valid'],
    ['within a clock skew of ten seconds', -10, { clockSkewSeconds: 10 }, undefined],
    ['beyond a clock skew of ten seconds', -11, { clockSkewSeconds: 10 }, 'not-yet-valid'],
    ['as old as accepted', 7200, { maxAgeSeconds: 7200 }, undefined],
    ['older than accepted', 7201, { maxAgeSeconds: 7200 }, 'expired'],
  ];
  test.each(cases)('%s', (_, seconds, options, code) => {
    expect(codeOf(signed, { now: after(seconds), ...options })).toBe(code);
  });
});

describe('digest and signature', () => {
  test('a digest of something else', () => {
    const bytes = replaceAttribute(2, () => primitive(4, ...new Uint8Array(32)));
    expect(codeOf(bytes)).toBe('bad-digest');
  });

  test('a signing time that was not signed', () => {
    const bytes = replaceAttribute(0, () => primitive(0x17, ...Buffer.from('261122120001Z')));
    expect(codeOf(bytes)).toBe('bad-signature');
  });

  test("another key's signature", () => {
    const prepared = va.signer.prepare(testVoucher, producedAt);
    const bytes = prepared.finish(sign('sha256', prepared.toBeSigned, testKey().privateKey));
    expect(codeOf(bytes)).toBe('bad-signature');
  });

  test('a signature over the content in place of the attributes', () => {
    const prepared = va.signer.prepare(testVoucher, producedAt);
    const bytes = prepared.finish(sign('sha256', prepared.content, va.certificate.privateKey));
    expect(codeOf(bytes)).toBe('bad-signature');
  });

  test('zero for r and s', () => {
    const prepared = va.signer.prepare(testVoucher, producedAt);
    expect(codeOf(prepared.finish(der.sequence(der.integer(0), der.integer(0))))).toBe('bad-signature');
  });

  test('SHA-256 under a key on P-384', () => {
    const p384 = testVa('P-384');
    // What an encoder would write that took the wrong digest for the curve.
    const p256 = testVa('P-256', { issuer: p384.intermediate });
    const tree = readTree(p256.issue(testVoucher));
    const donor = readTree(p384.issue(testVoucher));
    const certificates = changed(tree, [1, 0, 3], () => [donor.children![1]!.children![0]!.children![3]!]);
    const hash = donor.children![1]!.children![0]!.children![4]!.children![0]!.children![3]!.children![2]!;
    const bytes = writeTree(changed(certificates, [1, 0, 4, 0, 3, 3], () => [hash]));
    expect(codeOf(bytes, { roots: [p384.root.der] })).toBe('bad-signature');
  });
});

describe('the VA certificate', () => {
  const cases: readonly [string, Partial<TestCertificateOptions>][] = [
    ['without extended key usage', { extendedKeyUsage: [keyPurposes.any] }],
    ['for TLS servers', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    ['for vouchers and for TLS servers', { extendedKeyUsage: [oids.voucherSigning, '1.3.6.1.5.5.7.3.1'] }],
    ['that may only sign certificates', { keyUsage: keyUsages.keyCertSign }],
    ['of a CA', { ca: true }],
    ['with an unknown critical extension', { extensions: [testExtension('1.3.6', true, der.nullValue())] }],
  ];
  test.each(cases)('%s is not one for vouchers', (_, options) => {
    const other = testVa('P-256', options);
    expect(codeOf(other.issue(testVoucher), { roots: [other.root.der] })).toBe('not-a-voucher-certificate');
  });

  test('with an unknown extension that is not critical is good', () => {
    const other = testVa('P-256', { extensions: [testExtension('1.3.6', false, der.nullValue())] });
    expect(codeOf(other.issue(testVoucher), { roots: [other.root.der] })).toBeUndefined();
  });

  test('with an extended key usage that cannot be read, or without one', () => {
    for (const value of [der.nullValue(), der.sequence(), undefined]) {
      const extensions = value ? [testExtension(extensionOids.extKeyUsage, true, value)] : [];
      const certificate = testCertificate({ subject: 'VA', issuer: va.intermediate, extensions });
      expect(codeOf(issuedBy(certificate, [va.intermediate]))).toBe('not-a-voucher-certificate');
    }
  });

  test('without key usage may be used', () => {
    const key = testKey();
    const certificate = testCertificate({
      subject: 'VA',
      issuer: va.intermediate,
      key,
      extendedKeyUsage: [oids.voucherSigning],
    });
    expect(codeOf(issuedBy(certificate, [va.intermediate]))).toBeUndefined();
  });
});

describe('the path to a root', () => {
  const ca = { ca: true, keyUsage: keyUsages.keyCertSign };

  test('another VA is not trusted', () => {
    const other = testVa();
    expect(codeOf(other.issue(testVoucher))).toBe('untrusted-va');
    expect(codeOf(other.issue(testVoucher), { roots: [va.root.der, other.root.der] })).toBeUndefined();
    expect(codeOf(signed, { roots: [] })).toBe('untrusted-va');
  });

  test('a VA certificate right under the root is good', () => {
    expect(codeOf(issuedBy(leaf(va.root), []))).toBeUndefined();
  });

  test('a missing intermediate', () => {
    expect(codeOf(issuedBy(leaf(va.intermediate), []))).toBe('untrusted-va');
  });

  test('a root of the same name with another key', () => {
    const impostor = testCertificate({ subject: va.root.subject, ...ca });
    expect(codeOf(issuedBy(leaf(impostor), []))).toBe('untrusted-va');
    // With both at hand the right one is found.
    expect(codeOf(signed, { roots: [impostor.der, va.root.der] })).toBeUndefined();
  });

  test('an intermediate that is included as if it were a root', () => {
    const own = testCertificate({ subject: 'Own root', ...ca });
    expect(codeOf(issuedBy(leaf(own), [own]))).toBe('untrusted-va');
  });

  const intermediates: readonly [string, Partial<TestCertificateOptions>, VoucherErrorCode | undefined][] = [
    ['a CA that may sign certificates', ca, undefined],
    ['a CA for vouchers only', { ...ca, extendedKeyUsage: [oids.voucherSigning] }, undefined],
    ['a CA for any purpose', { ...ca, extendedKeyUsage: [keyPurposes.any] }, undefined],
    ['a CA for TLS servers', { ...ca, extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }, 'untrusted-va'],
    ['no CA', { keyUsage: keyUsages.keyCertSign }, 'untrusted-va'],
    ['a CA flag of FALSE', { ca: false, keyUsage: keyUsages.keyCertSign }, 'untrusted-va'],
    [
      'a CA that may not sign certificates',
      { ca: true, keyUsage: keyUsages.digitalSignature },
      'untrusted-va',
    ],
    [
      'an unknown critical extension',
      { ...ca, extensions: [testExtension('2.5.29.30', true, der.sequence())] },
      'untrusted-va',
    ],
    [
      'key usage that cannot be read',
      { ca: true, extensions: [testExtension(extensionOids.keyUsage, true, der.nullValue())] },
      'untrusted-va',
    ],
  ];
  test.each(intermediates)('through %s', (_, options, code) => {
    expect(codeOf(through(options))).toBe(code);
  });

  test('a path length of zero forbids a second intermediate', () => {
    for (const [pathLength, code] of [
      [0, 'untrusted-va'],
      [1, undefined],
    ] as const) {
      const upper = testCertificate({ subject: 'Upper', issuer: va.root, pathLength, ...ca });
      const lower = testCertificate({ subject: 'Lower', issuer: upper, ...ca });
      expect(codeOf(issuedBy(leaf(lower), [upper, lower]))).toBe(code);
    }
  });

  test('two CAs that certify each other come to an end', () => {
    const keys = [testKey(), testKey()];
    const loop = (subject: number, issuer: number) =>
      testCertificate({
        subject: `Loop ${subject}`,
        key: keys[subject]!,
        issuer: { ...keys[issuer]!, subject: `Loop ${issuer}`, der: new Uint8Array() },
        ...ca,
      });
    const certificates = [loop(0, 1), loop(1, 0), loop(0, 0), loop(1, 1)];
    expect(codeOf(issuedBy(leaf(certificates[0]!), certificates))).toBe('untrusted-va');
  });

  describe('a certificate outside its validity period', () => {
    const early = { notAfter: after(-1) };
    const late = { notBefore: after(7200) };
    const cases: readonly [string, () => Uint8Array, Partial<VerifierOptions>][] = [
      ['the VA certificate, gone', () => issuedBy(leaf(va.intermediate, early), [va.intermediate]), {}],
      ['the VA certificate, to come', () => issuedBy(leaf(va.intermediate, late), [va.intermediate]), {}],
      ['the intermediate', () => through({ ...ca, ...early }), {}],
    ];
    test.each(cases)('%s', (_, make, options) => {
      expect(codeOf(make(), options)).toBe('va-certificate-expired');
    });

    test('the root', () => {
      const root = testCertificate({ subject: 'Old root', ...ca, ...early });
      expect(codeOf(issuedBy(leaf(root), []), { roots: [root.der] })).toBe('va-certificate-expired');
    });

    test('but not at its very beginning and end', () => {
      const moment = issuedBy(leaf(va.intermediate, { notBefore: now, notAfter: now }), [va.intermediate]);
      expect(codeOf(moment)).toBeUndefined();
      expect(codeOf(moment, { now: after(3599) })).toBe('va-certificate-expired');
      expect(codeOf(moment, { now: after(3601) })).toBe('va-certificate-expired');
    });

    test('an expired path does not hide a valid one', () => {
      const key = testKey();
      const old = testCertificate({ subject: 'CA', key, issuer: va.root, ...ca, ...early });
      const renewed = testCertificate({ subject: 'CA', key, issuer: va.root, serial: 2, ...ca });
      expect(codeOf(issuedBy(leaf(old), [old, renewed]))).toBeUndefined();
    });
  });
});

describe('a verifier that remembers issuers', () => {
  test('answers as one that does not', () => {
    const verifier = new VoucherVerifier({ roots });
    for (let i = 0; i < 3; i++) verifier.verify(signed, now);
    const forged = va.signer.prepare({ ...testVoucher, port: 8443 }, producedAt);
    const bytes = forged.finish(sign('sha256', forged.toBeSigned, testKey().privateKey));
    expect(() => verifier.verify(bytes, now)).toThrow(expect.objectContaining({ code: 'bad-signature' }));
    expect(() => verifier.verify(signed, after(86_401))).toThrow(
      expect.objectContaining({ code: 'expired' }),
    );
    expect(() => verifier.verify(testVa().issue(testVoucher), now)).toThrow(
      expect.objectContaining({ code: 'untrusted-va' }),
    );
  });

  test('still asks for the intermediate', () => {
    const verifier = new VoucherVerifier({ roots });
    verifier.verify(signed, now);
    const bare = voucherSigner({ certificate: va.certificate.der, intermediates: [] }).prepare(
      testVoucher,
      producedAt,
    );
    const bytes = bare.finish(sign('sha256', bare.toBeSigned, va.certificate.privateKey));
    expect(() => verifier.verify(bytes, now)).toThrow(expect.objectContaining({ code: 'untrusted-va' }));
  });

  test('notices when a remembered issuer expires', () => {
    const certificate = testCertificate({
      subject: 'Short',
      issuer: va.intermediate,
      extendedKeyUsage: [oids.voucherSigning],
      notAfter: after(3600),
    });
    const verifier = new VoucherVerifier({ roots });
    const bytes = issuedBy(certificate, [va.intermediate]);
    verifier.verify(bytes, after(3600));
    expect(() => verifier.verify(bytes, after(3601))).toThrow(
      expect.objectContaining({ code: 'va-certificate-expired' }),
    );
  });

  test('has its own copy of what it remembers: a buffer may be used again', () => {
    const times = { thisUpdate: after(0), nextUpdate: after(86_400) };
    const revoking = (serial: number) => {
      const certificate = testCertificate({ subject: 'revoked', serial });
      const crl = testCrl(va.intermediate, { number: 1, ...times, revoked: [{ certificate }] });
      return va.issue(testVoucher, producedAt, [{ kind: 'crl', der: crl }]);
    };
    const crlOctets = (bytes: Uint8Array) => parseSignedVoucher(bytes).revocation[0]!.der.length;
    // The VA certificate has serial number 7. Signatures are of different lengths, but not often.
    const other = revoking(8);
    let own = revoking(7);
    while (own.length !== other.length || crlOctets(own) !== crlOctets(other)) own = revoking(7);
    const verifier = new VoucherVerifier({ roots });
    const buffer = Uint8Array.from(other);
    const { path } = verifier.verify(buffer, now);
    buffer.set(own);
    expect(() => verifier.verify(buffer, now)).toThrow(
      expect.objectContaining({ code: 'va-certificate-revoked' }),
    );
    buffer.fill(0);
    expect(verifier.verify(other, now).path).toBe(path);
    expect(Buffer.from(path[0]!.der).equals(va.certificate.der)).toBe(true);
  });

  test('keeps on with more issuers than it remembers', () => {
    const verifier = new VoucherVerifier({ roots });
    const vouchers = Array.from({ length: 70 }, (_, i) => {
      const key = va.certificate;
      const options = {
        subject: `VA ${i}`,
        issuer: va.intermediate,
        key,
        extendedKeyUsage: [oids.voucherSigning],
      };
      return issuedBy(testCertificate(options), [va.intermediate]);
    });
    for (const bytes of [...vouchers, ...vouchers]) verifier.verify(bytes, now);
  });

  test('refuses a root that cannot be read', () => {
    expect(() => new VoucherVerifier({ roots: [Uint8Array.of(0x30, 0)] })).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});

const through = (options: Partial<TestCertificateOptions>) => {
  const intermediate = testCertificate({ subject: 'Intermediate', issuer: va.root, ...options });
  return issuedBy(leaf(intermediate), [intermediate]);
};

/** A VA certificate. */
const leaf = (issuer: TestCertificate, options: Partial<TestCertificateOptions> = {}) =>
  testCertificate({
    subject: 'VA',
    issuer,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [oids.voucherSigning],
    ...options,
  });

function issuedBy(certificate: TestCertificate, intermediates: readonly TestCertificate[]): Uint8Array {
  const signer = voucherSigner({
    certificate: certificate.der,
    intermediates: intermediates.map((one) => one.der),
  });
  const prepared = signer.prepare(testVoucher, producedAt);
  return prepared.finish(sign('sha256', prepared.toBeSigned, certificate.privateKey));
}

function replaceAttribute(index: number, value: () => ReturnType<typeof primitive>): Uint8Array {
  return writeTree(changed(readTree(signed), [1, 0, 4, 0, 3, index, 1, 0], () => [value()]));
}
