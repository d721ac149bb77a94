import type { Agent } from '@mecai/corroboration';
import type { Target } from '@mecai/proto';

/** One open question: who was drawn to look at what, for which coordinator. */
export interface OpenDraw {
  readonly nonce: Uint8Array;
  readonly coordinator: string;
  readonly targets: readonly Target[];
  readonly chain: readonly Uint8Array[];
  readonly trustContexts: readonly string[];
  /** In the order drawn. */
  readonly agents: ReadonlyMap<string, Agent>;
  /** Registry the agents come from. */
  readonly registryVersion: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** What failures are counted by: the leaf at the endpoint. */
  readonly endpoint: string;
}

export interface DrawLimits {
  /** Milliseconds within which the evidence has to arrive. */
  readonly ttlMs: number;
  /** Open draws in all. */
  readonly open: number;
  /** Times that evidence may be handed in for one draw. */
  readonly attempts: number;
  /** Draws for one leaf at one endpoint that may come to nothing within `failureWindowMs`. */
  readonly failures: number;
  readonly failureWindowMs: number;
}

export const defaultDrawLimits: DrawLimits = {
  ttlMs: 30_000,
  open: 20_000,
  attempts: 8,
  failures: 10,
  failureWindowMs: 60_000,
};

/**
 * Draws that wait for evidence. A coordinator could draw again and again until chance gives it the perspectives
 * it likes: draws that come to nothing are therefore counted, reported, and limited by endpoint.
 */
export class Draws {
  readonly #limits: DrawLimits;
  readonly #abandoned: (draw: OpenDraw) => void;
  // Both maps are in order of time, so the expired are at the front.
  readonly #open = new Map<string, OpenDraw>();
  readonly #failures = new Map<string, number[]>();
  readonly #attempts = new WeakMap<OpenDraw, number>();

  /** @param abandoned called for each draw that expired without a voucher */
  constructor(limits: DrawLimits, abandoned: (draw: OpenDraw) => void) {
    this.#limits = limits;
    this.#abandoned = abandoned;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Why no draw may be opened now, or undefined. */
  limitReached(endpoint: string, now: number): string | undefined {
    this.expire(now);
    if (this.#open.size >= this.#limits.open) return `${this.#limits.open} draws are open`;
    const since = now - this.#limits.failureWindowMs;
    const failed = (this.#failures.get(endpoint) ?? []).filter((time) => time > since).length;
    return failed < this.#limits.failures
      ? undefined
      : `${failed} draws for this certificate at this endpoint came to nothing in the last ` +
          `${this.#limits.failureWindowMs / 1000} s`;
  }

  add(draw: OpenDraw): void {
    this.#open.set(key(draw.nonce), draw);
  }

  /** The draw, if it is this coordinator's and not too old. It stays open until `close`. */
  find(nonce: Uint8Array, coordinator: string, now: number): OpenDraw | undefined {
    this.expire(now);
    const draw = this.#open.get(key(nonce));
    return draw?.coordinator === coordinator ? draw : undefined;
  }

  /** Counts an attempt to meet the draw; false when there were too many. */
  attempt(draw: OpenDraw): boolean {
    const attempts = (this.#attempts.get(draw) ?? 0) + 1;
    this.#attempts.set(draw, attempts);
    return attempts <= this.#limits.attempts;
  }

  /** Takes the draw away: no second voucher comes from it. */
  close(draw: OpenDraw): void {
    this.#open.delete(key(draw.nonce));
  }

  expire(now: number): void {
    for (const [id, draw] of this.#open) {
      if (draw.expiresAt > now) break;
      this.#open.delete(id);
      const times = this.#failures.get(draw.endpoint) ?? [];
      this.#failures.delete(draw.endpoint);
      this.#failures.set(draw.endpoint, [...times.slice(1 - this.#limits.failures), now]);
      this.#abandoned(draw);
    }
    const since = now - this.#limits.failureWindowMs;
    for (const [endpoint, times] of this.#failures) {
      if (times.at(-1)! > since) break;
      this.#failures.delete(endpoint);
    }
  }
}

const key = (nonce: Uint8Array) =>
  Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length).toString('latin1');
