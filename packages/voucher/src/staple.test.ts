import { parseCertificate, parseOcspResponse, toPem, verifyOcsp } from '@mecai/pki';
import { execFileSync } from 'node:child_process';
import { createPublicKey, hash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mutations } from './der-tree.ts';
import { VoucherError } from './error.ts';
import { augmentOcspResponse, voucherContainer, vouchersInOcspResponse } from './staple-container.ts';
import { keyUsages, testCertificate, testKey, testOcsp, testVa, testVoucher } from './testing.ts';
import { bundlePath, decodeVoucherBundle, encodeVoucherBundle } from './voucher-bundle.ts';

const notBefore = new Date('2026-11-22T00:00:00Z');
const notAfter = new Date('2026-11-29T00:00:00Z');
const now = new Date('2026-11-22T13:00:00Z');
const ca = testCertificate({ subject: 'CA', ca: true, keyUsage: keyUsages.keyCertSign });
const server = testCertificate({ subject: 'server', issuer: ca, serial: 9, dnsNames: ['www.example.org'] });
const response = testOcsp({ about: server, issuer: ca, thisUpdate: notBefore, nextUpdate: notAfter });
const vouchers = [testVa(), testVa('P-384'), testVa()].map((va) => va.issue(testVoucher));
const { privateKey: key } = testKey();
const contain = (voucher: Uint8Array, serial = Uint8Array.of(1)) =>
  voucherContainer({ voucher, key, notBefore, notAfter, serial });
const containers = vouchers.map((one) => contain(one));
const bytesOf = (list: readonly Uint8Array[]) => list.map((one) => Buffer.from(one));

describe('vouchers in the OCSP slot', () => {
  const augmented = augmentOcspResponse(response, containers);

  test('come out as they went in, and the response is good as before', () => {
    expect(bytesOf(vouchersInOcspResponse(augmented))).toEqual(bytesOf(vouchers));
    const [certificate, issuer] = [parseCertificate(server.der), parseCertificate(ca.der)];
    expect(verifyOcsp(augmented, certificate, issuer, now).status).toBe('good');
    expect(vouchersInOcspResponse(response)).toEqual([]);
  });

  test('openssl ocsp accepts the response', () => {
    const directory = mkdtempSync(join(tmpdir(), 'mecai-ocsp-'));
    try {
      const file = (name: string, content: Uint8Array | string) => {
        writeFileSync(join(directory, name), content);
        return join(directory, name);
      };
      const caFile = file('ca.pem', toPem(ca.der, 'CERTIFICATE'));
      const args = ['ocsp', '-respin', file('response.der', augmented), '-CAfile', caFile, '-issuer', caFile];
      const out = execFileSync(
        'openssl',
        [...args, '-cert', file('server.pem', toPem(server.der, 'CERTIFICATE')), '-no_nonce'].concat([
          '-attime',
          String(now.getTime() / 1000),
          // Which does not hold for the times of the response.
          '-validity_period',
          String(100 * 365 * 86_400),
        ]),
        { encoding: 'utf8', stdio: 'pipe' },
      );
      expect(out).toContain('server.pem: good');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('replace those that were there, and leave other certificates alone', () => {
    const withDelegate = augmentOcspResponse(response, [server.der]);
    const once = augmentOcspResponse(withDelegate, containers.slice(0, 2));
    const twice = augmentOcspResponse(once, containers.slice(2));
    expect(bytesOf(vouchersInOcspResponse(twice))).toEqual(bytesOf(vouchers.slice(2)));
    expect(bytesOf(parseOcspResponse(twice).certificates)).toEqual(bytesOf([server.der, containers[2]!]));
    expect(Buffer.from(augmentOcspResponse(augmented, []))).toEqual(Buffer.from(response));
  });

  test('a container is a certificate that signs itself', () => {
    const one = new X509Certificate(contain(vouchers[0]!, Uint8Array.of(0x80, 0)));
    expect(one.verify(createPublicKey(key))).toBe(true);
    expect(one.serialNumber).toBe('8000');
    expect(one.ca).toBe(false);
  });

  test('too many, too large, or into what is no response: refused', () => {
    const refuse = (make: () => unknown) => expect(make).toThrow(VoucherError);
    refuse(() => augmentOcspResponse(response, [...containers, containers[0]!]));
    refuse(() => augmentOcspResponse(response, [contain(new Uint8Array(16_384))]));
    refuse(() => augmentOcspResponse(vouchers[0]!, containers));
  });

  test('whatever else is there, nothing is thrown, and nothing beyond three is taken', () => {
    expect(vouchersInOcspResponse(new Uint8Array(0))).toEqual([]);
    expect(vouchersInOcspResponse(new Uint8Array(200_000))).toEqual([]);
    for (const { bytes } of mutations(augmented)) {
      expect(vouchersInOcspResponse(bytes).length).toBeLessThanOrEqual(3);
    }
    const four = testOcsp({
      about: server,
      issuer: ca,
      thisUpdate: notBefore,
      nextUpdate: notAfter,
      certificates: [...containers, containers[0]!],
    });
    expect(bytesOf(vouchersInOcspResponse(four))).toEqual(bytesOf(vouchers));
    fc.assert(
      fc.property(fc.nat(augmented.length - 1), fc.nat(255), (at, octet) => {
        const changed = Uint8Array.from(augmented);
        changed[at] = octet;
        vouchersInOcspResponse(changed.subarray(0, octet % 2 ? undefined : at));
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('a bundle', () => {
  const bundle = encodeVoucherBundle(vouchers);

  test('comes out as it went in; an empty one is one', () => {
    expect(bytesOf(decodeVoucherBundle(bundle))).toEqual(bytesOf(vouchers));
    expect(decodeVoucherBundle(encodeVoucherBundle([]))).toEqual([]);
  });

  test('lies where the server certificate says', () => {
    expect(bundlePath(server.der)).toBe(`/.well-known/mecai/${hash('sha256', server.der, 'hex')}`);
  });

  test('has 64 vouchers at most', () => {
    const many = Array.from({ length: 65 }, () => Uint8Array.of(0x30, 0));
    expect(decodeVoucherBundle(encodeVoucherBundle(many.slice(1)))).toHaveLength(64);
    expect(() => encodeVoucherBundle(many)).toThrow('more than 64');
    const tooMany = Uint8Array.of(0x30, 0x81, 130, ...many.flatMap((one) => [...one]));
    expect(() => decodeVoucherBundle(tooMany)).toThrow('more than 64');
    expect(() => encodeVoucherBundle(many.slice(0, 5).map(() => new Uint8Array(65_500)))).toThrow('octets');
  });

  test('cut off, lengthened or altered: a bundle or malformed, never anything else', () => {
    expect(() => decodeVoucherBundle(Buffer.concat([bundle, Uint8Array.of(0)]))).toThrow(VoucherError);
    fc.assert(
      fc.property(fc.nat(bundle.length - 1), fc.nat(255), (at, octet) => {
        const changed = Uint8Array.from(bundle);
        changed[at] = octet;
        for (const bytes of [changed, bundle.subarray(0, at)]) {
          try {
            decodeVoucherBundle(bytes);
          } catch (error) {
            expect((error as VoucherError).code).toBe('malformed');
          }
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
