/**
 * Chrome's root list (root_store.textproto, messages RootStore, TrustAnchor and ConstraintSet of
 * net/cert/root_store.proto). It names roots by SHA-256; the certificates come from elsewhere.
 */
import { PkiError } from './error.ts';
import type { CertificateIndex, ImportedContext, SkippedRoot } from './import.ts';
import { assertTci, type ConstraintSet, type TrustAnchor } from './trust-context.ts';
import { parseTextProto, type TextMessage } from './text-proto.ts';

export interface ChromeImportOptions {
  /** The browser version that min_version and max_version_exclusive are compared with; the newest without it. */
  readonly version?: string;
}

/** What is said of a root besides its constraints: this package enforces the validity and the extensions of every anchor. */
const known: ReadonlySet<string> = new Set([
  'sha256_hex',
  'constraints',
  'eku',
  'ev_policy_oids',
  'display_name',
  'eutl',
  'enforce_anchor_expiry',
  'enforce_anchor_constraints',
  'tls_trust_anchor',
  'trust_anchor_id',
  'crs_root_id',
]);
const serverAuth = '1.3.6.1.5.5.7.3.1';

/** Constraints for Merkle tree certificates, which do not concern other anchors. */
const ignored: ReadonlySet<string> = new Set(['index_not_after', 'index_after']);

/** Throws `malformed`. */
export function importChromeRootStore(
  text: string,
  id: string,
  certificates: CertificateIndex,
  options: ChromeImportOptions = {},
): ImportedContext {
  assertTci(id);
  const store = parseTextProto(text);
  const additional = messages(store, 'additional_certs').filter(
    (anchor) => scalar(anchor, 'tls_trust_anchor') === 'true',
  );
  const anchors: TrustAnchor[] = [];
  const skipped: SkippedRoot[] = [];
  for (const anchor of [...messages(store, 'trust_anchors'), ...additional]) {
    const sha256 = scalar(anchor, 'sha256_hex')?.toLowerCase();
    if (!sha256 || !/^[0-9a-f]{64}$/.test(sha256))
      throw new PkiError('malformed', 'trust anchor without sha256_hex');
    const certificate = certificates.get(sha256);
    const unknown = [...anchor.keys()].find((name) => !known.has(name));
    const ekus = anchor.get('eku');
    const sets = messages(anchor, 'constraints');
    const constraints = sets.flatMap((set) => readSet(set, options.version));
    if (!certificate) skipped.push({ sha256, reason: 'the certificate is not at hand' });
    // It may restrict.
    else if (unknown) skipped.push({ sha256, reason: `field ${unknown} is not known` });
    else if (ekus && !ekus.includes(serverAuth))
      skipped.push({ sha256, reason: 'not trusted for TLS servers' });
    else if (sets.length > 0 && constraints.length === 0) {
      skipped.push({ sha256, reason: 'no constraint set is for this version' });
    } else anchors.push({ certificate, ...(sets.length > 0 && { constraints }) });
  }
  return { context: { id, anchors, listed: true }, skipped };
}

/** No set where it cannot hold: for another version, or with a constraint that this package does not know. */
function readSet(set: TextMessage, version: string | undefined): ConstraintSet[] {
  const parts: ConstraintSet[] = [];
  for (const [name, values] of set) {
    if (ignored.has(name)) continue;
    const texts = values.filter((value) => typeof value === 'string');
    const value = texts[0];
    if (value === undefined) return [];
    switch (name) {
      case 'min_version':
        if (version !== undefined && compareVersions(version, value) < 0) return [];
        break;
      case 'max_version_exclusive':
        if (version === undefined || compareVersions(version, value) >= 0) return [];
        break;
      case 'sct_not_after_sec':
        parts.push({ sctUntil: date(value) });
        break;
      case 'sct_all_after_sec':
        parts.push({ sctAllAfter: date(value) });
        break;
      case 'validity_starts_not_after_sec':
        parts.push({ notBeforeUntil: date(value) });
        break;
      case 'validity_starts_after_sec':
        parts.push({ notBeforeAfter: date(value) });
        break;
      case 'permitted_dns_names':
        parts.push({ permittedDnsNames: texts });
        break;
      default:
        return [];
    }
  }
  return [Object.assign({}, ...parts)];
}

/** Seconds since 1970. */
function date(seconds: string): Date {
  const value = new Date(Number(seconds) * 1000);
  if (!/^\d+$/.test(seconds) || Number.isNaN(value.getTime())) {
    throw new PkiError('malformed', `constraint time ${seconds.slice(0, 40)}`);
  }
  return value;
}

/** Dotted numbers; missing parts are zero. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const messages = (message: TextMessage, name: string): TextMessage[] =>
  (message.get(name) ?? []).filter((value) => typeof value !== 'string');

function scalar(message: TextMessage, name: string): string | undefined {
  const value = message.get(name)?.at(-1);
  return typeof value === 'string' ? value : undefined;
}
