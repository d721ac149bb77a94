import { randomFillSync } from 'node:crypto';
import { isIP } from 'node:net';
import { asFailure, Connection } from './connection.ts';
import { ProbeFailure } from './failure.ts';
import { Handshake } from './handshake.ts';
import { type KeyShareSource, ReusedKeyShares } from './key-exchange.ts';
import { LeafKeys } from './leaf-key.ts';
import { defaultLimits, readLimits } from './limits.ts';
import { readOffer } from './offer.ts';
import type { ProbeLimits, ProbeOptions, Prober, ProbeResult, ProbeTarget } from './prober.ts';
import { sctListsOf } from './sct-lists.ts';
import type { Random } from './session.ts';
import { type Preamble, startPreamble } from './preamble.ts';

/** What a probe takes from its surroundings; tests bring their own. */
export interface ProbeContext {
  /** Milliseconds with fractions, monotonic. */
  readonly now: () => number;
  readonly random: Random;
  readonly shares: KeyShareSource;
  readonly leafKeys: LeafKeys;
}

/** The server's own end of the connection is waited for this long, in the background. Milliseconds. */
const lingerMs = 2_000;

class Probe {
  readonly #target: ProbeTarget;
  readonly #options: ProbeOptions;
  #limits: ProbeLimits = defaultLimits;
  readonly #context: ProbeContext;
  readonly #began: number;
  readonly #resolve: (result: ProbeResult) => void;
  readonly #timings: { connect?: number; firstByte?: number; proof?: number } = {};
  #connection: Connection | undefined;
  #preamble: Preamble | undefined;
  #handshake: Handshake | undefined;

  constructor(
    target: ProbeTarget,
    options: ProbeOptions,
    context: ProbeContext,
    resolve: (result: ProbeResult) => void,
  ) {
    this.#target = target;
    this.#options = options;
    this.#context = context;
    this.#resolve = resolve;
    this.#began = context.now();
    try {
      this.#connect();
    } catch (error) {
      this.#connection?.destroy();
      this.#end(asFailure(error));
    }
  }

  /** Whole microseconds since the probe began. */
  #elapsed(): number {
    return Math.round((this.#context.now() - this.#began) * 1_000);
  }

  #connect(): void {
    this.#limits = readLimits(this.#options.limits);
    const { address, port } = this.#target;
    if (isIP(address) === 0) throw new ProbeFailure('local-error', `${address} is no IP address`);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new ProbeFailure('local-error', `${port} is no port`);
    }
    const offer = readOffer(this.#target, this.#options);
    this.#connection = new Connection(
      this.#target,
      this.#options.localAddress,
      this.#limits.connectMs,
      this.#limits.bytes,
      {
        connected: () => {
          this.#timings.connect = this.#elapsed();
          if (this.#target.startTls) this.#startPreamble(offer);
          else this.#startHandshake(offer);
        },
        received: (chunk) => this.#received(chunk, offer),
        failed: (failure) => this.#failed(failure),
      },
    );
  }

  #startPreamble(offer: ReturnType<typeof readOffer>): void {
    const connection = this.#connection!;
    connection.deadline(this.#limits.preambleMs, 'timeout-preamble');
    this.#preamble = startPreamble(this.#target.startTls!, {
      serverName: offer.serverName ?? this.#target.address,
      localAddress: connection.localAddress,
      send: (bytes) => connection.send(bytes),
    });
  }

  #startHandshake(offer: ReturnType<typeof readOffer>): void {
    this.#preamble = undefined;
    this.#connection!.deadline(this.#limits.handshakeMs, 'timeout-handshake');
    this.#handshake = new Handshake({
      offer,
      limits: this.#limits,
      stopEarly: this.#options.stopEarly ?? false,
      random: this.#context.random,
      shares: this.#context.shares,
      leafKeys: this.#context.leafKeys,
    });
    this.#connection!.send(this.#handshake.takeFlight()!);
  }

  #received(chunk: Buffer, offer: ReturnType<typeof readOffer>): void {
    if (this.#preamble) {
      if (this.#preamble.receive(chunk)) this.#startHandshake(offer);
      return;
    }
    const handshake = this.#handshake;
    // A server that speaks before it is spoken to does not speak TLS.
    if (!handshake) throw new ProbeFailure('not-tls', 'the server sent bytes before the ClientHello');
    this.#timings.firstByte ??= this.#elapsed();
    const wasProven = handshake.seen.possessionProven;
    try {
      handshake.receive(chunk);
    } finally {
      if (!wasProven && handshake.seen.possessionProven) this.#timings.proof = this.#elapsed();
    }
    const flight = handshake.takeFlight();
    if (handshake.finished) {
      this.#connection!.finish(flight, lingerMs);
      this.#end();
    } else if (flight) this.#connection!.send(flight);
  }

  #failed(failure: ProbeFailure): void {
    let alert: Buffer | undefined;
    try {
      if (failure.owedAlert !== undefined) alert = this.#handshake?.alertRecord(failure.owedAlert);
    } catch {
      // The failure at hand is the one to report.
    }
    if (alert) this.#connection?.finish(alert, lingerMs);
    else this.#connection?.destroy();
    this.#end(failure);
  }

  #end(failure?: ProbeFailure): void {
    const seen = this.#handshake?.seen;
    this.#resolve({
      chain: seen?.chain ?? [],
      possessionProven: seen?.possessionProven ?? false,
      ...(seen?.version !== undefined && { version: seen.version }),
      ...(seen?.cipherSuite !== undefined && { cipherSuite: seen.cipherSuite }),
      ...(seen?.group !== undefined && { group: seen.group }),
      ...(seen?.signatureScheme !== undefined && { signatureScheme: seen.signatureScheme }),
      ...(seen?.alpn !== undefined && { alpn: seen.alpn }),
      ocspResponses: seen?.ocspResponses ?? [],
      sctLists: seen ? sctListsOf(seen) : [],
      extensions: seen?.extensions ?? new Map(),
      timings: { ...this.#timings, end: this.#elapsed() },
      ...(failure && {
        error: {
          class: failure.code,
          ...(failure.receivedAlert !== undefined && { alert: failure.receivedAlert }),
          detail: failure.message,
        },
      }),
    });
  }
}

/** Unpredictable bytes from a pool, one system call for some sixty probes. */
export function pooledRandom(poolSize = 4_096): Random {
  let pool = Buffer.alloc(0);
  return (size) => {
    if (pool.length < size) pool = randomFillSync(Buffer.allocUnsafeSlow(Math.max(poolSize, size)));
    const taken = pool.subarray(0, size);
    pool = pool.subarray(size);
    return taken;
  };
}

/** A prober with surroundings of its own. */
export const createProber =
  (context: ProbeContext): Prober =>
  (target, options = {}) =>
    new Promise((resolve) => {
      void new Probe(target, options, context, resolve);
    });

const now = () => performance.now();

/**
 * Observes what one endpoint presents, over one connection. Never rejects and never throws; a failure
 * is `ProbeResult.error`, with whatever had been seen until then.
 */
export const probe: Prober = createProber({
  now,
  random: pooledRandom(),
  shares: new ReusedKeyShares(now),
  leafKeys: new LeafKeys(),
});
