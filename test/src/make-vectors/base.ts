/** What a vector is, and the good voucher that most of them are made from. */
import { type CheckCode, type PerspectiveCount } from '@mecai/client';
import { type CrlReference, type ShownQuorum, type Voucher } from '@mecai/voucher';
import { type TestVa, testVoucher } from '@mecai/voucher/testing';
import { after, leaf, producedAt, sha256, va, vaStatus, webCa } from './world.ts';

export interface Vector {
  readonly name: string;
  readonly voucher: Uint8Array;
  /** Empty: the voucher is accepted. In any order. */
  readonly expected: readonly CheckCode[];
  /** Differences from the usual: see the manifest. */
  readonly time?: Date;
  readonly chain?: readonly Uint8Array[];
  readonly address?: string;
  readonly port?: number;
  readonly trustContext?: string;
  readonly quorum?: Partial<ShownQuorum>;
  readonly perspectives?: readonly PerspectiveCount[];
  readonly vaStatus?: 'require' | 'if-known';
  readonly maxAgeSeconds?: number;
}

export const crl = {
  number: 4711n,
  thisUpdate: after(-12),
  nextUpdate: after(150),
  digest: sha256(Buffer.from('crl')),
};
const { ipv6: _ipv6, ...ipv4Only } = testVoucher;
export const about = (fields: Partial<Voucher> = {}): Voucher => ({
  ...ipv4Only,
  leaf: sha256(leaf.der),
  intermediates: [sha256(webCa.der)],
  status: [0, 1].map((certificate) => ({ certificate, crl })),
  producedAt,
  notAfter: after(24),
  perspectives: testVoucher.perspectives.map(({ ipv6: _ipv6, ...one }) => ({ ...one, ipv4: 'match' })),
  ...fields,
});
export const issue = (fields: Partial<Voucher> = {}, by: TestVa = va, documents = vaStatus(by)) =>
  by.issue(about(fields), undefined, documents);
export const good = issue();
export const ipv6 = testVoucher.ipv6!;
export const seenOver = (family: 'ipv4' | 'ipv6' | 'both') =>
  about().perspectives.map(({ ipv4: _ipv4, ...one }) => ({
    ...one,
    ...(family !== 'ipv6' && { ipv4: 'match' as const }),
    ...(family !== 'ipv4' && { ipv6: 'match' as const }),
  }));
const { ipv4: _ipv4, ...withoutIpv4 } = about({ ipv6, perspectives: seenOver('ipv6') });
export const ipv6Only: Voucher = withoutIpv4;
const { number: _number, ...withoutNumber } = crl;
export const unnumbered: CrlReference = withoutNumber;
