/** Revocation of a path: CRLs first, OCSP where offered, both verified, cached and renewed ahead of time. */
import { createHash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import {
  assertCurrent,
  covers,
  type Crl,
  crlOctets,
  deltaFits,
  parseCrlInSlices,
  revocation,
  verifyCrl,
} from './crl.ts';
import { PkiError } from './error.ts';
import * as read from './extensions.ts';
import { type Fetch, raced } from './fetch.ts';
import { needsNoRevocation } from './known-status.ts';
import { type OcspOptions, type OcspVerdict, verifyOcsp } from './ocsp.ts';
import { encodeOcspRequest } from './ocsp-request.ts';
import { ocspOctets } from './ocsp-response.ts';
import { RefreshingCache } from './refreshing-cache.ts';
import { type CertificateStatus, Inquiry } from './revocation-status.ts';
import { sha256 } from './vertex.ts';

export interface RevocationOptions {
  readonly fetch: Fetch;
  readonly clock: () => Date;
  /** Octets of CRLs and OCSP responses kept. */
  readonly cacheOctets?: number;
  readonly cacheEntries?: number;
  /** A CRL or response is renewed after this long even if it lasts longer. Milliseconds. */
  readonly maxAge?: number;
  /** What nobody asked for in this long is forgotten. Milliseconds. */
  readonly maxIdle?: number;
  /** A source that failed is left alone for this long. Milliseconds. */
  readonly retryAfter?: number;
  /** The longest CRL that is fetched, octets. */
  readonly crlOctets?: number;
  readonly ocsp?: OcspOptions;
}

export interface CheckRequest {
  /** Leaf first, anchor last; the anchor is not checked. */
  readonly path: readonly Certificate[];
  /** OCSP response that the server stapled for the leaf. */
  readonly stapled?: Uint8Array;
  /** When it aborts, what has not arrived counts as unreachable. */
  readonly signal: AbortSignal;
}

/** Sources tried for one certificate, of each kind. */
const sourcesTried = 3;
interface CachedCrl {
  readonly crl: Crl;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly octets: number;
}

type CachedOcsp = OcspVerdict & { readonly octets: number };

export class RevocationSource {
  readonly #options: RevocationOptions;
  readonly #crls: RefreshingCache<CachedCrl>;
  readonly #responses: RefreshingCache<CachedOcsp>;
  readonly #fetching = new Map<string, Promise<Uint8Array>>();

  constructor(options: RevocationOptions) {
    this.#options = options;
    const {
      cacheOctets = 268_435_456,
      cacheEntries = 10_000,
      maxAge = 3_600_000,
      maxIdle = 86_400_000,
      retryAfter = 60_000,
    } = options;
    const limits = { entries: cacheEntries, maxAge, maxIdle, retryAfter };
    this.#crls = new RefreshingCache(options.clock, { ...limits, octets: cacheOctets });
    this.#responses = new RefreshingCache(options.clock, { ...limits, octets: cacheOctets / 8 });
  }

  /** The status of each certificate of the path but the anchor, in order. Never rejects. */
  check({ path, stapled, signal }: CheckRequest): Promise<CertificateStatus[]> {
    const checks = path.slice(0, -1).map((certificate, index) => {
      const inquiry = new Inquiry(certificate, path[index + 1]!, signal);
      return this.#inquire(inquiry, index === 0 ? stapled : undefined);
    });
    return Promise.all(checks);
  }

  /** Renews what is due in the cache; to be called every minute or so. */
  async refreshDue(): Promise<void> {
    await Promise.all([this.#crls.refreshDue(), this.#responses.refreshDue()]);
  }

  async #inquire(inquiry: Inquiry, stapled: Uint8Array | undefined): Promise<CertificateStatus> {
    const { certificate, issuer } = inquiry;
    if (stapled) {
      await inquiry.attempt('stapled-ocsp', undefined, async () => {
        const verdict = verifyOcsp(stapled, certificate, issuer, this.#options.clock(), this.#options.ocsp);
        return inquiry.heard(verdict, true);
      });
    }
    const crls = inquiry.sources('crl', crlUris);
    for (const url of crls) {
      if (inquiry.revoked) break;
      if (await inquiry.attempt('crl', url, () => this.#askCrl(inquiry, url))) break;
    }
    const responders = inquiry.sources('ocsp', (one) => read.ocspUris(one).slice(0, sourcesTried));
    for (const url of responders) {
      if (inquiry.settled) break;
      await inquiry.attempt('ocsp', url, async () =>
        inquiry.heard(await raced(this.#ocsp(url, inquiry), inquiry.signal), false),
      );
    }
    if (!inquiry.settled && needsNoRevocation(certificate)) inquiry.note({ kind: 'short-lived' });
    return inquiry.outcome();
  }

  async #askCrl(inquiry: Inquiry, url: string): Promise<boolean> {
    const { certificate, signal } = inquiry;
    const { crl } = await raced(this.#crl(url, inquiry.issuer), signal);
    if (crl.baseNumber !== undefined)
      throw new PkiError('unverified', 'CRL: a delta CRL in the place of a complete one');
    if (!covers(crl, certificate)) throw new PkiError('unverified', 'CRL: about other certificates');
    let delta: Crl | undefined;
    const freshest = (read.freshestCrl(certificate) ?? []).flatMap(({ uris }) => uris);
    for (const deltaUrl of [...new Set([...freshest, ...crl.deltaUris])].slice(0, sourcesTried)) {
      const found = await inquiry.attempt('delta-crl', deltaUrl, async () => {
        const candidate = await raced(this.#crl(deltaUrl, inquiry.issuer), signal);
        // A complete CRL that has caught up needs no delta.
        if (candidate.crl.baseNumber !== undefined && candidate.crl.number <= crl.number) return true;
        if (!deltaFits(crl, candidate.crl))
          throw new PkiError('unverified', 'CRL: a delta that does not fit');
        delta = candidate.crl;
        return true;
      });
      if (found) break;
    }
    const entry = revocation(certificate, crl, delta);
    inquiry.note(
      { kind: 'crl', url, crl, delta },
      entry && { at: entry.revocationDate, reason: entry.reason },
    );
    return true;
  }

  #crl(url: string, issuer: Certificate): Promise<CachedCrl> {
    return this.#crls.get(`${sha256(issuer.der)} ${url}`, async (previous) => {
      const octets = await this.#fetch(url, undefined, this.#options.crlOctets ?? crlOctets);
      if (previous && Buffer.compare(previous.crl.der, octets) === 0) return previous;
      const crl = await parseCrlInSlices(octets);
      verifyCrl(crl, issuer);
      assertCurrent(crl, this.#options.clock());
      // An older one than is known already, replayed or from a server behind.
      if (previous && crl.number < previous.crl.number) return previous;
      const { thisUpdate, nextUpdate } = crl;
      return { crl, thisUpdate, nextUpdate, octets: octets.length * 2 };
    });
  }

  #ocsp(url: string, { certificate, issuer }: Inquiry): Promise<CachedOcsp> {
    const key = `${sha256(certificate.der)} ${sha256(issuer.der)} ${url}`;
    return this.#responses.get(key, async (previous) => {
      const request = encodeOcspRequest(certificate, issuer);
      const octets = await this.#fetch(
        url,
        { type: 'application/ocsp-request', octets: request },
        ocspOctets,
      );
      const verdict = verifyOcsp(octets, certificate, issuer, this.#options.clock(), this.#options.ocsp);
      if (previous && verdict.thisUpdate < previous.thisUpdate) return previous;
      return { ...verdict, octets: octets.length + 512 };
    });
  }

  /** One fetch at a time for each URL and body, however many wait for it. */
  #fetch(
    url: string,
    body: { type: string; octets: Uint8Array } | undefined,
    maxOctets: number,
  ): Promise<Uint8Array> {
    const key = body ? `${url} ${createHash('sha256').update(body.octets).digest('hex')}` : url;
    let fetching = this.#fetching.get(key);
    if (!fetching) {
      fetching = this.#options
        .fetch({ url, maxOctets, ...(body && { body }) })
        .finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    return fetching;
  }
}

/** http URIs of complete, direct CRLs for all reasons. */
function crlUris(certificate: Certificate): string[] {
  const points = (read.crlDistributionPoints(certificate) ?? []).filter(
    (one) => !one.indirect && !one.someReasons,
  );
  return [...new Set(points.flatMap(({ uris }) => uris))].slice(0, sourcesTried);
}
