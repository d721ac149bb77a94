/** Whether the VA's own certificates are revoked, as far as the documents at hand say. */
import {
  type Certificate,
  type CertificateStatus,
  type KnownDocuments,
  readDocument,
  type RevocationDocument,
  type RevocationStatus,
  statusFrom,
  verifyDocuments,
} from '@mecai/pki';

export interface VaStatus {
  /**
   * Of the path below the root: `revoked` if one certificate is, `good` if something current says so of each.
   * `stale`: of one there is only what has expired. `unknown`: of one there is nothing.
   */
  readonly status: RevocationStatus;
  /** The VA certificate first; the root is left out. */
  readonly certificates: readonly CertificateStatus[];
  /** If good: when the older of the newest statements was made. Absent if nothing had to be said. */
  readonly thisUpdate?: Date;
  /** If good: until when it stays so by the statements at hand. */
  readonly nextUpdate?: Date;
}

/**
 * @param path VA certificate first, root last
 * @param documents whatever else there is among them is passed over
 */
export const vaStatus = (
  path: readonly Certificate[],
  documents: readonly RevocationDocument[],
  now: Date,
): VaStatus => vaStatusFrom(path, verifyVaDocuments(path, documents, now), now);

/** For each certificate of the path but the root. */
export const verifyVaDocuments = (
  path: readonly Certificate[],
  documents: readonly RevocationDocument[],
  now: Date,
): KnownDocuments[] => {
  const read = documents.map(readDocument);
  return path.slice(0, -1).map((one, i) => verifyDocuments(one, path[i + 1]!, read, now));
};

export function vaStatusFrom(
  path: readonly Certificate[],
  known: readonly KnownDocuments[],
  now: Date,
): VaStatus {
  const certificates = known.map((documents, i) => statusFrom(path[i]!, documents, now));
  const worst = (['revoked', 'unknown', 'stale'] as const).find((one) =>
    certificates.some(({ status }) => status === one),
  );
  return { status: worst ?? 'good', certificates, ...(!worst && freshness(certificates)) };
}

type Period = Required<Pick<VaStatus, 'thisUpdate' | 'nextUpdate'>>;

function freshness(certificates: readonly CertificateStatus[]): Period | undefined {
  let [thisUpdate, nextUpdate] = [Infinity, Infinity];
  for (const one of certificates) {
    const newest = newestStatement(one);
    if (!newest) continue;
    thisUpdate = Math.min(thisUpdate, newest.thisUpdate.getTime());
    nextUpdate = Math.min(nextUpdate, newest.nextUpdate.getTime());
  }
  if (thisUpdate === Infinity) return undefined;
  return { thisUpdate: new Date(thisUpdate), nextUpdate: new Date(nextUpdate) };
}

function newestStatement({ evidence }: CertificateStatus): Period | undefined {
  let newest: Period | undefined;
  for (const one of evidence) {
    if (one.kind === 'short-lived') continue;
    const period = one.kind === 'ocsp' ? one.verdict : (one.delta ?? one.crl);
    if (!newest || period.thisUpdate > newest.thisUpdate) newest = period;
  }
  return newest;
}
