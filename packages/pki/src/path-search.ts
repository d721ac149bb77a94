/**
 * Paths from a leaf up to anchors, each link judged as it is added (RFC 5280 section 6.1, built upwards):
 * what fails at a link fails for every path above it.
 */
import { findExtension } from './certificate.ts';
import { extensionOids } from './extensions.ts';
import { type Fault, fault } from './fault.ts';
import type { Budgets, GraphView } from './graph.ts';
import { nameText } from './name.ts';
import { comparisons, constraintBreach } from './name-constraints.ts';
import { policyHolds } from './policy.ts';
import { findings, type Profile, type Role } from './profile.ts';
import type { Vertex } from './vertex.ts';

/** A fault and where it was found. */
export interface Located {
  readonly vertex: Vertex;
  readonly fault: Fault;
}

export interface PathVisitor {
  /** Whether anybody still wants a path to this vertex as an anchor. */
  isAnchor(vertex: Vertex): boolean;
  /** A path that holds, leaf first, up to an anchor. Returns whether to go on searching. */
  arrived(path: readonly Vertex[]): boolean;
}

export class PathSearch {
  /** The broken rule that was met furthest up, else where the search ended. */
  furthest: Located | undefined;
  #rank = -1;
  #steps: number;
  #comparisons: number;
  readonly #view: GraphView;
  readonly #visitor: PathVisitor;
  readonly #profile: Profile;
  readonly #budgets: Budgets;
  /** Whole seconds since 1970. */
  readonly #now: number;

  constructor(view: GraphView, visitor: PathVisitor, profile: Profile, budgets: Budgets, now: Date) {
    this.#view = view;
    this.#visitor = visitor;
    this.#profile = profile;
    this.#budgets = budgets;
    this.#steps = budgets.steps;
    this.#comparisons = budgets.comparisons;
    this.#now = seconds(now);
  }

  /** Judges the leaf, then searches. */
  run(leaf: Vertex): void {
    const found = findings(leaf, 'leaf', this.#profile).fault ?? this.#validity(leaf);
    if (found) this.note(leaf, found, 0);
    else this.#extend([leaf], new Set([leaf.entity]), 0);
  }

  note(vertex: Vertex, found: Fault, depth: number): void {
    // A rule that was broken says more than a path that led nowhere.
    const rank = found.code === 'no-issuer' ? depth : depth + this.#budgets.steps;
    if (rank <= this.#rank) return;
    this.#rank = rank;
    this.furthest = { vertex, fault: found };
  }

  /** Returns whether to go on. */
  #extend(path: Vertex[], entities: Set<string>, intermediates: number): boolean {
    const last = path.at(-1)!;
    const issuers = this.#view.issuers(last);
    const depth = path.length;
    if (issuers.length === 0) this.note(last, this.#orphan(last), depth - 1);
    for (const issuer of issuers) {
      if (entities.has(issuer.entity)) continue;
      if (this.#steps-- <= 0) {
        this.#view.exhausted = true;
        this.note(last, fault('budget', 'RFC 4158 5', 'too many links to follow'), depth);
        return false;
      }
      if (this.#visitor.isAnchor(issuer)) {
        const broken =
          this.#linkFault(path, issuer, 'listed-anchor', intermediates) ?? this.#policyFault(path);
        if (broken) this.note(broken.vertex, broken.fault, depth);
        else if (!this.#visitor.arrived([...path, issuer])) return false;
      }
      const top = issuer.selfIssued && this.#view.issuers(issuer).length === 0;
      if (top) {
        this.note(issuer, this.#orphan(issuer), depth);
        continue;
      }
      const broken =
        this.#linkFault(path, issuer, 'ca', intermediates) ??
        (intermediates + (issuer.selfIssued ? 0 : 1) > this.#budgets.intermediates
          ? { vertex: issuer, fault: fault('path-length', 'RFC 4158 5', 'too many intermediates') }
          : undefined);
      if (broken) {
        this.note(broken.vertex, broken.fault, depth);
        continue;
      }
      path.push(issuer);
      entities.add(issuer.entity);
      const more = this.#extend(path, entities, intermediates + (issuer.selfIssued ? 0 : 1));
      path.pop();
      entities.delete(issuer.entity);
      if (!more) return false;
    }
    return true;
  }

  /** What is wrong with `issuer` above `path`. */
  #linkFault(
    path: readonly Vertex[],
    issuer: Vertex,
    role: Role,
    intermediates: number,
  ): Located | undefined {
    const found = findings(issuer, role, this.#profile);
    const broken = found.fault ?? this.#validity(issuer);
    if (broken) return { vertex: issuer, fault: broken };
    if (found.pathLength !== undefined && intermediates > found.pathLength) {
      const detail = `${intermediates} intermediates below, ${found.pathLength} allowed`;
      return { vertex: issuer, fault: fault('path-length', 'RFC 5280 4.2.1.9', detail) };
    }
    if (!found.constraints) return undefined;
    for (const [index, vertex] of path.entries()) {
      // Self-issued certificates are exempt, except the last of the path (RFC 5280 section 4.2.1.10).
      if (vertex.selfIssued && index > 0) continue;
      const alternative = findings(vertex, index === 0 ? 'leaf' : 'ca', this.#profile).names;
      const names = { alternative, subject: vertex.certificate.subject };
      this.#comparisons -= comparisons(names, found.constraints);
      if (this.#comparisons < 0) {
        this.#view.exhausted = true;
        return {
          vertex,
          fault: fault('budget', 'RFC 5280 4.2.1.10', 'too many names under too many constraints'),
        };
      }
      const breach = constraintBreach(names, found.constraints);
      if (breach !== undefined)
        return { vertex, fault: fault('name-constraints', 'RFC 5280 4.2.1.10', breach) };
    }
    return undefined;
  }

  #policyFault(path: readonly Vertex[]): Located | undefined {
    // Without a CA that requires a policy there is nothing to fail.
    if (!path.some((vertex) => findExtension(vertex.certificate, extensionOids.policyConstraints)))
      return undefined;
    const leaf = path[0]!;
    if (policyHolds(path.toReversed())) return undefined;
    return {
      vertex: leaf,
      fault: fault('policy', 'RFC 5280 6.1.5', 'a policy is required, and none is valid'),
    };
  }

  #validity({ certificate: { notBefore, notAfter } }: Vertex): Fault | undefined {
    // Inclusive at both ends, in whole seconds (RFC 5280 section 4.1.2.5).
    if (this.#now < seconds(notBefore)) {
      return fault('not-yet-valid', 'RFC 5280 4.1.2.5', `valid from ${notBefore.toISOString()}`);
    }
    if (this.#now > seconds(notAfter)) {
      return fault('expired', 'RFC 5280 4.1.2.5', `valid until ${notAfter.toISOString()}`);
    }
    return undefined;
  }

  #orphan(vertex: Vertex): Fault {
    const candidates = this.#view.candidates(vertex);
    if (candidates.length > 0 && this.#view.exhausted) {
      return fault('budget', 'RFC 4158 5', 'too many signatures to check');
    }
    if (candidates.length > 0) {
      return fault('bad-signature', 'RFC 5280 6.1.3', 'no certificate with the issuer name signed it');
    }
    if (vertex.selfIssued)
      return fault('no-issuer', 'RFC 5280 6.1.1', 'self-issued, and not an anchor of this context');
    return fault(
      'no-issuer',
      'RFC 5280 6.1.3',
      `no certificate for issuer ${nameText(vertex.certificate.issuer)}`,
    );
  }
}

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000);
