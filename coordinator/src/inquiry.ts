import type { Outcome, QuorumPolicy, Registry } from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import type { Drawn } from '@mecai/proto/signer';
import { type Span, traceparentOf } from '@mecai/runtime';
import { Answers, type Heard, absent } from './answers.ts';
import type { CoordinatorConfig } from './config.ts';
import type { Asked, Perspectives } from './perspectives.ts';

export interface InquiryParts {
  readonly perspectives: Pick<Perspectives, 'ask' | 'silentMs'>;
  readonly registry: Registry;
  readonly policy: QuorumPolicy;
  readonly probe: CoordinatorConfig['probe'];
  /** Begins the span of the time until the outcome; agents' spans are below it. */
  readonly span: () => Span;
  /** Called for each first answer, stragglers included. */
  readonly heard: (sender: string, heard: Heard, evidence: SignedObservation) => void;
}

/** One draw's question to its perspectives: asks, waits, and listens on for a while after the decision. */
export class Inquiry {
  readonly answers: Answers;
  readonly #parts: InquiryParts;
  readonly #drawn: Drawn;
  #span: Span | undefined;
  #asked: Asked | undefined;
  #changed = Promise.withResolvers<void>();
  #deadline: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  #late = false;

  constructor(parts: InquiryParts, drawn: Drawn, chain: readonly Uint8Array[]) {
    const { perspectives, registry, policy, probe } = parts;
    this.#parts = parts;
    this.answers = new Answers(drawn, chain, registry, policy);
    this.#drawn = drawn;
    for (const name of drawn.agents) {
      if (perspectives.silentMs(name) > probe.absentAfterMs) this.answers.giveUp(name, absent);
    }
  }

  /** So many are absent that no voucher can come of it. */
  get hopeless(): boolean {
    return !this.answers.mayCorroborate;
  }

  /** @throws CoordinatorError `nats-unavailable` */
  ask(): void {
    const { perspectives, probe, span } = this.#parts;
    const { nonce, targets, agents } = this.#drawn;
    this.#span = span();
    const asked = perspectives.ask(
      nonce,
      targets,
      agents,
      probe.timeoutMs,
      (agent, evidence) => this.#hear(agent, evidence),
      traceparentOf(this.#span),
    );
    this.#asked = asked;
    this.#again = setInterval(() => asked.again(this.answers.missing), probe.askAgainMs);
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
        this.#span?.end();
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
    clearInterval(this.#again);
    this.answers.close();
    if (!this.#asked) return;
    if (this.answers.complete) this.#asked.stop();
    else this.#grace = setTimeout(this.#asked.stop, this.#parts.probe.graceMs).unref();
  }

  #hear(sender: string, evidence: SignedObservation): void {
    const heard = this.answers.add(sender, evidence);
    if (!heard) return;
    this.#parts.heard(sender, heard, evidence);
    this.#wake();
    if (this.#grace && this.answers.complete) {
      clearTimeout(this.#grace);
      this.#asked?.stop();
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
