/** Whether this VA's own certificates are revoked, as far as is known, and what vouchers carry of that. */
import {
  type Certificate,
  type CertificateStatus,
  type RevocationDocument,
  type RevocationPolicy,
  refusedBy,
} from '@mecai/pki';
import { voucherLimits } from '@mecai/voucher';
import { type Link, linkOf } from './link.ts';
import { describeStatus } from './revocation-check.ts';
import type { RevocationEvidence } from './revocation-evidence.ts';
import { issued } from './va-chain.ts';

interface State {
  /** Why nothing may be signed. */
  readonly refusal: string | undefined;
  readonly documents: readonly RevocationDocument[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** How long a look at the evidence stands, milliseconds. */
const freshMs = 1_000;
/** Of all documents in one voucher. */
const maxOctets = voucherLimits.revocationOctets;

export class VaRevocation {
  /** The VA certificate first; then those of the certificate that is to follow it. */
  readonly links: readonly Link[];
  readonly #inUse: readonly Link[];
  readonly #evidence: RevocationEvidence;
  readonly #policy: RevocationPolicy;
  #state: State | undefined;

  /** @param evidence for these certificates alone: what is known of them must not be crowded out */
  constructor(
    inUse: readonly Link[],
    evidence: RevocationEvidence,
    policy: RevocationPolicy,
    next: readonly Link[] = [],
  ) {
    this.#inUse = inUse;
    this.links = [...inUse, ...next];
    this.#evidence = evidence;
    this.#policy = policy;
  }

  /** @throws PkiError what is not current, or not about the certificate */
  async add(kind: RevocationDocument['kind'], der: Uint8Array, link: Link, now: () => Date): Promise<void> {
    if (kind === 'crl') await this.#evidence.addCrl(der, link, now);
    else this.#evidence.addOcsp(der, link, now());
    this.#state = undefined;
  }

  /**
   * Why nothing may be signed: a certificate is revoked, or the policy asks for more than is known.
   *
   * @param now milliseconds since 1970
   */
  refusal(now: number): string | undefined {
    return this.#look(now).refusal;
  }

  /** For the voucher: the OCSP response about each certificate where there is one, else the CRL, if it fits. */
  documents(now: number): readonly RevocationDocument[] {
    return this.#look(now).documents;
  }

  #look(now: number): State {
    const state = this.#state;
    if (state && now >= state.at && now < state.at + freshMs) return state;
    const statuses = this.#inUse.map((link) => this.#evidence.status(link, new Date(now)));
    const refused = refusedBy(statuses, this.#policy);
    this.#state = {
      refusal: refused && `the VA's own certificate: ${describeStatus(refused)}`,
      documents: documentsOf(statuses),
      at: now,
    };
    return this.#state;
  }
}

function documentsOf(statuses: readonly CertificateStatus[]): RevocationDocument[] {
  let room: number = maxOctets;
  return statuses.flatMap(({ evidence }): RevocationDocument[] => {
    const documents = evidence.flatMap((one): RevocationDocument[] => {
      if (one.kind === 'short-lived') return [];
      return [{ kind: one.kind, der: one.kind === 'ocsp' ? one.verdict.der : one.crl.der }];
    });
    const fitting = documents.filter(({ der }) => der.length <= room);
    const best = fitting.find(({ kind }) => kind === 'ocsp') ?? fitting[0];
    if (!best) return [];
    room -= best.der.length;
    return [best];
  });
}

/**
 * Each certificate of the VA's chain and the one that issued it; the last is left out if its issuer is not known.
 *
 * @param cas certificates of the CA that runs the VA
 */
export function vaLinks(chain: readonly Certificate[], cas: readonly Certificate[]): Link[] {
  return chain.flatMap((certificate, i) => {
    const issuer = chain[i + 1] ?? cas.find((ca) => issued(ca, certificate));
    return issuer ? [linkOf(certificate, issuer, [])] : [];
  });
}
