/** VAs of several CAs with their list, and a server, for tests. */
import type { RevocationDocument } from '@mecai/pki';
import { formatAddress, parseAddress } from '@mecai/addresses';
import type { Voucher } from '@mecai/voucher';
import {
  keyUsages,
  testCertificate,
  type TestCertificate,
  testCrl,
  testKey,
  testOcsp,
  type TestVa,
  testVa,
  testVoucher,
} from '@mecai/voucher/testing';
import { hash } from 'node:crypto';
import { signVaList, type VaEntry, type VaList } from '../va-list/va-list.ts';

export const now = new Date('2026-11-22T13:00:00Z');
export const after = (hours: number): Date => new Date(now.getTime() + hours * 3_600_000);
export const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

const ca = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };

/** The CA of the server: another one than those of the VAs. */
export const webRoot = testCertificate({ subject: 'Web Root', ...ca });
export const webIntermediate = testCertificate({ subject: 'Web CA', issuer: webRoot, ...ca });
export const serverCertificate = (options: Partial<Parameters<typeof testCertificate>[0]> = {}) =>
  testCertificate({
    subject: 'server',
    issuer: webIntermediate,
    serial: 9,
    dnsNames: ['www.example.org'],
    ...options,
  });

export interface ListedVa extends TestVa {
  readonly entry: VaEntry;
}

const countries = ['DE', 'US', 'JP', 'BR', 'FR', 'CN'];

/** With a status of its own certificates in every voucher, as of `at`. */
export function listedVa(i: number, fields: Partial<VaEntry> = {}, at: Date = now): ListedVa {
  const va = testVa();
  const revocation = vaRevocation(va, at);
  return {
    ...va,
    issue: (voucher, signingTime, documents = revocation) => va.issue(voucher, signingTime, documents),
    entry: {
      id: `va-${i}`,
      name: `VA ${i}`,
      operator: `CA ${i}`,
      country: countries[i % countries.length]!,
      vrp: `https://va-${i}.example/vrp`,
      roots: [va.root.der],
      caKeys: [],
      status: 'active',
      codepoint: 65_300 + i,
      ...fields,
    },
  };
}

export function vaRevocation(
  va: TestVa,
  at: Date,
  status: 'good' | 'revoked' = 'good',
): RevocationDocument[] {
  const thisUpdate = new Date(at.getTime() - 3_600_000);
  const nextUpdate = new Date(at.getTime() + 30 * 24 * 3_600_000);
  return [
    {
      kind: 'ocsp',
      der: testOcsp({ about: va.certificate, issuer: va.intermediate, status, thisUpdate, nextUpdate }),
    },
    { kind: 'crl', der: testCrl(va.root, { number: 1, thisUpdate, nextUpdate }) },
  ];
}

export const listOf = (vas: readonly ListedVa[], fields: Partial<VaList> = {}): VaList => ({
  version: 1,
  issuer: 'Example Browser',
  issuedAt: new Date('2026-11-01T00:00:00Z'),
  expires: new Date('2027-02-01T00:00:00Z'),
  vas: vas.map(({ entry }) => entry),
  ...fields,
});

export const vendorKey = testKey();
export const signedList = (list: VaList): Buffer =>
  Buffer.from(signVaList(list, 'vendor-1', vendorKey.privateKey));

export interface VoucherFor {
  readonly chain: readonly Uint8Array[];
  readonly address: string;
  readonly port: number;
  /** When it was produced; the CRL that it names is an hour older. */
  readonly at?: Date;
}

/** What an honest VA says of a server: seen alike from six countries, not revoked by a CRL of today. */
export function voucherFor(
  { chain, address, port, at = now }: VoucherFor,
  fields: Partial<Voucher> = {},
): Voucher {
  const { ipv4: _4, ipv6: _6, ...rest } = testVoucher;
  const octets = parseAddress(address);
  const family = octets.length === 4 ? 'ipv4' : 'ipv6';
  const [leaf, ...intermediates] = chain.map(sha256);
  const crl = {
    number: 5n,
    thisUpdate: new Date(at.getTime() - 3_600_000),
    nextUpdate: new Date(at.getTime() + 7 * 24 * 3_600_000),
    digest: sha256(Buffer.from('crl')),
  };
  return {
    ...rest,
    [family]: parseAddress(formatAddress(octets)),
    port,
    leaf: leaf!,
    intermediates,
    status: chain.map((_, certificate) => ({ certificate, crl })),
    producedAt: at,
    notAfter: new Date(at.getTime() + 24 * 3_600_000),
    perspectives: testVoucher.perspectives.map(({ country, rir, asn }) => ({
      country,
      rir,
      asn,
      [family]: 'match',
    })),
    ...fields,
  };
}

export const chainOf = (leaf: TestCertificate, ...above: readonly TestCertificate[]): Uint8Array[] =>
  [leaf, ...above].map(({ der }) => der);
