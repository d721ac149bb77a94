/** Cases of the x509-limbo suite (C2SP/x509-limbo), run against the trust store. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createTrustStore, pemBlocks, pemCertificates, PkiError, type Profile } from '../index.ts';
import { crlStatus } from './crl.ts';

export interface LimboCase {
  readonly id: string;
  readonly conflicts_with: readonly string[];
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  /** ISO 8601; null is any time in which the certificates are valid. */
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: { readonly kind: 'DNS' | 'IP'; readonly value: string } | null;
  readonly max_chain_depth: number | null;
  readonly crls: readonly string[];
}

/** The suite, from the path in X509_LIMBO or beside the checkout; undefined where it is absent. */
export function readLimbo(): LimboCase[] | undefined {
  const file =
    process.env['X509_LIMBO'] ??
    resolve(import.meta.dirname, '../../../../../shared/test-suites/x509-limbo.json');
  if (!existsSync(file)) return undefined;
  const suite: { testcases: LimboCase[] } = JSON.parse(readFileSync(file, 'utf8'));
  return suite.testcases;
}

export interface LimboOutcome {
  readonly accepted: boolean;
  readonly detail: string;
}

export interface LimboOptions {
  readonly profile?: Profile;
  readonly isPublicSuffix?: (domain: string) => boolean;
}

export function runLimbo(one: LimboCase, options: LimboOptions = {}): LimboOutcome {
  try {
    const anchors = one.trusted_certs.flatMap(readable).map((certificate) => ({ certificate }));
    const depth = one.max_chain_depth;
    const store = createTrustStore([{ id: 'LIMBO', anchors }], {
      ...options,
      ...(depth !== null && { budgets: { intermediates: depth } }),
    });
    const name = one.expected_peer_name;
    const now = new Date(one.validation_time ?? '2026-06-01T00:00:00Z');
    const evaluation = store.evaluate({
      chain: [one.peer_certificate, ...one.untrusted_intermediates].flatMap((pem) =>
        pemBlocks(pem, 'CERTIFICATE'),
      ),
      ...(name && { name: name.kind === 'DNS' ? { dns: name.value } : { ip: name.value } }),
      now,
    });
    const { path, reason } = evaluation.contexts[0]!;
    if (!path) return { accepted: false, detail: reason?.detail ?? '' };
    const crls = one.crls.flatMap((pem) => pemBlocks(pem, 'X509 CRL'));
    if (crls.length === 0) return { accepted: true, detail: '' };
    // Where there are CRLs, every certificate needs a status, as under the policy `require`.
    const statuses = path
      .slice(0, -1)
      .map((certificate, i) => crlStatus(certificate, path[i + 1]!, crls, now));
    const bad = statuses.find(({ status }) => status !== 'good');
    return { accepted: !bad, detail: bad ? `${bad.status} ${bad.problems[0]?.error.message ?? ''}` : '' };
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return { accepted: false, detail: error.message };
  }
}

/** An anchor that cannot be read is none. */
function readable(pem: string) {
  try {
    return pemCertificates(pem);
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
}
