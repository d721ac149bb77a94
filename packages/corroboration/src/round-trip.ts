/**
 * Declared places held against the speed of light. An agent asks all others for an echo of a nonce; nobody can sign the
 * nonce before it has it, so the time until the signed echo arrives is at least that of light there and back:
 *
 *   round trip >= 2 · distance / c
 *
 * A shorter one proves that one of the two is not where it says, or that the one who measured lies; which, the other
 * pairs tell. A longer one proves nothing: networks make detours, and an agent can wait. So an agent can be shown to be
 * nearer to another than it says, never to be farther away.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import type { RoundTrip } from '@mecai/proto';
import { type Place, distanceKm } from '@mecai/addresses';
import type { Agent, Registry } from './registry.ts';

/** In vacuum: in glass light takes half as long again, but there are also radio links. */
const lightKmPerMs = 299.792458;
/** Cities are declared, not racks: both together. */
const toleranceKm = 100;
/** Of `distanceKm` on the mean sphere. */
const sphereError = 0.005;
/** What is not said again is forgotten. */
const forgetAfterMs = 600_000;

// Keep these signatures from being ones of anything else; names are single tokens, so nothing runs into another.
const signedEcho = (asker: string, name: string, nonce: Uint8Array) =>
  Buffer.concat([Buffer.from(`MECAI-echo-v1\0${asker}\0${name}\0`, 'latin1'), nonce]);
const signedTrip = (asker: string, { peer, micros, nonce, echo }: Omit<RoundTrip, 'signature'>) =>
  Buffer.concat([Buffer.from(`MECAI-round-trip-v1\0${asker}\0${peer}\0${micros}\0`, 'latin1'), nonce, echo]);

export const echoNonceOctets = 32;

/** The answer of `name` to `asker`. */
export const signEcho = (asker: string, name: string, nonce: Uint8Array, key: KeyObject): Uint8Array =>
  sign('sha256', signedEcho(asker, name, nonce), key);

/** What `asker` measured. */
export const signRoundTrip = (
  asker: string,
  trip: Omit<RoundTrip, 'signature'>,
  key: KeyObject,
): RoundTrip => ({ ...trip, signature: sign('sha256', signedTrip(asker, trip), key) });

/** Both agents signed it. */
export const verifyRoundTrip = (asker: Agent, peer: Agent, trip: RoundTrip): boolean =>
  trip.nonce.length === echoNonceOctets &&
  // 72 octets hold any DER signature of P-256.
  trip.echo.length <= 72 &&
  trip.signature.length <= 72 &&
  verify('sha256', signedTrip(asker.name, trip), asker.publicKey, trip.signature) &&
  verify('sha256', signedEcho(asker.name, peer.name, trip.nonce), peer.publicKey, trip.echo);

/** Milliseconds below which one of two is not where it says; 0 for neighbours. */
export const leastRoundTripMs = (a: Place, b: Place): number =>
  (2 * Math.max(0, distanceKm(a, b) * (1 - sphereError) - toleranceKm)) / lightKmPerMs;

interface Doubt {
  readonly asker: Agent;
  readonly peer: Agent;
  readonly micros: number;
  readonly at: number;
}

/** Hears what agents measured, and keeps what cannot be. */
export class PlaceDoubts {
  readonly #registry: () => Pick<Registry, 'agents'>;
  readonly #now: () => number;
  readonly #doubts = new Map<string, Doubt>();

  /** @param now milliseconds */
  constructor(registry: () => Pick<Registry, 'agents'>, now: () => number) {
    this.#registry = registry;
    this.#now = now;
  }

  /** @param name who says so, on nats-server's word; only what proves a contradiction is worth verifying */
  hear(name: string, trip: RoundTrip): void {
    const { agents } = this.#registry();
    const asker = agents.get(name);
    const peer = agents.get(trip.peer);
    if (!asker || !peer || asker === peer) return;
    const pair = `${name} ${peer.name}`;
    this.#doubts.delete(pair);
    if (!(trip.micros / 1000 < leastRoundTripMs(asker, peer)) || !verifyRoundTrip(asker, peer, trip)) return;
    this.#doubts.set(pair, { asker, peer, micros: trip.micros, at: this.#now() });
  }

  /** What contradicts the place of this agent, in words: one for each agent on the other side. */
  of(name: string): string[] {
    const fastest = new Map<string, Doubt>();
    for (const doubt of this.#current()) {
      const other = doubt.asker.name === name ? doubt.peer : doubt.asker;
      if (doubt.asker.name !== name && doubt.peer.name !== name) continue;
      const known = fastest.get(other.name);
      if (!known || doubt.micros < known.micros) fastest.set(other.name, doubt);
    }
    return Array.from(fastest, ([other, { asker, peer, micros }]) => {
      const took = (micros / 1000).toFixed(1);
      const least = leastRoundTripMs(asker, peer).toFixed(1);
      return `place: ${other} is ${took} ms away and back, light takes ${least} ms: one of the two is not where it says`;
    }).toSorted();
  }

  /** Those that still are: who has gone, moved, or has another key since is judged anew. */
  *#current(): Generator<Doubt> {
    const { agents } = this.#registry();
    const now = this.#now();
    for (const [pair, doubt] of this.#doubts) {
      const same = [doubt.asker, doubt.peer].every((one) => isSame(one, agents.get(one.name)));
      if (same && now - doubt.at <= forgetAfterMs) yield doubt;
      else this.#doubts.delete(pair);
    }
  }
}

const isSame = (then: Agent, now: Agent | undefined): boolean =>
  now !== undefined &&
  now.keyId === then.keyId &&
  now.latitude === then.latitude &&
  now.longitude === then.longitude;
