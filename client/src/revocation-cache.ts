/** What is known of the revocation of server certificates: from vouchers, stapled OCSP and whoever else was asked. */
import {
  type Certificate,
  needsNoRevocation,
  type OcspVerdict,
  parseCertificate,
  PkiError,
  type CertificateStatus as ServerStatus,
  verifyOcsp,
} from '@mecai/pki';
import type { Voucher } from '@mecai/voucher';
import { hash } from 'node:crypto';

export interface KnownStatus {
  readonly status: 'good' | 'revoked';
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export interface RevocationCacheOptions {
  /** Certificates remembered. Default 10,000. */
  readonly size?: number;
  /** A status older than this is not fresh, whatever its nextUpdate. Default ten days, as BR 4.9.10 for OCSP. */
  readonly maxAgeSeconds?: number;
}

export class RevocationCache {
  readonly #size: number;
  readonly #maxAgeMs: number;
  readonly #known = new Map<string, KnownStatus>();

  constructor({ size = 10_000, maxAgeSeconds = 864_000 }: RevocationCacheOptions = {}) {
    this.#size = size;
    this.#maxAgeMs = maxAgeSeconds * 1000;
  }

  /**
   * Takes over what a voucher says of a chain; the voucher itself must have been verified. A CRL that it names the
   * VA has read; an OCSP response is verified here. What cannot be verified, or is about other certificates, is
   * passed over.
   *
   * @param chain the server's, and where known those above it
   */
  importVoucher(voucher: Voucher, chain: readonly Certificate[], now: Date): void {
    const digests = [voucher.leaf, ...voucher.intermediates];
    for (const status of voucher.status) {
      const digest = digests[status.certificate]!;
      const certificate = chain.find((one) => Buffer.compare(sha256(one), digest) === 0);
      if (!certificate) continue;
      if ('ocsp' in status) this.importOcsp(status.ocsp, certificate, chain, now);
      else {
        const { thisUpdate, nextUpdate } = status.crl;
        this.add(certificate, { status: 'good', thisUpdate, nextUpdate });
      }
    }
  }

  /** An OCSP response, stapled or out of a voucher. */
  importOcsp(response: Uint8Array, certificate: Certificate, chain: readonly Certificate[], now: Date): void {
    for (const issuer of chain) {
      if (Buffer.compare(issuer.subject, certificate.issuer) !== 0) continue;
      const verdict = verified(response, certificate, issuer, now);
      if (!verdict || verdict.status === 'unknown') continue;
      const { status, thisUpdate, nextUpdate } = verdict;
      this.add(certificate, { status, thisUpdate, nextUpdate });
    }
  }

  /** What a revocation source of packages/pki found out. */
  importStatus({ certificate, status, evidence }: ServerStatus, now: Date): void {
    if (status === 'revoked') {
      this.add(certificate, { status, thisUpdate: now, nextUpdate: now });
      return;
    }
    for (const one of evidence) {
      if (one.kind === 'short-lived') continue;
      const { thisUpdate, nextUpdate } = one.kind === 'ocsp' ? one.verdict : one.crl;
      if (status === 'good') this.add(certificate, { status, thisUpdate, nextUpdate });
    }
  }

  /** The newest statement counts, but whoever is known to be revoked stays so. */
  add(certificate: Certificate, status: KnownStatus): void {
    const key = keyOf(certificate);
    const known = this.#known.get(key);
    if (known && (known.status === 'revoked' || known.thisUpdate > status.thisUpdate)) {
      if (status.status !== 'revoked') return;
    }
    this.#known.delete(key);
    if (this.#known.size >= this.#size) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(key, status);
  }

  status(certificate: Certificate, now: Date): 'good' | 'revoked' | 'stale' | 'unknown' {
    const known = this.#known.get(keyOf(certificate));
    if (known?.status === 'revoked') return 'revoked';
    if (known && known.nextUpdate >= now && now.getTime() - known.thisUpdate.getTime() <= this.#maxAgeMs) {
      return 'good';
    }
    if (needsNoRevocation(certificate)) return 'good';
    return known ? 'stale' : 'unknown';
  }
}

function verified(
  response: Uint8Array,
  certificate: Certificate,
  issuer: Certificate,
  now: Date,
): OcspVerdict | undefined {
  try {
    return verifyOcsp(response, certificate, issuer, now);
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

/** Those that can be read; what cannot is for the check to name. */
export const readableCertificates = (chain: readonly Uint8Array[]): Certificate[] =>
  chain.flatMap((one) => {
    try {
      return parseCertificate(one);
    } catch (error) {
      if (error instanceof PkiError) return [];
      throw error;
    }
  });

const sha256 = (certificate: Certificate): Uint8Array => hash('sha256', certificate.der, 'buffer');
const keyOf = (certificate: Certificate): string => hash('sha256', certificate.der, 'base64');
