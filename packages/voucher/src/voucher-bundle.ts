/** Vouchers for one server certificate in one file, served under /.well-known/mecai/ by the server itself. */
import { der, tags } from '@mecai/pki';
import { hash } from 'node:crypto';
import { readDer } from './der-input.ts';
import { VoucherError } from './error.ts';
import { malformed } from './voucher-decoder.ts';
import { voucherLimits } from './voucher.ts';

export const bundleMediaType = 'application/mecai-vouchers';
/** Octets of the file; a client stops reading there. 64 vouchers of the usual size are below 100,000. */
export const bundleLimits = { vouchers: 64, octets: 262_144 } as const;

/** Path of the file: by the SHA-256 of the server certificate in lower-case hex, so that each certificate has its own. */
export const bundlePath = (leaf: Uint8Array): string => `/.well-known/mecai/${hash('sha256', leaf, 'hex')}`;

/**
 * VoucherBundle ::= SEQUENCE SIZE (0..64) OF ContentInfo -- a signed voucher each, of different VAs
 *
 * @throws VoucherError `not-encodable`
 */
export function encodeVoucherBundle(vouchers: readonly Uint8Array[]): Uint8Array {
  if (vouchers.length > bundleLimits.vouchers) {
    throw new VoucherError('not-encodable', `more than ${bundleLimits.vouchers} vouchers in a bundle`);
  }
  const bundle = der.sequence(...vouchers);
  if (bundle.length > bundleLimits.octets) {
    throw new VoucherError('not-encodable', `a bundle of ${bundle.length} octets`);
  }
  return bundle;
}

/** @throws VoucherError `malformed`; the vouchers themselves are not looked into */
export function decodeVoucherBundle(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > bundleLimits.octets) throw malformed('voucher bundle: too long');
  return readDer('voucher bundle', bytes, (reader) => {
    const vouchers: Uint8Array[] = [];
    while (!reader.atEnd) {
      if (vouchers.length === bundleLimits.vouchers)
        throw malformed(`more than ${bundleLimits.vouchers} vouchers`);
      const one = reader.raw(tags.sequence);
      if (one.length > voucherLimits.signedOctets) throw malformed('voucher bundle: a voucher too long');
      vouchers.push(one);
    }
    return vouchers;
  });
}
