import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { constructed, DerReader, tags } from '@mecai/pki';
import { oids } from '@mecai/voucher';
import { keyUsages, testCertificate } from '@mecai/voucher/testing';
import { pem, type TestCa } from './certificates.ts';

let serial = 76;

/** Signs the request as a CA would: takes name and key, decides the rest itself. */
export function vaCertificate(issuer: TestCa, csrFile: string): string {
  const der = execFileSync('openssl', ['req', '-in', csrFile, '-outform', 'DER', '-verify'], {
    stdio: 'pipe',
  });
  const info = DerReader.whole(der).sequence();
  info.integer();
  info.raw(tags.sequence);
  const spki = info.raw(tags.sequence);
  info.raw(constructed(0));
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  return pem(
    testCertificate({
      subject: 'Second Opinion VA',
      issuer,
      key: { publicKey, privateKey: issuer.privateKey },
      serial: ++serial,
      ...(issuer.crlUrl !== undefined && { crlUrl: issuer.crlUrl }),
      keyUsage: keyUsages.digitalSignature,
      extendedKeyUsage: [oids.voucherSigning],
    }),
  );
}
