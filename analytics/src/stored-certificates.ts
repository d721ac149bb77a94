import type { CertificateFacts, CertificateRow } from './rows.ts';
import type { Store } from './store.ts';

/** Fingerprints asked for at once; they travel in the URL to a server. */
const asked = 500;
const knownCertificates = 100_000;

const certificateQuery =
  'SELECT fingerprint FROM certificates WHERE fingerprint IN {fingerprints:Array(String)}';

/** Certificates, and when they were received. */
export type ReceivedChain = readonly [certificates: readonly CertificateFacts[], receivedAt: number];

/**
 * Stores those that are not there yet.
 *
 * @param known fingerprints known to be stored; grows
 */
export async function storeCertificates(
  store: Store,
  known: Set<string>,
  chains: readonly ReceivedChain[],
): Promise<void> {
  const missing = new Map<string, CertificateRow>();
  for (const [certificates, receivedAt] of chains) {
    for (const certificate of certificates) {
      const { fingerprint } = certificate;
      if (known.has(fingerprint) || missing.has(fingerprint)) continue;
      missing.set(fingerprint, { ...certificate, first_received_at: receivedAt });
    }
  }
  const fingerprints = [...missing.keys()];
  for (let i = 0; i < fingerprints.length; i += asked) {
    const some = fingerprints.slice(i, i + asked);
    const found = await store.query<{ fingerprint: string }>(certificateQuery, { fingerprints: some });
    for (const { fingerprint } of found) missing.delete(fingerprint);
  }
  await store.insert('certificates', [...missing.values()], [...missing.keys()]);
  if (known.size + fingerprints.length > knownCertificates) known.clear();
  for (const fingerprint of fingerprints) known.add(fingerprint);
}
