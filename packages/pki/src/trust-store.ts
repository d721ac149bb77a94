/** Trust contexts evaluated together: one graph over the union of their anchors, one answer for each. */
import { anchorFault } from './anchor-constraints.ts';
import type { Certificate } from './certificate.ts';
import { type DistrustEntry, distrustText, matchesDistrust } from './distrust.ts';
import { PkiError } from './error.ts';
import { type Fault, fault } from './fault.ts';
import { type Budgets, defaultBudgets, GraphView, IssuingGraph } from './graph.ts';
import { matchesReference, type ReferenceName } from './host-name.ts';
import { nameText } from './name.ts';
import { PathSearch } from './path-search.ts';
import { findings, type Profile } from './profile.ts';
import { type HandshakeScts, type LogKey, type Sct, sctsOf, verifySct } from './sct.ts';
import { assertTci, type TrustAnchor, type TrustContext } from './trust-context.ts';
import type { Vertex } from './vertex.ts';

export interface TrustStoreOptions {
  /** Certificates that servers may leave out of their chains. */
  readonly knownIntermediates?: readonly Certificate[];
  /** Where given, only SCTs that one of these logs signed count. */
  readonly logKeys?: readonly LogKey[];
  readonly budgets?: Partial<Budgets>;
  readonly profile?: Profile;
  /** Whether a wildcard may not stand right above this domain (a public suffix list, say). */
  readonly isPublicSuffix?: (domain: string) => boolean;
  /** Read certificates and checked signatures kept, each. */
  readonly cacheSize?: number;
}

export interface EvaluationRequest {
  /** As sent: the leaf first, then a bag in any order. */
  readonly chain: readonly Uint8Array[];
  readonly name?: ReferenceName;
  readonly now: Date;
  /**
   * SignedCertificateTimestampLists from outside the certificate; they count only where log keys are configured.
   * `unknown`: they are yet to come, so that no anchor is ruled out for want of one.
   */
  readonly scts?: HandshakeScts | 'unknown';
  readonly distrust?: readonly DistrustEntry[];
}

/** A refusal names the certificate that failed and the rule. */
export interface Refusal extends Fault {
  readonly certificate: {
    /** Position in the chain as sent; undefined for one that the server did not send. */
    readonly index: number | undefined;
    readonly subject: string;
    readonly sha256: string;
  };
}

export interface ContextResult {
  readonly id: string;
  readonly trusted: boolean;
  /** Leaf first, anchor last; there if trusted. */
  readonly path?: readonly Certificate[];
  /** There if not trusted. */
  readonly reason?: Refusal;
}

export interface Evaluation {
  readonly leaf: Certificate;
  /** In the order in which the contexts were configured. */
  readonly contexts: readonly ContextResult[];
  /** The chain as sent; undefined where a certificate is unreadable or over budget. */
  readonly chain: readonly (Certificate | undefined)[];
  /** Whoever signed the leaf, or a certificate above it, by any link that was proven, trusted or not. */
  readonly ancestors: readonly Certificate[];
  /** A budget ran out, so `ancestors` may lack some. */
  readonly exhausted: boolean;
  /** An anchor's constraints asked for SCTs: others in the handshake, another answer. */
  readonly dependsOnScts: boolean;
}

interface Standing {
  readonly context: number;
  readonly anchor: TrustAnchor;
}

export class TrustStore {
  readonly contexts: readonly TrustContext[];
  readonly #options: TrustStoreOptions;
  readonly #profile: Profile;
  readonly #budgets: Budgets;
  readonly #graph: IssuingGraph;
  readonly #anchors = new Map<Vertex, Standing[]>();

  constructor(contexts: readonly TrustContext[], options: TrustStoreOptions = {}) {
    this.contexts = contexts;
    this.#options = options;
    this.#profile = options.profile ?? 'tls-br';
    this.#budgets = { ...defaultBudgets, ...options.budgets };
    const size = options.cacheSize ?? 4_096;
    this.#graph = new IssuingGraph({ certificates: size, links: size });
    if (new Set(contexts.map(({ id }) => id)).size !== contexts.length) {
      throw new PkiError('configuration', 'a trust context identifier twice');
    }
    for (const [context, { id, anchors }] of contexts.entries()) {
      assertTci(id);
      for (const anchor of anchors) {
        const vertex = this.#graph.add(anchor.certificate);
        const standing = this.#anchors.get(vertex);
        if (standing) standing.push({ context, anchor });
        else this.#anchors.set(vertex, [{ context, anchor }]);
      }
    }
    for (const certificate of options.knownIntermediates ?? []) this.#graph.add(certificate);
  }

  /** Throws `PkiError` when there is no leaf or it is no certificate; everything else is in the answer. */
  evaluate(request: EvaluationRequest): Evaluation {
    if (request.chain.length === 0) throw new PkiError('malformed', 'an empty chain');
    const view = new GraphView(this.#graph, request.chain, this.#budgets);
    const leaf = view.chain[0]!;
    const names = findings(leaf, 'leaf', this.#profile).names;
    const paths = new Map<number, readonly Vertex[]>();
    const refusals = new Map<number, { vertex: Vertex; fault: Fault }>();
    let dependsOnScts = false;
    const sctsBelow = (certificate: Certificate, issuer: Certificate) => {
      dependsOnScts = true;
      return this.#scts(certificate, issuer, request);
    };

    const search = new PathSearch(
      view,
      {
        isAnchor: (vertex) => this.#anchors.has(vertex),
        arrived: (path) => {
          const anchorVertex = path.at(-1)!;
          const certificates = path.map((vertex) => vertex.certificate);
          for (const { context, anchor } of this.#anchors.get(anchorVertex) ?? []) {
            if (paths.has(context)) continue;
            const found = this.#contextFault(context, anchor, path, certificates, request, names, sctsBelow);
            if (found) refusals.set(context, found);
            else paths.set(context, path);
          }
          return paths.size < this.contexts.length;
        },
      },
      this.#profile,
      this.#budgets,
      request.now,
    );
    const mismatch = this.#nameFault(leaf, request.name);
    if (mismatch) search.note(leaf, mismatch, 0);
    else search.run(leaf);

    const indexes = new Map(view.chain.map((vertex, index) => [vertex?.sha256, index] as const).toReversed());
    const contexts = this.contexts.map(({ id }, context): ContextResult => {
      const path = paths.get(context);
      if (path) return { id, trusted: true, path: path.map((vertex) => vertex.certificate) };
      const { vertex, fault: found } = refusals.get(context) ??
        search.furthest ?? { vertex: leaf, fault: fault('no-issuer', 'RFC 5280 6.1.1', 'no anchor') };
      const subject = nameText(vertex.certificate.subject);
      const certificate = { index: indexes.get(vertex.sha256), subject, sha256: vertex.sha256 };
      return { id, trusted: false, reason: { ...found, certificate } };
    });
    return {
      leaf: leaf.certificate,
      contexts,
      chain: view.chain.map((vertex) => vertex?.certificate),
      ancestors: view.ancestors(leaf).map((vertex) => vertex.certificate),
      exhausted: view.exhausted,
      dependsOnScts,
    };
  }

  #nameFault(leaf: Vertex, name: ReferenceName | undefined): Fault | undefined {
    const found = findings(leaf, 'leaf', this.#profile);
    if (!name || found.fault) return found.fault;
    const { isPublicSuffix } = this.#options;
    if (found.names && matchesReference(found.names, name, isPublicSuffix)) return undefined;
    const wanted = 'ip' in name ? name.ip : name.dns;
    return fault('name-mismatch', 'RFC 9525 6.3', `not for ${wanted.slice(0, 253)}`);
  }

  #contextFault(
    context: number,
    anchor: TrustAnchor,
    path: readonly Vertex[],
    certificates: readonly Certificate[],
    request: EvaluationRequest,
    names: ReturnType<typeof findings>['names'],
    sctsBelow: (certificate: Certificate, issuer: Certificate) => readonly Sct[],
  ): { vertex: Vertex; fault: Fault } | undefined {
    const { id, listed } = this.contexts[context]!;
    const vertex = path.at(-1)!;
    if (!listed) {
      const own = findings(vertex, 'anchor', this.#profile).fault;
      if (own) return { vertex, fault: own };
    }
    const certificate = certificates[0]!;
    const scts = () => sctsBelow(certificate, certificates[1]!);
    const sctsMayFollow = request.scts === 'unknown';
    const constrained = anchorFault(anchor, { certificate, names, scts, sctsMayFollow });
    if (constrained) return { vertex, fault: constrained };
    const match = matchesDistrust(request.distrust ?? [], certificates, id, request.now);
    if (!match) return undefined;
    const detail = distrustText(match.entry);
    return { vertex: path[match.index]!, fault: fault('distrusted', 'operator', detail) };
  }

  #scts(leaf: Certificate, issuer: Certificate, { scts: sent }: EvaluationRequest): readonly Sct[] {
    const { logKeys } = this.#options;
    // Whoever holds the leaf can make up what no log's key vouches for.
    const scts = sctsOf(leaf, logKeys && sent && sent !== 'unknown' ? sent : {});
    if (!logKeys) return scts;
    return scts.filter((sct) => logKeys.some((log) => verifySct(sct, log, leaf, issuer)));
  }
}

export const createTrustStore = (
  contexts: readonly TrustContext[],
  options?: TrustStoreOptions,
): TrustStore => new TrustStore(contexts, options);
