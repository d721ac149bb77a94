/** Vouchers good and bad, what they are shown with, and the codes that a client must find; and the list. */
import { malformed, signature } from './form.ts';
import { accepted, acceptedOtherwise } from './accepted.ts';
import { encodeVaList, type VaEntry, type VaList } from '@mecai/client';
import { type TestVa } from '@mecai/voucher/testing';
import { after, chain, direct, distrusted, notChosen, sha256, va, va384, vas } from './world.ts';
import { type Vector } from './base.ts';
import { certificates, certificateVas } from './va-certificates.ts';
import { connection, listedKey, time, vaRevocation } from './connection.ts';

export const vectors: readonly Vector[] = [
  ...accepted,
  ...acceptedOtherwise,
  ...malformed,
  ...signature,
  ...certificates,
  ...vaRevocation,
  ...time,
  ...connection,
];

const entry = (id: string, of: TestVa, i: number, fields: Partial<VaEntry> = {}): VaEntry => ({
  id,
  name: `VA ${id}`,
  operator: `CA of ${id}`,
  country: ['DE', 'US', 'JP', 'BR', 'ZA'][i % 5]!,
  vrp: `https://${id}.example/vrp`,
  roots: [of.root.der],
  caKeys: [],
  status: 'active',
  codepoint: 65_300 + i,
  ...fields,
});
/** Chosen for every vector, but for those that are about who is not. */
export const chosen: readonly string[] = [
  'va-1',
  'va-2',
  'va-3',
  'va-direct',
  ...Object.keys(certificateVas),
];
const spki = (of: typeof listedKey) => of.publicKey.export({ format: 'der', type: 'spki' });

export const list: VaList = {
  version: 1,
  issuer: 'Example Browser',
  issuedAt: after(-240),
  expires: after(24 * 60),
  vas: [
    entry('va-1', va, 0, { caKeys: [sha256(spki(listedKey))] }),
    entry('va-2', va384, 1),
    entry('va-3', vas[2], 2),
    entry('va-direct', direct, 3),
    entry('va-other', notChosen, 4),
    entry('va-distrusted', distrusted, 5, { status: 'distrusted' }),
    ...Object.entries(certificateVas).map(([name, of], i) => entry(name, of, 6 + i)),
  ],
};
export const listPayload = encodeVaList(list);
export { chain };
