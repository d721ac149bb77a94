import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Mismatch, Observation, SignedObservation, inboxPrefix } from '@mecai/proto';
import type { Network } from '@mecai/test/network';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';

export interface Seen {
  readonly observation: Observation;
  readonly signed: SignedObservation;
}

/** Listens on the bus as an operator may: to all that agents observe, and to all mismatches. */
export class Witness {
  readonly #nats: NatsConnection;
  readonly #seen: Seen[] = [];
  readonly #mismatches: Mismatch[] = [];
  #changed = Promise.withResolvers<void>();

  private constructor(nats: NatsConnection) {
    this.#nats = nats;
    const listen = (subject: string, take: (data: Uint8Array) => void) =>
      nats.subscribe(subject, {
        callback: (error, message) => {
          if (error) return;
          take(message.data);
          this.#wake();
        },
      });
    listen('mecai.observation.>', (data) => {
      const signed = SignedObservation.decode(data);
      this.#seen.push({ signed, observation: Observation.decode(signed.observation) });
    });
    listen('mecai.mismatch.>', (data) => this.#mismatches.push(Mismatch.decode(data)));
  }

  static async start(network: Network): Promise<Witness> {
    const nats = await connect({
      servers: network.nats.url,
      authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
      inboxPrefix: inboxPrefix('operator'),
    });
    const witness = new Witness(nats);
    await nats.flush();
    return witness;
  }

  /** What is observed from now on; waits until there are so many observations and mismatches, or 10 s. */
  from(): (
    observations: number,
    mismatches?: number,
  ) => Promise<{ seen: readonly Seen[]; mismatches: readonly Mismatch[] }> {
    const [first, firstMismatch] = [this.#seen.length, this.#mismatches.length];
    return async (observations, mismatches = 0) => {
      const enough = () =>
        this.#seen.length - first >= observations && this.#mismatches.length - firstMismatch >= mismatches;
      const late = delay(10_000, 'late' as const, { ref: false });
      while (!enough()) {
        if ((await Promise.race([this.#changed.promise, late])) === 'late') break;
      }
      return { seen: this.#seen.slice(first), mismatches: this.#mismatches.slice(firstMismatch) };
    };
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  close(): Promise<void> {
    return this.#nats.drain();
  }
}

/** Common name of who issued a certificate. */
export const issuerName = (der: Uint8Array): string =>
  /CN=(.*)/.exec(new X509Certificate(der).issuer)?.[1] ?? 'unknown';
