/**
 * Where traffic for one prefix goes when a victim and an attacker both announce it, after Gao and Rexford:
 *
 * | rule       | content                                                                                        |
 * | ---------- | ---------------------------------------------------------------------------------------------- |
 * | preference | a route by a customer before one by a peer before one by a provider; then the shortest AS path; |
 * |            | then the neighbour with the lowest AS number                                                   |
 * | export     | routes by customers (and one's own) go to everyone, all others to customers only               |
 *
 * Hence three passes: up from customer to provider, one step across to peers, down to customers.
 */
import type { AsGraph, Neighbours } from './as-graph.ts';

/** Whose announcement an AS follows. */
export const nobody = 0;
export const victim = 1;
export const attacker = 2;

export interface Announcement {
  /** Positions in the graph. */
  readonly victim: number;
  readonly attacker: number;
  readonly kind: HijackKind;
  /** ASes (1) that drop announcements which RPKI calls invalid (RFC 6811), by position. */
  readonly validating?: Uint8Array;
}

/**
 * | kind             | the attacker announces                                    | seen as invalid by RPKI  |
 * | ---------------- | --------------------------------------------------------- | ------------------------ |
 * | equally-specific | the victim's prefix as its own                            | yes                      |
 * | forged-origin    | the victim's prefix behind the victim's AS number         | no                       |
 * | sub-prefix       | a longer prefix, which wins wherever it is heard          | yes                      |
 */
export type HijackKind = (typeof hijackKinds)[number];
export const hijackKinds = ['equally-specific', 'forged-origin', 'sub-prefix'] as const;

/** Reused from one announcement to the next: one allocation for thousands of them. */
export class Routing {
  readonly #graph: AsGraph;
  readonly #origin: Uint8Array;
  /** The neighbour whose route was taken: the lowest of equals. */
  readonly #via: Uint32Array;
  /** In which pass, and at which length. */
  readonly #taken: Uint32Array;
  /** Positions by AS path length, in hops. */
  readonly #levels: number[][] = [];

  constructor(graph: AsGraph) {
    this.#graph = graph;
    this.#origin = new Uint8Array(graph.asns.length);
    this.#via = new Uint32Array(graph.asns.length);
    this.#taken = new Uint32Array(graph.asns.length);
  }

  /** @returns by position, `nobody`, `victim` or `attacker`; good until the next call */
  follow(announcement: Announcement): Uint8Array {
    const { kind } = announcement;
    const validating = kind === 'forged-origin' ? undefined : announcement.validating;
    const byVictim = { at: announcement.victim, who: victim, length: 0 };
    const byAttacker = { at: announcement.attacker, who: attacker, length: kind === 'forged-origin' ? 1 : 0 };
    if (kind !== 'sub-prefix') return this.#spread([byVictim, byAttacker], validating);
    // Another prefix, another table: the victim's route counts only where the attacker's is not heard.
    const heard = this.#spread([byAttacker], validating).slice();
    const origin = this.#spread([byVictim], undefined);
    for (let at = 0; at < heard.length; at++) if (heard[at] === attacker) origin[at] = attacker;
    origin[announcement.victim] = victim;
    return origin;
  }

  #spread(origins: readonly Origin[], validating: Uint8Array | undefined): Uint8Array {
    const levels = this.#levels;
    this.#origin.fill(nobody);
    for (const level of levels) level.length = 0;
    for (const { at, who, length } of origins) {
      this.#origin[at] = who;
      this.#taken[at] = 0;
      (levels[length] ??= []).push(at);
    }
    const { providers, peers, customers } = this.#graph;
    for (let length = 0; length < levels.length; length++) {
      this.#offer(levels[length]!, providers, length + 1, 1, validating);
    }
    // Peers hear what customers told, and nothing that a peer told.
    const byCustomers = levels.map((level) => level.slice());
    byCustomers.forEach((level, length) => this.#offer(level, peers, length + 1, 2, validating));
    for (let length = 0; length < levels.length; length++) {
      this.#offer(levels[length]!, customers, length + 1, 3, validating);
    }
    return this.#origin;
  }

  /** Whoever has no route yet takes it; of several at this length in this pass, the one by the lowest neighbour. */
  #offer(
    senders: readonly number[],
    { offsets, list }: Neighbours,
    length: number,
    pass: number,
    validating: Uint8Array | undefined,
  ): void {
    if (senders.length === 0) return;
    const level = (this.#levels[length] ??= []);
    const [origin, via, taken] = [this.#origin, this.#via, this.#taken];
    const now = length * 4 + pass;
    for (const from of senders) {
      const who = origin[from]!;
      const last = offsets[from + 1]!;
      for (let i = offsets[from]!; i < last; i++) {
        const to = list[i]!;
        if (origin[to] === nobody) {
          if (who === attacker && validating?.[to] === 1) continue;
          taken[to] = now;
          level.push(to);
        } else if (taken[to] !== now || via[to]! < from || (who === attacker && validating?.[to] === 1)) {
          continue;
        }
        origin[to] = who;
        via[to] = from;
      }
    }
  }
}

interface Origin {
  readonly at: number;
  readonly who: number;
  readonly length: number;
}
