import type { Outcome, QuorumPolicy, Registry } from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import type { Drawn } from '@mecai/proto/signer';
import { type Span, traceparentOf } from '@mecai/runtime';
import { Answers, type Heard, absent } from './answers.ts';
import type { CoordinatorConfig } from './config.ts';
import type { Perspectives } from './perspectives.ts';

export interface InquiryParts {
  readonly perspectives: Pick<Perspectives, 'ask' | 'silentMs'>;
  readonly registry: Registry;
  readonly policy: QuorumPolicy;
  readonly probe: CoordinatorConfig['probe'];
  /** Of the time until the outcome; agents' spans are below it. */
  readonly span: Span;
  /** Called for each first answer, stragglers included. */
  readonly heard: (sender: string, heard: Heard, evidence: SignedObservation) => void;
}

/** One draw's question to its perspectives: asks, waits, and listens on for a while after the decision. */
export class Inquiry {
  readonly answers: Answers;
  readonly #parts: InquiryParts;
  readonly #stopListening: () => void;
  #changed = Promise.withResolvers<void>();
  readonly #deadline: NodeJS.Timeout;
  #grace: NodeJS.Timeout | undefined;
  #late = false;

  /** @throws CoordinatorError `nats-unavailable` */
  constructor(parts: InquiryParts, drawn: Drawn, chain: readonly Uint8Array[]) {
    const { perspectives, registry, policy, probe } = parts;
    this.#parts = parts;
    this.answers = new Answers(drawn, chain, registry, policy);
    for (const name of drawn.agents) {
      if (perspectives.silentMs(name) > probe.absentAfterMs) this.answers.giveUp(name, absent);
    }
    this.#stopListening = perspectives.ask(
      drawn.nonce,
      drawn.targets,
      drawn.agents,
      probe.timeoutMs,
      (agent, evidence) => this.#hear(agent, evidence),
      traceparentOf(parts.span),
    );
    this.#deadline = setTimeout(() => {
      this.#late = true;
      this.answers.giveUpRest('no-answer');
      this.#wake();
    }, probe.timeoutMs + probe.transitMs);
  }

  /** Resolves as soon as missing answers cannot change the outcome any more. */
  async outcome(): Promise<Exclude<Outcome, 'pending'>> {
    for (;;) {
      const outcome = this.answers.outcome();
      if (outcome !== 'pending') {
        this.#parts.span.end();
        return outcome;
      }
      await this.#changed.promise;
    }
  }

  /** Waits for one more answer; false when none will come. */
  async another(): Promise<boolean> {
    if (this.answers.complete || this.#late) return false;
    await this.#changed.promise;
    return !this.#late;
  }

  /** The decision is made; stragglers may still show a mismatch. */
  letGo(): void {
    clearTimeout(this.#deadline);
    this.answers.close();
    if (this.answers.complete) this.#stopListening();
    else this.#grace = setTimeout(this.#stopListening, this.#parts.probe.graceMs).unref();
  }

  #hear(sender: string, evidence: SignedObservation): void {
    const heard = this.answers.add(sender, evidence);
    if (!heard) return;
    this.#parts.heard(sender, heard, evidence);
    this.#wake();
    if (this.#grace && this.answers.complete) {
      clearTimeout(this.#grace);
      this.#stopListening();
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
