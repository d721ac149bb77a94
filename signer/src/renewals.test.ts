import { hash } from 'node:crypto';
import { parseCertificate } from '@mecai/pki';
import { testCertificate } from '@mecai/voucher/testing';
import { describe, expect, it } from 'vitest';
import type { ListedDistrust } from './distrust-list.ts';
import { renewals } from './renewals.ts';

const root = parseCertificate(testCertificate({ subject: 'Root', ca: true }).der);
const other = parseCertificate(testCertificate({ subject: 'Other', ca: true }).der);
const anchors = [other, root, root];
const hour = 3_600_000;
const day = 24 * hour;
const now = 1_800_000_000_000;
const act = (at: number) => ({ at, reason: 'r', author: 'a', identity: 'i' });
const hex = (bytes: Uint8Array) => hash('sha256', bytes);
const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');
const leaf = { kind: 'certificate', sha256: 'ab'.repeat(32) } as const;

const listed = (
  subject: ListedDistrust['entry']['subject'],
  at: number,
  more: { from?: number; lifted?: number } = {},
): ListedDistrust => ({
  entry: { id: 'x', subject, ...(more.from !== undefined && { from: new Date(more.from) }) },
  set: act(at),
  ...(more.lifted !== undefined && { lifted: act(more.lifted) }),
});
const of = (...list: ListedDistrust[]) => renewals(list, anchors, now, day);
const times = (...list: ListedDistrust[]) => of(...list).map((one) => one.producedBefore);

describe('vouchers to be renewed early', () => {
  it('are those from before distrust was set, and from before it was lifted', () => {
    expect(times(listed(leaf, now - hour))).toEqual([now - hour]);
    expect(times(listed(leaf, now - 2 * hour, { lifted: now - hour }))).toEqual([now - hour, now - 2 * hour]);
  });

  it('only once it is in force, and as long as one of them may be valid', () => {
    expect(times(listed(leaf, now - hour, { from: now + 1 }))).toEqual([]);
    expect(times(listed(leaf, now - hour, { from: now }))).toEqual([now]);
    expect(times(listed(leaf, now - day + 1))).toEqual([now - day + 1]);
    expect(times(listed(leaf, now - day))).toEqual([]);
    // Lifted before it was ever in force: nothing was issued otherwise.
    expect(times(listed(leaf, now - 3 * hour, { from: now + hour, lifted: now - hour }))).toEqual([]);
  });

  it('by certificate, key or issuer', () => {
    const about = (subject: ListedDistrust['entry']['subject']) =>
      of(listed(subject, now)).map((one) => one.about);
    expect(about(leaf)).toEqual([{ $case: 'certificate', certificate: Buffer.from(leaf.sha256, 'hex') }]);
    expect(about({ kind: 'issuer', name: root.subject })).toEqual([
      { $case: 'issuer', issuer: sha256(root.subject) },
    ]);
    expect(about({ kind: 'operator', organization: 'Example CA' })).toEqual([undefined]);
  });

  it.each([
    ['certificate', root.der],
    ['spki', root.spki],
  ] as const)('of a root, which servers do not send, by the name it issues in (%s)', (kind, bytes) => {
    const about = of(listed({ kind, sha256: hex(bytes) }, now)).map((one) => one.about?.$case);
    expect(about).toEqual([kind, 'issuer']);
    expect(of(listed({ kind, sha256: hex(bytes) }, now))[1]!.about).toEqual({
      $case: 'issuer',
      issuer: sha256(root.subject),
    });
  });
});
