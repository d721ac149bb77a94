import { type KeyObject, createPublicKey } from 'node:crypto';
import {
  type Certificate,
  type DistrustEntry,
  type Evaluation,
  type HandshakeScts,
  PkiError,
  type TrustContext,
  type TrustStore,
  createTrustStore,
  issuedByOwnCa,
  loadTrustContexts,
} from '@mecai/pki';
import { RefusalCode } from '@mecai/proto/signer';
import { readCertificates, readLogKeys } from './certificates.ts';
import type { SignerConfig } from './config.ts';
import { hex, sha256 } from './digest.ts';
import { DistrustList } from './distrust-list.ts';
import { type Link, linkOf } from './link.ts';

export interface AssessedContext {
  readonly id: string;
  readonly trusted: boolean;
  /** Why not, or empty. */
  readonly reason: string;
  /** Positions in `links` of the path's certificates; none if not trusted. */
  readonly links: readonly number[];
}

export interface Accepted {
  readonly leafKey: KeyObject;
  /** At least one is trusted. */
  readonly contexts: readonly AssessedContext[];
  /** Of all paths, each once. */
  readonly links: readonly Link[];
}
export interface NotAccepted {
  readonly refusal: { readonly code: RefusalCode; readonly detail: string };
}
export type Assessment = Accepted | NotAccepted;

interface Kept {
  readonly at: number;
  readonly distrust: readonly DistrustEntry[];
  readonly assessment: Assessment;
  readonly dependsOnScts: boolean;
}

/** How long an assessment is used again, milliseconds. */
const freshMs = 60_000;
const maxKept = 10_000;

/** Whether a chain may be vouched for at all, and for whom. The same chain is asked about twice a day: kept. */
export class ChainPolicy {
  readonly #trust: TrustStore;
  readonly #ownCa: readonly Certificate[];
  readonly #distrust: Pick<DistrustList, 'inForce'>;
  readonly #kept = new Map<string, Kept>();

  constructor(trust: TrustStore, ownCa: readonly Certificate[], distrust: Pick<DistrustList, 'inForce'>) {
    this.#trust = trust;
    this.#ownCa = ownCa;
    this.#distrust = distrust;
  }

  get contexts(): readonly TrustContext[] {
    return this.#trust.contexts;
  }

  /**
   * @param now milliseconds since 1970
   * @param digests SHA-256 of each certificate of the chain
   * @param scts what the server sent in its handshakes; before they are known, what they may repair passes
   */
  assess(
    chain: readonly Uint8Array[],
    serverName: string,
    now: number,
    digests: readonly Uint8Array[] = chain.map(sha256),
    scts?: () => HandshakeScts,
  ): Assessment {
    const id = [serverName, ...digests.map(hex)].join(' ');
    const distrust = this.#distrust.inForce(now);
    const kept = this.#kept.get(id);
    // Another list is another judgement.
    const same = kept?.distrust === distrust;
    const fresh = kept && same && now - kept.at < freshMs && now >= kept.at ? kept : undefined;
    const before = fresh ?? {
      at: now,
      distrust,
      ...this.#assess(chain, serverName, distrust, now, 'unknown'),
    };
    if (!fresh) {
      this.#kept.delete(id);
      this.#kept.set(id, before);
      if (this.#kept.size > maxKept) this.#kept.delete(this.#kept.keys().next().value!);
    }
    if (!scts || !before.dependsOnScts) return before.assessment;
    return this.#assess(chain, serverName, distrust, now, scts()).assessment;
  }

  #assess(
    chain: readonly Uint8Array[],
    serverName: string,
    distrust: readonly DistrustEntry[],
    now: number,
    scts: HandshakeScts | 'unknown',
  ): Pick<Kept, 'assessment' | 'dependsOnScts'> {
    let evaluation: Evaluation;
    let leafKey: KeyObject;
    const request = { chain, name: { dns: serverName }, now: new Date(now), distrust };
    try {
      evaluation = this.#trust.evaluate({ ...request, scts });
      const spki = Buffer.from(evaluation.leaf.spki);
      leafKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    } catch (error) {
      const detail = error instanceof PkiError ? error.message : 'the key of the leaf cannot be read';
      return refused(RefusalCode.REFUSAL_CODE_MALFORMED, detail);
    }
    if (issuedByOwnCa(evaluation, this.#ownCa)) {
      return refused(RefusalCode.REFUSAL_CODE_OWN_CA, 'the chain leads to the CA that runs this VA');
    }
    const links = new Map<string, Link>();
    const contexts = evaluation.contexts.map(({ id, trusted, path = [], reason }): AssessedContext => {
      const why = reason
        ? `${reason.code} (${reason.rule}): ${reason.certificate.subject}${reason.detail ? `: ${reason.detail}` : ''}`
        : '';
      return { id, trusted, reason: why, links: linksOf(path, chain, links) };
    });
    if (contexts.every(({ trusted }) => !trusted)) {
      const why = contexts.map(({ id, reason }) => `${id}: ${reason}`).join('; ');
      const distrusted = evaluation.contexts.some(({ reason }) => reason?.code === 'distrusted');
      const code = distrusted ? RefusalCode.REFUSAL_CODE_DISTRUSTED : RefusalCode.REFUSAL_CODE_UNTRUSTED;
      return refused(code, `no trust context accepts the chain: ${why}`);
    }
    const { dependsOnScts } = evaluation;
    if (dependsOnScts && scts === 'unknown') {
      // Without the SCTs that are hoped for, another path may be the one whose revocation counts.
      for (const { path = [] } of this.#trust.evaluate(request).contexts) linksOf(path, chain, links);
    }
    return { assessment: { leafKey, contexts, links: [...links.values()] }, dependsOnScts };
  }
}

/** Adds the path's links to those known and gives their positions. */
function linksOf(
  path: readonly Certificate[],
  chain: readonly Uint8Array[],
  links: Map<string, Link>,
): number[] {
  return path.slice(0, -1).map((certificate, index) => {
    const link = linkOf(certificate, path[index + 1]!, chain);
    const key = `${link.certificateHash} ${link.issuerHash}`;
    if (!links.has(key)) links.set(key, link);
    return [...links.keys()].indexOf(key);
  });
}

const refused = (code: RefusalCode, detail: string): { assessment: NotAccepted; dependsOnScts: boolean } => ({
  assessment: { refusal: { code, detail } },
  dependsOnScts: false,
});

export async function chainPolicyOf(
  config: Pick<SignerConfig, 'trustContexts' | 'sctLogKeys' | 'ownCa'>,
  distrust: DistrustList = new DistrustList(),
): Promise<ChainPolicy> {
  const logKeys = config.sctLogKeys.flatMap(readLogKeys);
  const trust = createTrustStore(await loadTrustContexts(config.trustContexts), {
    // Without keys, every SCT counts.
    ...(logKeys.length > 0 && { logKeys }),
  });
  return new ChainPolicy(trust, config.ownCa.flatMap(readCertificates), distrust);
}
