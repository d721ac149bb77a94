/**
 * The issuing graph: who signed whom, as far as names suggest it and signatures prove it. Anchors and known
 * intermediates are in it for good; what a server sends joins for one evaluation. Proven links are kept by
 * hash in a bounded cache, as are read certificates.
 */
import { PkiError } from './error.ts';
import { LruMap } from './lru.ts';
import { readVertex, sha256, signed, type Vertex, vertexOf } from './vertex.ts';
import type { Certificate } from './certificate.ts';

export interface GraphSizes {
  /** Read certificates kept. */
  readonly certificates: number;
  /** Checked signatures kept. */
  readonly links: number;
}

/** Larger certificates are read anew each time, so that hostile ones cannot fill the memory. */
const keptOctets = 16_384;

export class IssuingGraph {
  readonly #standing = new Map<string, Vertex>();
  readonly #bySubject = new Map<string, Vertex[]>();
  readonly #read: LruMap<string, Vertex>;
  readonly #links: LruMap<string, boolean>;

  constructor(sizes: GraphSizes) {
    this.#read = new LruMap(sizes.certificates);
    this.#links = new LruMap(sizes.links);
  }

  /** Adds a certificate for good. */
  add(certificate: Certificate): Vertex {
    const hash = sha256(certificate.der);
    let vertex = this.#standing.get(hash);
    if (!vertex) {
      vertex = vertexOf(certificate, hash);
      this.#standing.set(hash, vertex);
      append(this.#bySubject, vertex);
    }
    return vertex;
  }

  /** The vertex of these bytes; throws `PkiError` where they are no certificate. */
  read(bytes: Uint8Array): Vertex {
    const hash = sha256(bytes);
    let vertex = this.#standing.get(hash) ?? this.#read.get(hash);
    if (!vertex) {
      // A copy, so that the cache does not keep a whole TLS flight alive.
      vertex = readVertex(new Uint8Array(bytes), hash);
      if (bytes.length <= keptOctets) this.#read.set(hash, vertex);
    }
    return vertex;
  }

  standing(subject: string): readonly Vertex[] {
    return this.#bySubject.get(subject) ?? [];
  }

  /** A signature already checked, or undefined. */
  knownLink(subject: Vertex, issuer: Vertex): boolean | undefined {
    return this.#links.get(subject.sha256 + issuer.spkiSha256);
  }

  checkLink(subject: Vertex, issuer: Vertex): boolean {
    const proven = signed(issuer, subject);
    this.#links.set(subject.sha256 + issuer.spkiSha256, proven);
    return proven;
  }
}

export function append(bySubject: Map<string, Vertex[]>, vertex: Vertex): void {
  const same = bySubject.get(vertex.subject);
  if (same) same.push(vertex);
  else bySubject.set(vertex.subject, [vertex]);
}

/** What one evaluation may cost. */
export interface Budgets {
  /** Certificates of a chain that are read; the rest is ignored. */
  readonly certificates: number;
  /** Octets of a chain that are read; the rest is ignored. */
  readonly octets: number;
  /** Signatures checked anew. */
  readonly signatures: number;
  /** Links followed while looking for paths. */
  readonly steps: number;
  /** Names compared with constraints. */
  readonly comparisons: number;
  /** Intermediates in a path, self-issued ones not counted. */
  readonly intermediates: number;
}

export const defaultBudgets: Budgets = {
  certificates: 128,
  octets: 1_048_576,
  signatures: 64,
  steps: 1_024,
  comparisons: 262_144,
  intermediates: 9,
};

/** The graph as one evaluation sees it: with the bag, and with what may still be spent. */
export class GraphView {
  /** A budget ran out: what was not found may yet be there. */
  exhausted = false;
  readonly #graph: IssuingGraph;
  readonly #bag = new Map<string, Vertex[]>();
  readonly #issuers = new Map<Vertex, readonly Vertex[]>();
  /** The chain as sent; undefined where it is unreadable. */
  readonly chain: readonly (Vertex | undefined)[];
  #signatures: number;

  constructor(graph: IssuingGraph, chain: readonly Uint8Array[], budgets: Budgets) {
    this.#graph = graph;
    this.#signatures = budgets.signatures;
    const seen = new Set<string>();
    const read: (Vertex | undefined)[] = [];
    let octets = 0;
    for (const bytes of chain) {
      octets += bytes.length;
      if (read.length > 0 && (read.length >= budgets.certificates || octets > budgets.octets)) {
        this.exhausted = true;
        break;
      }
      const vertex = read.length === 0 ? graph.read(bytes) : readable(graph, bytes);
      read.push(vertex);
      if (vertex && read.length > 1 && !seen.has(vertex.sha256)) {
        seen.add(vertex.sha256);
        append(this.#bag, vertex);
      }
    }
    this.chain = read;
  }

  /**
   * Certificates of other entities, the most promising first, whose key is proven to have signed this one.
   * Whether they may is not asked here.
   */
  issuers(subject: Vertex): readonly Vertex[] {
    let found = this.#issuers.get(subject);
    if (!found) {
      found = this.candidates(subject).filter((candidate) => this.#linked(subject, candidate));
      this.#issuers.set(subject, found);
    }
    return found;
  }

  /** Certificates of other entities that bear the issuer's name. */
  candidates(subject: Vertex): Vertex[] {
    const standing = this.#graph.standing(subject.issuer);
    const sent = this.#bag.get(subject.issuer) ?? [];
    // A certificate of the same subject and key leads nowhere new.
    const all = [...standing, ...sent.filter((one) => !standing.includes(one))].filter(
      (candidate) => candidate.entity !== subject.entity,
    );
    if (all.length < 2 || subject.authorityKeyIdentifier === undefined) return all;
    // The key identifier is a hint, not a condition (RFC 4158 section 3.5.12).
    const hinted = (one: Vertex) => one.keyIdentifier === subject.authorityKeyIdentifier;
    return [...all.filter(hinted), ...all.filter((one) => !hinted(one))];
  }

  #linked(subject: Vertex, issuer: Vertex): boolean {
    const known = this.#graph.knownLink(subject, issuer);
    if (known !== undefined) return known;
    if (this.#signatures === 0) {
      this.exhausted = true;
      return false;
    }
    this.#signatures--;
    return this.#graph.checkLink(subject, issuer);
  }

  /** Every certificate from which proven links lead down to `leaf`, nearest first. */
  ancestors(leaf: Vertex): Vertex[] {
    const found = new Set<Vertex>();
    const queue = [leaf];
    for (const vertex of queue) {
      for (const issuer of this.issuers(vertex)) {
        if (issuer === leaf || found.has(issuer)) continue;
        found.add(issuer);
        queue.push(issuer);
      }
    }
    return [...found];
  }
}

function readable(graph: IssuingGraph, bytes: Uint8Array): Vertex | undefined {
  try {
    return graph.read(bytes);
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}
