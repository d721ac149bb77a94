import { randomBytes } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import type { Certificate } from '@mecai/pki';
import { type Voucher, voucherLinter, voucherSigner } from '@mecai/voucher';
import { SignerError } from './error.ts';
import type { Hsm } from './hsm.ts';

/** Signs and lints a voucher for a documentation address, good for one second: nothing anyone could use. */
export function trialVoucher(
  chain: readonly [Certificate, ...Certificate[]],
  hsm: Hsm,
  now: Date,
): Uint8Array {
  const producedAt = new Date(Math.floor(now.getTime() / 1000) * 1000);
  const voucher: Voucher = {
    serial: randomBytes(16),
    ipv4: parseAddress('192.0.2.1'),
    port: 443,
    leaf: new Uint8Array(32),
    intermediates: [],
    status: [],
    producedAt,
    notAfter: new Date(producedAt.getTime() + 1000),
    trustContexts: ['SELF-TEST'],
    quorum: { asked: 2, matches: 1, regions: 1, networks: 1, kilometres: 500, intermediates: true },
    directoryVersion: 1,
    perspectives: [{ country: 'ZZ', rir: 'ripencc', asn: 64496, ipv4: 'match' }],
  };
  const [certificate, ...intermediates] = chain.map(({ der }) => der) as [Uint8Array, ...Uint8Array[]];
  const signer = voucherSigner({ certificate, intermediates });
  const prepared = signer.prepare(voucher, producedAt);
  const signed = prepared.finish(hsm.sign(prepared.toBeSigned));
  const problems = voucherLinter({ vaCertificate: certificate, intermediates })(signed, voucher);
  if (problems.length > 0) {
    throw new SignerError(
      'wrong-certificate',
      `trial voucher: ${problems.map(({ rule }) => rule).join(', ')}`,
    );
  }
  return signed;
}
