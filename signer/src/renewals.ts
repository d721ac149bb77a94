/** Which vouchers requesters should renew early: those from before distrust was set or lifted. */
import type { Certificate, DistrustSubject } from '@mecai/pki';
import type { Renewal } from '@mecai/proto/signer';
import { sha256 } from './digest.ts';
import type { ListedDistrust } from './distrust-list.ts';

/**
 * Newest first. What is older than the vouchers' lifetime is left out: none from before is valid any more.
 *
 * @param anchors of all trust contexts: a server does not send its root, so that is found by the name it issues in
 * @param now milliseconds since 1970
 */
export function renewals(
  listed: readonly ListedDistrust[],
  anchors: readonly Certificate[],
  now: number,
  voucherLifetimeMs: number,
): Renewal[] {
  return listed
    .flatMap(({ entry, set, lifted }) => {
      const begun = Math.max(set.at, entry.from?.getTime() ?? 0);
      const times = [begun, ...(lifted && lifted.at > begun ? [lifted.at] : [])];
      return times
        .filter((time) => time <= now && now - time < voucherLifetimeMs)
        .flatMap((time) => aboutOf(entry.subject, anchors).map((about) => ({ producedBefore: time, about })));
    })
    .toSorted((a, b) => b.producedBefore - a.producedBefore);
}

function aboutOf(subject: DistrustSubject, anchors: readonly Certificate[]): Renewal['about'][] {
  switch (subject.kind) {
    case 'certificate': {
      const hash = Buffer.from(subject.sha256, 'hex');
      return [{ $case: 'certificate', certificate: hash }, ...issuedBy(anchors, hash, ({ der }) => der)];
    }
    case 'spki': {
      const hash = Buffer.from(subject.sha256, 'hex');
      return [{ $case: 'spki', spki: hash }, ...issuedBy(anchors, hash, ({ spki }) => spki)];
    }
    case 'issuer':
      return [{ $case: 'issuer', issuer: sha256(subject.name) }];
    case 'operator':
      // An organization is in names that requesters do not look into.
      return [undefined];
    default:
      return subject satisfies never;
  }
}

function issuedBy(
  anchors: readonly Certificate[],
  hash: Uint8Array,
  part: (anchor: Certificate) => Uint8Array,
): Renewal['about'][] {
  const names = anchors
    .filter((anchor) => Buffer.compare(sha256(part(anchor)), hash) === 0)
    .map(({ subject }) => Buffer.from(sha256(subject)).toString('hex'));
  return [...new Set(names)].map((name) => ({ $case: 'issuer', issuer: Buffer.from(name, 'hex') }));
}
