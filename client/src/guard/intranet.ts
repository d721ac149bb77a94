/** Hosts of a private network: pinned to its CA, without vouchers, of a status that is known to be good. */
import { type Certificate, httpFetch, parseCertificate, RevocationSource, TrustStore } from '@mecai/pki';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Handshake, ServerCheck, ServerFailure } from '../checker.ts';
import { readableCertificates, type RevocationCache } from '../revocation-cache.ts';
import { hostKey, type Intranet } from './policy.ts';

export interface IntranetCheckOptions {
  readonly revocation: RevocationCache;
  /** Asks the CA's responder and CRL; without it only what is stapled or known already counts. */
  readonly source?: RevocationSource;
  readonly now: Date;
  readonly signal: AbortSignal;
}

/**
 * Asks the responders and CRLs that intranet certificates name, over plain HTTP as is usual, and remembers what they
 * say. Any address may be asked: they are those of a private network.
 */
export const intranetRevocation = (now: () => Date): RevocationSource =>
  new RevocationSource({
    fetch: httpFetch({
      resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
      isAllowed: () => true,
    }),
    clock: now,
  });

/** Throws `PkiError` only for a pinned root that cannot be read. */
export async function checkIntranet(
  { suffix, roots }: Intranet,
  host: string,
  handshake: Handshake,
  { revocation, source, now, signal }: IntranetCheckOptions,
): Promise<ServerCheck> {
  const path = pinnedPath(roots, host, handshake, now);
  if (typeof path === 'string') {
    const message = `${suffix} is pinned to a CA, and this certificate does not hold there: ${path}`;
    return answer([{ code: 'not-pinned-ca', message }], 'unknown');
  }
  const [leaf] = path;
  if (handshake.ocsp) revocation.importOcsp(handshake.ocsp, leaf!, path, now);
  if (source && revocation.status(leaf!, now) !== 'good') {
    for (const status of await source.check({ path, signal })) revocation.importStatus(status, now);
  }
  const status = revocation.status(leaf!, now);
  if (path.some((one) => revocation.status(one, now) === 'revoked')) {
    return answer(
      [{ code: 'certificate-revoked', message: 'a certificate of the server is revoked' }],
      status,
    );
  }
  if (status === 'good') return answer([], status);
  const message = `the revocation status of the server certificate is ${status}`;
  return answer([{ code: 'certificate-status-unknown', message }], status);
}

const answer = (failures: readonly ServerFailure[], status: ServerCheck['status']): ServerCheck => ({
  failures,
  vouchers: [],
  status,
});

/**
 * From the server certificate to a pinned root, or why there is none. A path that the TLS stack built to such a root
 * is good: private CAs leave out what a strict validator asks for.
 */
function pinnedPath(
  roots: Intranet['roots'],
  host: string,
  { chain, above = [] }: Handshake,
  now: Date,
): readonly Certificate[] | string {
  const built = [...chain, ...above];
  const path = readableCertificates(built);
  if (path.length === 0 || path.length < built.length) return 'it cannot be read';
  const end = above.at(-1);
  if (end && roots.some((root) => Buffer.compare(root, end) === 0)) return path;
  const anchors = roots.map((root) => ({ certificate: parseCertificate(root) }));
  const store = new TrustStore([{ id: 'INTRANET', anchors, listed: true }], { profile: 'rfc5280' });
  const name = isIP(host) === 0 ? { dns: hostKey(host) } : { ip: host };
  const { path: found, reason } = store.evaluate({ chain, name, now }).contexts[0]!;
  return found ?? reason!.detail;
}
