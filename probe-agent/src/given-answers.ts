import type { Task } from '@mecai/proto';
import { AgedMap } from '@mecai/runtime';
import type { Answer } from './observe.ts';

/** What coordinators wait at most beyond a task's own time (their `probe.transitMs`), and who asks last, asks again. */
const beyondMs = 12_000;
const mostTasks = 20_000;

type Given = Omit<Answer, 'observation'>;

interface Entry {
  readonly task: Uint8Array;
  readonly until: number;
  readonly answers: Given[];
}

/**
 * What was said to whom: whoever asks again while the question may be open, since task or answer was lost, gets the
 * same octets. So there are never two observations for one draw, and who controls a coordinator cannot have a
 * target looked at until it likes what is seen.
 */
export class GivenAnswers {
  /** By nonce, in the order of arrival. */
  readonly #entries = new AgedMap<string, Entry>();

  /**
   * @param now milliseconds
   * @returns the answers given so far to a task that has been here before; none under a nonce that was another
   *   task's; undefined for a new one, which is remembered
   */
  recall(bytes: Uint8Array, { nonce, timeoutMs }: Task, now: number): readonly Given[] | undefined {
    for (let next = this.#entries.oldest; next; next = this.#entries.oldest) {
      const [oldest, { until }] = next;
      if (until > now && this.#entries.size <= mostTasks) break;
      this.#entries.delete(oldest);
    }
    const key = Buffer.from(nonce).toString('latin1');
    const known = this.#entries.get(key);
    if (known) return Buffer.compare(known.task, bytes) === 0 ? known.answers : [];
    this.#entries.set(key, { task: Uint8Array.from(bytes), until: now + timeoutMs + beyondMs, answers: [] });
    return undefined;
  }

  keep(nonce: Uint8Array, { coordinator, campaign, signed }: Given): void {
    const key = Buffer.from(nonce).toString('latin1');
    this.#entries.get(key)?.answers.push({ coordinator, campaign, signed });
  }
}
