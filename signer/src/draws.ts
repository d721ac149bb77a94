import type { Agent } from '@mecai/corroboration';
import type { Target } from '@mecai/proto';
import type { Link } from './link.ts';

/** One open question: who was drawn to look at what, for which coordinator. */
export interface OpenDraw {
  readonly nonce: Uint8Array;
  readonly coordinator: string;
  readonly targets: readonly Target[];
  readonly chain: readonly Uint8Array[];
  /** SHA-256 of each certificate of the chain. */
  readonly digests: readonly Uint8Array[];
  /** What revocation evidence may be handed in about. */
  readonly links: readonly Link[];
  /** In the order drawn. */
  readonly agents: ReadonlyMap<string, Agent>;
  /** Registry the agents come from. */
  readonly registryVersion: number;
  /** Milliseconds by the clock that nobody sets, as all times here. */
  readonly drawnAt: number;
  readonly expiresAt: number;
  /** What draws are counted by, see `endpointsOf`. */
  readonly endpoints: readonly string[];
}

export interface DrawLimits {
  /** Open draws of one coordinator. */
  readonly open: number;
  /** Times that evidence may be handed in for one draw. */
  readonly attempts: number;
  /** Draws of one coordinator for one endpoint that are open, or came to nothing within `windowMs`. */
  readonly perEndpoint: number;
  readonly windowMs: number;
}

/**
 * Draws that wait for evidence. A coordinator could draw again and again until chance gives it the perspectives
 * it likes: draws without a voucher are therefore counted, reported, and limited by endpoint. Open ones count
 * too, or it would open thousands at once and keep the best. Each coordinator has limits of its own: a captured
 * one cannot use up another's.
 */
export class Draws {
  /** May be changed at any time. */
  limits: DrawLimits;
  readonly #abandoned: (draw: OpenDraw) => void;
  // Both maps are in order of time, so the expired are at the front.
  readonly #open = new Map<string, OpenDraw>();
  readonly #failures = new Map<string, number[]>();
  readonly #openOf = new Tally();
  readonly #openAt = new Tally();
  readonly #attempts = new WeakMap<OpenDraw, number>();

  /** @param abandoned called for each draw that expired without a voucher */
  constructor(limits: DrawLimits, abandoned: (draw: OpenDraw) => void) {
    this.limits = limits;
    this.#abandoned = abandoned;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Why this coordinator may open no draw now, or undefined. */
  limitReached(coordinator: string, endpoints: readonly string[], now: number): string | undefined {
    this.expire(now);
    const { open, perEndpoint, windowMs } = this.limits;
    if (this.#openOf.of(coordinator) >= open) return `${open} draws are open`;
    const since = now - windowMs;
    for (const endpoint of endpoints) {
      const key = slot(coordinator, endpoint);
      const failed = (this.#failures.get(key) ?? []).filter((time) => time > since).length;
      const unmet = this.#openAt.of(key) + failed;
      if (unmet >= perEndpoint) {
        return (
          `${unmet} draws for this certificate at this endpoint are open or came to nothing in the last ` +
          `${windowMs / 1000} s`
        );
      }
    }
    return undefined;
  }

  add(draw: OpenDraw): void {
    this.#open.set(nonceKey(draw.nonce), draw);
    this.#tally(draw, 1);
  }

  /** The draw, if it is this coordinator's and not too old. It stays open until `close`. */
  find(nonce: Uint8Array, coordinator: string, now: number): OpenDraw | undefined {
    this.expire(now);
    const draw = this.#open.get(nonceKey(nonce));
    return draw?.coordinator === coordinator ? draw : undefined;
  }

  /** Counts an attempt to meet the draw; false when there were too many. */
  attempt(draw: OpenDraw): boolean {
    const attempts = (this.#attempts.get(draw) ?? 0) + 1;
    this.#attempts.set(draw, attempts);
    return attempts <= this.limits.attempts;
  }

  /** Takes the draw away: no second voucher comes from it. */
  close(draw: OpenDraw): void {
    if (this.#open.delete(nonceKey(draw.nonce))) this.#tally(draw, -1);
  }

  /** Lets go of what is too old. Work is in proportion to that, not to what is open. */
  expire(now: number): void {
    for (const draw of this.#open.values()) {
      if (draw.expiresAt > now) break;
      this.close(draw);
      for (const endpoint of draw.endpoints) {
        const key = slot(draw.coordinator, endpoint);
        const times = this.#failures.get(key) ?? [];
        this.#failures.delete(key);
        this.#failures.set(key, [...times, now].slice(-this.limits.perEndpoint));
      }
      this.#abandoned(draw);
    }
    const since = now - this.limits.windowMs;
    for (const [key, times] of this.#failures) {
      if (times.at(-1)! > since) break;
      this.#failures.delete(key);
    }
  }

  #tally(draw: OpenDraw, change: 1 | -1): void {
    this.#openOf.add(draw.coordinator, change);
    for (const endpoint of draw.endpoints) this.#openAt.add(slot(draw.coordinator, endpoint), change);
  }
}

/** Counts by name; a name at zero takes no room. */
class Tally {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, change: number): void {
    const count = this.of(name) + change;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}

const slot = (coordinator: string, endpoint: string) => `${coordinator} ${endpoint}`;

const nonceKey = (nonce: Uint8Array) =>
  Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length).toString('latin1');
