/** Which fields of two vouchers differ. Lists that have a canonical order are compared in any order. */
import type { Extension } from '@mecai/pki';
import type { CertificateStatus, Perspective, QuorumPolicy, Voucher } from './voucher.ts';

/** Names of the fields that differ; times are compared in whole seconds, as they are encoded. */
export function differences(a: Voucher, b: Voucher): (keyof Voucher)[] {
  const differing: (keyof Voucher)[] = [];
  const compare = (field: keyof Voucher, same: boolean) => {
    if (!same) differing.push(field);
  };
  compare('serial', sameBytes(a.serial, b.serial));
  compare('ipv4', sameBytes(a.ipv4, b.ipv4));
  compare('ipv6', sameBytes(a.ipv6, b.ipv6));
  compare('port', a.port === b.port);
  compare('leaf', sameBytes(a.leaf, b.leaf));
  compare('intermediates', sameList(a.intermediates, b.intermediates, sameBytes));
  compare('status', sameSet(a.status, b.status, sameStatus));
  compare('producedAt', sameTime(a.producedAt, b.producedAt));
  compare('notAfter', sameTime(a.notAfter, b.notAfter));
  compare('trustContexts', sameSet(a.trustContexts, b.trustContexts, identical));
  compare('quorum', sameQuorum(a.quorum, b.quorum));
  compare('directoryVersion', a.directoryVersion === b.directoryVersion);
  compare('perspectives', sameSet(a.perspectives, b.perspectives, samePerspective));
  compare('extensions', sameList(a.extensions ?? [], b.extensions ?? [], sameExtension));
  return differing;
}

type Same<T> = (a: T, b: T) => boolean;

const identical = (a: string, b: string): boolean => a === b;

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

const sameTime = (a: Date, b: Date): boolean =>
  Math.floor(a.getTime() / 1000) === Math.floor(b.getTime() / 1000);

const sameList = <T>(a: readonly T[], b: readonly T[], same: Same<T>): boolean =>
  a.length === b.length && a.every((one, i) => same(one, b[i]!));

/** Each of `a` has a partner of its own in `b`: equal ones are counted, not merged. */
function sameSet<T>(a: readonly T[], b: readonly T[], same: Same<T>): boolean {
  const left = [...b];
  return (
    a.length === b.length &&
    a.every((one) => {
      const at = left.findIndex((other) => same(one, other));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    })
  );
}

function sameStatus(a: CertificateStatus, b: CertificateStatus): boolean {
  if (a.certificate !== b.certificate) return false;
  if ('ocsp' in a) return 'ocsp' in b && sameBytes(a.ocsp, b.ocsp);
  return (
    'crl' in b &&
    a.crl.number === b.crl.number &&
    sameTime(a.crl.thisUpdate, b.crl.thisUpdate) &&
    sameTime(a.crl.nextUpdate, b.crl.nextUpdate) &&
    sameBytes(a.crl.digest, b.crl.digest)
  );
}

const sameQuorum = (a: QuorumPolicy, b: QuorumPolicy): boolean =>
  a.asked === b.asked &&
  a.matches === b.matches &&
  a.regions === b.regions &&
  a.networks === b.networks &&
  a.kilometres === b.kilometres &&
  a.intermediates === b.intermediates;

const samePerspective = (a: Perspective, b: Perspective): boolean =>
  a.country === b.country && a.rir === b.rir && a.asn === b.asn && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6;

const sameExtension = (a: Extension, b: Extension): boolean =>
  a.oid === b.oid && a.critical === b.critical && sameBytes(a.value, b.value);
