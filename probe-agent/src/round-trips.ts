/** How long other agents take to answer: the evidence that declared places are held against. */
import type { KeyObject } from 'node:crypto';
import { sameBytes } from '@mecai/addresses';
import { echoNonceOctets, signEcho, signRoundTrip } from '@mecai/corroboration';
import { Echo, type RoundTrip, isName, subjects } from '@mecai/proto';
import type { Msg, NatsConnection } from '@nats-io/transport-node';

export interface RoundTripsParts {
  readonly nats: Pick<NatsConnection, 'publish' | 'subscribe'>;
  readonly name: string;
  readonly key: KeyObject;
  /** Milliseconds, never running back. */
  readonly now: () => number;
  readonly randomBytes: (octets: number) => Uint8Array;
}

/** An agent that asks more often gets no answer: each costs a signature. */
const answerEveryMs = 100;
/** The shortest counts, until it is this old: agents move. */
const keepMs = 3_600_000;
const mostPeers = 1_000;
const mostQuestions = 16;

interface Kept {
  readonly trip: RoundTrip;
  readonly at: number;
}

export class RoundTrips {
  readonly #parts: RoundTripsParts;
  readonly #listen: (subject: string, take: (message: Msg) => void) => void;
  readonly #answered = new Map<string, number>();
  readonly #heardOf = new Set<string>();
  readonly #shortest = new Map<string, Kept>();
  /** The last few questions; what comes for one counts for that one. */
  readonly #asked: { readonly nonce: Uint8Array; readonly at: number }[] = [];
  #turn = 0;

  /** Answers from now on. */
  constructor(parts: RoundTripsParts) {
    this.#parts = parts;
    const { nats, name } = parts;
    this.#listen = (subject, take) =>
      nats.subscribe(subject, {
        callback: (error, message) => {
          // Without the right to it there are no round trips, and everything else goes on.
          if (!error) take(message);
        },
      });
    this.#listen(subjects.echo('*'), (message) => this.#answer(message));
    this.#listen(subjects.echoed(name, '*'), (message) => this.#take(message));
  }

  ask(): void {
    const { nats, name, now, randomBytes } = this.#parts;
    const nonce = randomBytes(echoNonceOctets);
    if (this.#asked.push({ nonce, at: now() }) > mostQuestions) this.#asked.shift();
    nats.publish(subjects.echo(name), nonce);
  }

  /** The shortest to one agent, of all in turn. */
  next(): RoundTrip | undefined {
    const oldest = this.#parts.now() - keepMs;
    for (const [peer, { at }] of this.#shortest) if (at < oldest) this.#shortest.delete(peer);
    const all = [...this.#shortest.values()];
    return all[this.#turn++ % all.length]?.trip;
  }

  #answer(message: Msg): void {
    const { nats, name, key, now } = this.#parts;
    const asker = message.subject.split('.')[2]!;
    if (asker === name || !isName(asker) || message.data.length !== echoNonceOctets) return;
    this.#hearFrom(asker);
    const last = this.#answered.get(asker);
    if (last !== undefined && now() - last < answerEveryMs) return;
    this.#answered.delete(asker);
    this.#answered.set(asker, now());
    if (this.#answered.size > mostPeers) this.#answered.delete(this.#answered.keys().next().value!);
    const nonce = message.data;
    const echo: Echo = { nonce, signature: signEcho(asker, name, nonce, key) };
    nats.publish(subjects.echoed(asker, name), Echo.encode(echo).finish());
  }

  /**
   * By its name, too: the wildcard does not pass to the leaf nodes of others (their right is
   * `mecai.echoed.*.<agent>`, which lies not within it). What comes twice counts once.
   */
  #hearFrom(peer: string): void {
    if (this.#heardOf.has(peer) || this.#heardOf.size >= mostPeers) return;
    this.#heardOf.add(peer);
    this.#listen(subjects.echoed(this.#parts.name, peer), (message) => this.#take(message));
  }

  #take(message: Msg): void {
    const { name, key, now } = this.#parts;
    const at = now();
    const peer = message.subject.split('.')[3]!;
    let echo: Echo;
    try {
      echo = Echo.decode(message.data);
    } catch {
      return;
    }
    const asked = this.#asked.find(({ nonce }) => sameBytes(nonce, echo.nonce));
    if (!asked || echo.signature.length > 72) return;
    // Rounded up: what was measured is never less than what it took.
    const micros = Math.ceil((at - asked.at) * 1000);
    const known = this.#shortest.get(peer);
    if (known && known.trip.micros <= micros && at - known.at <= keepMs) return;
    if (!known && this.#shortest.size >= mostPeers) return;
    const trip = { peer, micros, nonce: echo.nonce, echo: echo.signature };
    this.#shortest.set(peer, { trip: signRoundTrip(name, trip, key), at });
  }
}
