/** The VAs, the list and the server that the vectors are about. */
import { oids, voucherSigner } from '@mecai/voucher';
import {
  keyUsages,
  testCertificate,
  type TestCertificate,
  type TestCertificateOptions,
  testCrl,
  testKey,
  testOcsp,
  type TestVa,
  testVa,
} from '@mecai/voucher/testing';
import type { RevocationDocument } from '@mecai/pki';
import { hash, sign } from 'node:crypto';

export const producedAt = new Date('2026-11-22T12:00:00Z');
export const after = (hours: number): Date => new Date(producedAt.getTime() + hours * 3_600_000);
export const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

export const ca = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };

export const webRoot = testCertificate({ subject: 'Web Root', ...ca });
export const webCa = testCertificate({ subject: 'Web CA', issuer: webRoot, ...ca });
export const leaf = testCertificate({
  subject: 'server',
  issuer: webCa,
  serial: 9,
  dnsNames: ['www.example.org'],
});
export const otherLeaf = testCertificate({
  subject: 'server',
  issuer: webCa,
  serial: 10,
  dnsNames: ['www.example.org'],
});
export const chain = [leaf.der, webCa.der];

export const vas = [testVa(), testVa('P-384'), testVa()] as const;
export const [va, va384] = vas;
export const notChosen = testVa();
export const distrusted = testVa();
export const unlisted = testVa();
/** One whose VA certificate the root itself has issued. */
export const direct = vaUnder((root) => ({ issuer: root, above: [] }));
export const vendor = testKey();

export interface StatusOptions {
  readonly status?: 'good' | 'revoked';
  readonly revokedIntermediate?: boolean;
  readonly at?: Date;
  readonly hours?: number;
}

/** That the VA's own certificates are not revoked, by OCSP and CRL of the day. */
export function vaStatus(
  of: Pick<TestVa, 'certificate' | 'intermediate' | 'root'>,
  { status, revokedIntermediate = false, at = producedAt, hours = 24 }: StatusOptions = {},
): RevocationDocument[] {
  const thisUpdate = new Date(at.getTime() - 3_600_000);
  const nextUpdate = new Date(at.getTime() + hours * 3_600_000);
  const revoked = revokedIntermediate ? [{ certificate: of.intermediate }] : [];
  return [
    {
      kind: 'ocsp',
      der: testOcsp({
        about: of.certificate,
        issuer: of.intermediate,
        ...(status && { status }),
        thisUpdate,
        nextUpdate,
      }),
    },
    { kind: 'crl', der: testCrl(of.root, { number: 7, revoked, thisUpdate, nextUpdate }) },
  ];
}

/** A VA with a hierarchy of its own making. */
export function vaUnder(
  make: (root: TestCertificate) => {
    readonly issuer: TestCertificate;
    readonly above: readonly TestCertificate[];
    readonly certificate?: Partial<TestCertificateOptions>;
  },
): TestVa {
  const root = testCertificate({ subject: 'Vector VA Root', ...ca });
  const { issuer, above, certificate: changes = {} } = make(root);
  const certificate = testCertificate({
    subject: 'Vector Voucher Authority',
    issuer,
    serial: 7,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [oids.voucherSigning],
    ...changes,
  });
  const signer = voucherSigner({ certificate: certificate.der, intermediates: above.map(({ der }) => der) });
  const base = testVa();
  return {
    ...base,
    root,
    intermediate: above[0] ?? root,
    certificate,
    signer,
    issue: issueWith(signer, certificate),
  };
}

function issueWith(signer: TestVa['signer'], certificate: TestCertificate): TestVa['issue'] {
  return (voucher, signingTime = voucher.producedAt, revocation = []) => {
    const prepared = signer.prepare(voucher, signingTime);
    return prepared.finish(
      sign(prepared.digestAlgorithm, prepared.toBeSigned, certificate.privateKey),
      revocation,
    );
  };
}
