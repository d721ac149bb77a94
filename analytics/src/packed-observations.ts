import { createHash } from 'node:crypto';
import { NativeBlock } from './native-block.ts';
import { commonColumns, ownColumns } from './observation-columns.ts';
import { Octets } from './octets.ts';
import type { CertificateFacts, EvidenceRow, ObservationEvent } from './rows.ts';

const idLength = 32;

/** Observations on their way into the store, as columns: tens of thousands, and nothing for the garbage collector to follow. */
export class PackedObservations {
  /** An insert of them, or the store itself, was lost sight of: some may be stored. */
  doubtful = false;
  readonly evidence: EvidenceRow[] = [];
  readonly #block = new NativeBlock(ownColumns, commonColumns);
  readonly #ids = new Octets();
  readonly #chains = new Map<readonly CertificateFacts[], number>();
  #oldest = Number.POSITIVE_INFINITY;
  #newest = 0;

  get rows(): number {
    return this.#block.rows;
  }

  /** Bounds of `received_at`, milliseconds since 1970. */
  get oldest(): number {
    return this.#oldest;
  }

  get newest(): number {
    return this.#newest;
  }

  /** Chains of certificates, each with when it was received first. */
  get chains(): Iterable<readonly [readonly CertificateFacts[], number]> {
    return this.#chains;
  }

  add({ row, common, certificates, evidence }: Omit<ObservationEvent, 'table' | 'earliest'>): void {
    this.#block.add(row, common);
    this.#ids.latin1(row.id);
    if (row.received_at < this.#oldest) this.#oldest = row.received_at;
    if (row.received_at > this.#newest) this.#newest = row.received_at;
    if (evidence) this.evidence.push(evidence);
    if (certificates && !this.#chains.has(certificates)) this.#chains.set(certificates, row.received_at);
  }

  *ids(): Iterable<string> {
    const octets = this.#ids.view();
    for (let at = 0; at < octets.length; at += idLength) yield octets.toString('latin1', at, at + idLength);
  }

  /** The same for the same rows in the same order. */
  get token(): string {
    return createHash('sha256').update(this.#ids.view()).digest('hex');
  }

  /** Begins anew, in the same memory. */
  clear(): void {
    this.doubtful = false;
    this.evidence.length = 0;
    this.#block.clear();
    this.#ids.clear();
    this.#chains.clear();
    this.#oldest = Number.POSITIVE_INFINITY;
    this.#newest = 0;
  }

  /** In the engine's format Native; valid until it is asked for again. */
  octets(): Buffer {
    return this.#block.octets();
  }
}
