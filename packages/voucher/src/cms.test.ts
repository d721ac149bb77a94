import { constructed, der } from '@mecai/pki';
import * as asn1js from 'asn1js';
import { execFileSync } from 'node:child_process';
import { createHash, hash, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as pkijs from 'pkijs';
import { afterAll, describe, expect, test } from 'vitest';
import { parseSignedVoucher } from './cms-decoder.ts';
import { ecdsaSigValue, prepareVoucher, voucherSigner } from './cms-encoder.ts';
import { changed, type DerNode, mutations, primitive, readTree, writeTree } from './der-tree.ts';
import { VoucherError } from './error.ts';
import { oids } from './oids.ts';
import { testCertificate, testKey, testVa, testVoucher } from './testing.ts';
import { verifyVoucher } from './verify.ts';
import { encodeVoucher } from './voucher-encoder.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-cms-'));
afterAll(() => rmSync(directory, { recursive: true }));

const pem = (bytes: Uint8Array) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString('base64')}\n-----END CERTIFICATE-----\n`;

const va = testVa();
const signed = va.issue(testVoucher);
const now = new Date('2026-11-22T13:00:00Z');

describe.each(['P-256', 'P-384'] as const)('a voucher signed on %s', (curve) => {
  const authority = curve === 'P-256' ? va : testVa(curve);
  const bytes = curve === 'P-256' ? signed : authority.issue(testVoucher);
  const file = join(directory, `${curve}.der`);
  const rootFile = join(directory, `${curve}.pem`);
  writeFileSync(file, bytes);
  writeFileSync(rootFile, pem(authority.root.der).replace(/(.{64})/g, '$1\n'));

  test.each([[[]], [['-cades']]])('openssl cms -verify %s gives back the content', (more) => {
    const out = join(directory, 'content');
    execFileSync(
      'openssl',
      ['cms', '-verify', '-binary', '-inform', 'DER', '-in', file, '-CAfile', rootFile]
        .concat(['-purpose', 'any', '-attime', String(now.getTime() / 1000), '-out', out])
        .concat(more),
      { stdio: 'pipe' },
    );
    expect(execFileSync('cat', [out]).equals(encodeVoucher(testVoucher))).toBe(true);
  });

  test('openssl cms -cmsout -print shows the profile', () => {
    const text = execFileSync(
      'openssl',
      ['cms', '-cmsout', '-print', '-noout', '-inform', 'DER', '-in', file],
      {
        encoding: 'utf8',
      },
    ).replace(/\s+/g, ' ');
    const digest = curve === 'P-256' ? 'sha256 (2.16.840.1.101.3.4.2.1)' : 'sha384 (2.16.840.1.101.3.4.2.2)';
    expect(text).toContain(
      `version: 3 digestAlgorithms: algorithm: ${digest} parameter: <ABSENT> encapContentInfo: eContentType: undefined (${oids.voucher})`,
    );
    expect(text).toContain('crls: <ABSENT>');
    expect(
      text.match(/d\.issuerAndSerialNumber: issuer: CN=Test VA Intermediate serialNumber: 7/g),
    ).toHaveLength(1);
    expect(text).toContain('object: signingTime');
    expect(text).toContain('object: id-smime-aa-signingCertificateV2');
    expect(text).toContain('UTCTIME:Nov 22 12:00:00 2026 GMT');
    expect(text).toContain('unsignedAttrs: <ABSENT>');
  });

  test('openssl asn1parse reads it to the end, in definite lengths', () => {
    const text = execFileSync('openssl', ['asn1parse', '-inform', 'DER', '-in', file], { encoding: 'utf8' });
    expect(text).not.toMatch(/Error|indefinite|l=inf/i);
  });

  test('pkijs verifies the signature and the certificate', async () => {
    const info = pkijs.ContentInfo.fromBER(bytes);
    const data = new pkijs.SignedData({ schema: info.content });
    expect(data.version).toBe(3);
    const content = data.encapContentInfo.eContent!.getValue();
    expect(Buffer.from(content).equals(encodeVoucher(testVoucher))).toBe(true);
    expect(data.signerInfos[0]!.signedAttrs!.attributes).toHaveLength(4);
    const trustedCerts = [pkijs.Certificate.fromBER(authority.root.der)];
    const checked = await data.verify({
      signer: 0,
      checkChain: true,
      trustedCerts,
      checkDate: now,
      extendedMode: true,
    });
    expect(checked).toMatchObject({ signatureVerified: true, signerCertificateVerified: true });
  });

  test('the signed attributes are a DER SET OF, and cover the content', () => {
    const prepared = authority.signer.prepare(testVoucher, testVoucher.producedAt);
    const set = asn1js.fromBER(prepared.toBeSigned).result;
    if (!(set instanceof asn1js.Set)) throw new Error('no SET');
    const encodings = set.valueBlock.value.map((one) => Buffer.from(one.toBER()));
    expect(encodings).toEqual(encodings.toSorted((a, b) => Buffer.compare(a, b)));
    const digest = createHash(prepared.digestAlgorithm).update(prepared.content).digest();
    expect(Buffer.from(prepared.toBeSigned).includes(digest)).toBe(true);
    const certHash = createHash('sha256').update(authority.certificate.der).digest();
    expect(Buffer.from(prepared.toBeSigned).includes(certHash)).toBe(true);
  });

  test('parsing gives back what went in', () => {
    const parsed = parseSignedVoucher(bytes);
    expect(parsed.voucher).toEqual(verifyVoucher(bytes, { now, roots: [authority.root.der] }).content);
    expect(Buffer.from(parsed.content).equals(encodeVoucher(testVoucher))).toBe(true);
    expect(Buffer.from(parsed.contentHash).equals(hash('sha256', parsed.content, 'buffer'))).toBe(true);
    expect(Buffer.from(parsed.vaCertificate).equals(authority.certificate.der)).toBe(true);
    expect(parsed.certificates).toHaveLength(2);
    expect(parsed.signingTime).toEqual(testVoucher.producedAt);
    expect(parsed.digestAlgorithm).toBe(curve === 'P-256' ? 'sha256' : 'sha384');
  });
});

describe('the encoder', () => {
  test('takes r and s side by side, as an HSM gives them', () => {
    const prepared = va.signer.prepare(testVoucher, testVoucher.producedAt);
    const key = { key: va.certificate.privateKey, dsaEncoding: 'ieee-p1363' } as const;
    for (let i = 0; i < 20; i++) {
      const bytes = prepared.finish(ecdsaSigValue(sign('sha256', prepared.toBeSigned, key)));
      verifyVoucher(bytes, { now, roots: [va.root.der] });
    }
    const shortR = new Uint8Array(64).fill(0x01, 31);
    expect(ecdsaSigValue(shortR)).toEqual(
      der.sequence(der.integer(1), der.unsignedInteger(new Uint8Array(32).fill(1))),
    );
  });

  test('writes signing times from 2050 on as GeneralizedTime', () => {
    const late = {
      ...testVoucher,
      producedAt: new Date('2050-01-01T00:00:00Z'),
      notAfter: new Date('2050-01-02T00:00:00Z'),
    };
    const bytes = va.issue(late);
    expect(parseSignedVoucher(bytes).signingTime).toEqual(late.producedAt);
    expect(Buffer.from(bytes).includes('\x18\x0f20500101000000Z', 0, 'latin1')).toBe(true);
  });

  test('signs one voucher without a signer', () => {
    const prepared = prepareVoucher(testVoucher, {
      certificate: va.certificate.der,
      intermediates: [va.intermediate.der],
      signingTime: testVoucher.producedAt,
    });
    expect(prepared.toBeSigned).toEqual(va.signer.prepare(testVoucher, testVoucher.producedAt).toBeSigned);
  });

  test('refuses a signature that is no ECDSA-Sig-Value', () => {
    const prepared = va.signer.prepare(testVoucher, testVoucher.producedAt);
    const trailing = Uint8Array.of(...integers(2), 0);
    for (const signature of [new Uint8Array(64), new Uint8Array(0), integers(1), integers(3), trailing]) {
      expect(() => prepared.finish(signature)).toThrow(expect.objectContaining({ code: 'not-encodable' }));
    }
    expect(() => ecdsaSigValue(new Uint8Array(63))).toThrow(VoucherError);
  });

  test('refuses a VA key on another curve, and a certificate that is none', () => {
    const certificate = testCertificate({ subject: 'P-521', key: testKey('P-521') }).der;
    expect(() => voucherSigner({ certificate, intermediates: [] })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
    expect(() => voucherSigner({ certificate: Uint8Array.of(0x30, 0), intermediates: [] })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
  });

  test('refuses to grow beyond what a TLS extension holds', () => {
    const ocsp = new Uint8Array(16_384);
    const intermediates = Array.from({ length: 4 }, (_, i) => new Uint8Array(32).fill(i));
    const status = [0, 1, 2, 3].map((certificate) => ({ certificate, ocsp }));
    expect(() => va.issue({ ...testVoucher, intermediates, status })).toThrow(
      expect.objectContaining({ code: 'not-encodable' }),
    );
  });
});

describe('the decoder refuses', () => {
  const tree = readTree(signed);
  const signedData = [1, 0];
  const signerInfo = [...signedData, 4, 0];
  const attributes = [...signerInfo, 3];
  const at = (path: readonly number[], change: (node: DerNode) => readonly DerNode[]) =>
    writeTree(changed(tree, path, change));
  const children = (path: readonly number[], change: (list: readonly DerNode[]) => readonly DerNode[]) =>
    at(path, (node) => [{ tag: node.tag, children: change(node.children!) }]);
  const sha512 = readTree(der.sequence(der.oid('2.16.840.1.101.3.4.2.3')));
  const sha384 = readTree(der.sequence(der.oid(oids.sha384)));
  const nothing: DerNode = { tag: 0x31, children: [] };
  const withTime = (tag: number, text: string) =>
    at([...attributes, 0, 1, 0], () => [primitive(tag, ...Buffer.from(text, 'ascii'))]);

  const cases: readonly [string, Uint8Array][] = [
    ['trailing octets', Uint8Array.of(...signed, 0)],
    ['another content type', at([0], () => [readTree(der.oid('1.2.840.113549.1.7.1'))])],
    ['SignedData version 1', at([...signedData, 0], () => [primitive(2, 1)])],
    ['SignedData version 4', at([...signedData, 0], () => [primitive(2, 4)])],
    ['no digest algorithm', children([...signedData, 1], () => [])],
    ['two digest algorithms', children([...signedData, 1], (list) => [...list, sha384])],
    ['SHA-512', children([...signedData, 1], () => [sha512])],
    ['digest parameters of NULL', children([...signedData, 1, 0], (list) => [...list, primitive(5)])],
    ['another eContentType', at([...signedData, 2, 0], () => [readTree(der.oid(oids.extensions))])],
    ['a detached content', children([...signedData, 2], (list) => list.slice(0, 1))],
    [
      'a content in pieces (constructed OCTET STRING)',
      at([...signedData, 2, 1, 0], (node) => [{ tag: 0x24, children: [node] }]),
    ],
    ['something after the SignedData', children([1], (list) => [...list, primitive(5)])],
    ['something after the eContent', children([...signedData, 2, 1], (list) => [...list, primitive(5)])],
    [
      'something after the EncapsulatedContentInfo',
      children([...signedData, 2], (list) => [...list, primitive(5)]),
    ],
    ['something after the SignerInfos', children(signedData, (list) => [...list, primitive(5)])],
    ['something after the ContentInfo', children([], (list) => [...list, primitive(5)])],
    ['something after the attribute values', children([...attributes, 0], (list) => [...list, primitive(5)])],
    [
      'policies in the signing certificate',
      children([...attributes, 3, 1, 0], (list) => [...list, { tag: 0x30, children: [] }]),
    ],
    ['no certificates', at([...signedData, 3], () => [])],
    ['eleven certificates', children([...signedData, 3], (list) => [...list, ...numbered(9)])],
    ['a certificate of 16385 octets', children([...signedData, 3], (list) => [...list, large()])],
    ['an empty set of certificates', children([...signedData, 3], () => [])],
    ['certificates in descending order', children([...signedData, 3], (list) => list.toReversed())],
    ['a certificate twice', children([...signedData, 3], (list) => [list[0]!, ...list])],
    ["all but the signer's certificate", children([...signedData, 3], withoutSigner)],
    [
      'an attribute certificate',
      children([...signedData, 3], (list) => [...list, { tag: 0xa2, children: [] }]),
    ],
    ['revocation lists', at([...signedData, 3], (node) => [node, { tag: 0xa1, children: [] }])],
    ['no signer', children([...signedData, 4], () => [])],
    ['two signers', children([...signedData, 4], (list) => [...list, ...list])],
    ['SignerInfo version 3', at([...signerInfo, 0], () => [primitive(2, 3)])],
    ['a signer named by key identifier', at([...signerInfo, 1], () => [primitive(0x80, 1, 2, 3)])],
    ['a signer with another serial number', at([...signerInfo, 1, 1], () => [primitive(2, 8)])],
    ['another digest algorithm in SignerInfo', at([...signerInfo, 2], () => [sha384])],
    ['no signed attributes', at([...signerInfo, 3], () => [])],
    ['an empty set of signed attributes', children(attributes, () => [])],
    ['signed attributes out of order', children(attributes, (list) => list.toReversed())],
    ['an attribute twice', children(attributes, (list) => [list[0]!, ...list])],
    ['an attribute with two values', children([...attributes, 0, 1], (list) => [...list, ...list])],
    ['an attribute without a value', children([...attributes, 0, 1], () => [])],
    ['another attribute', children(attributes, (list) => [...list, readTree(otherAttribute())])],
    ['another content-type attribute', at([...attributes, 1, 1, 0], () => [readTree(der.oid('1.2.3'))])],
    [
      'a message digest of 48 octets',
      at([...attributes, 2, 1, 0], () => [primitive(4, ...new Uint8Array(48))]),
    ],
    ['a signing time with a fraction', withTime(0x18, '20261122120000.5Z')],
    ['a signing time in 2026 as GeneralizedTime', withTime(0x18, '20261122120000Z')],
    ['a signing time without seconds', withTime(0x17, '2611221200Z')],
    [
      'a certificate hash of another algorithm',
      children([...attributes, 3, 1, 0, 0, 0], (list) => [sha512, ...list]),
    ],
    [
      'the serial number of the certificate in ESSCertIDv2',
      children([...attributes, 3, 1, 0, 0, 0], (list) => [...list, { tag: 0x30, children: [] }]),
    ],
    ['two certificate hashes', children([...attributes, 3, 1, 0, 0], (list) => [...list, ...list])],
    [
      'ecdsa-with-SHA384 over SHA-256',
      at([...signerInfo, 4], () => [readTree(der.sequence(der.oid(oids.ecdsaWithSha384)))]),
    ],
    ['signature parameters of NULL', children([...signerInfo, 4], (list) => [...list, primitive(5)])],
    ['a signature of 129 octets', at([...signerInfo, 5], () => [primitive(4, ...new Uint8Array(129))])],
    ['unsigned attributes', at([...signerInfo, 5], (node) => [node, { tag: 0xa1, children: [nothing] }])],
    ['a content that is no voucher', at([...signedData, 2, 1, 0], () => [primitive(4, 0x30, 0)])],
    ['indefinite lengths', Uint8Array.of(0x30, 0x80, ...signed.subarray(4), 0, 0)],
    ['a length in more octets than needed', Uint8Array.of(0x30, 0x83, 0, ...signed.subarray(2))],
  ];

  test.each(cases)('%s', (_, bytes) => {
    expect(() => parseSignedVoucher(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('more octets than a TLS extension holds, before reading them', () => {
    expect(() => parseSignedVoucher(new Uint8Array(65_501))).toThrow('too long');
  });
});

const integers = (count: number) => der.sequence(...Array.from({ length: count }, () => der.integer(1)));

/** Not certificates, but in ascending order, and after the two that are. */
const numbered = (count: number): DerNode[] =>
  Array.from({ length: count }, (_, i) => ({
    tag: 0x30,
    children: [primitive(4, ...new Uint8Array(2000), i)],
  }));

const large = (): DerNode => ({ tag: 0x30, children: [primitive(4, ...new Uint8Array(16_377))] });

function withoutSigner(list: readonly DerNode[]): DerNode[] {
  return list.filter((one) => Buffer.compare(writeTree(one), va.certificate.der) !== 0);
}

function otherAttribute(): Uint8Array {
  const values = der.tlv(0x31, der.octetString(new Uint8Array(100)));
  return der.sequence(der.oid('1.2.840.113549.1.9.52'), values);
}

describe('no changed voucher verifies as another', () => {
  const identity = Buffer.from(parseSignedVoucher(signed).contentHash);

  test('after a change of any octet, to any of its neighbours by one bit or to its complement', () => {
    let same = 0;
    for (let i = 0; i < signed.length; i++) {
      for (const mask of [1 << (i & 7), 0xff]) {
        const bytes = signed.slice();
        bytes[i]! ^= mask;
        same += Number(verifiesAsItself(bytes));
      }
    }
    // Nothing outside the signature is left to change.
    expect(same).toBe(0);
  });

  test('after every structural change', () => {
    for (const { bytes } of mutations(signed)) verifiesAsItself(bytes);
  });

  test('cut off anywhere', () => {
    for (let length = 0; length < signed.length; length++) {
      expect(verifiesAsItself(signed.subarray(0, length))).toBe(false);
    }
  });

  test('with the content of another voucher in its place', () => {
    const other = der.octetString(encodeVoucher({ ...testVoucher, port: 8443 }));
    const bytes = writeTree(changed(readTree(signed), [1, 0, 2, 1, 0], () => [readTree(other)]));
    expect(() => verifyVoucher(bytes, { now, roots: [va.root.der] })).toThrow(
      expect.objectContaining({ code: 'bad-digest' }),
    );
  });

  /** Anything else that is thrown fails the test. */
  function verifiesAsItself(bytes: Uint8Array): boolean {
    try {
      const { contentHash } = verifyVoucher(bytes, { now, roots: [va.root.der] });
      expect(identity.equals(contentHash)).toBe(true);
      return true;
    } catch (error) {
      if (!(error instanceof VoucherError)) throw error;
      return false;
    }
  }
});

test('the ContentInfo tag stays what RFC 5652 says', () => {
  expect(readTree(signed).children!.map((one) => one.tag)).toEqual([0x06, constructed(0)]);
});
