/** The renewal information of each VA, fetched as often as it says. */
import {
  decodeRenewalInformation,
  mediaTypes,
  renewalLimits,
  renewalPath,
  type RenewalInformation,
  VoucherError,
} from '@mecai/voucher';
import type { Agent } from 'node:https';
import { ClientError } from '../error.ts';
import { type Answer, exchange } from '../https.ts';

interface Kept {
  readonly information: RenewalInformation;
  /** Milliseconds since 1970. */
  readonly next: number;
}

/** Seconds; what a VA says is taken between these. */
const bounds = { least: 10, most: 86_400 } as const;
const none: RenewalInformation = { entries: [] };

export interface RenewalSourceOptions {
  readonly agent: Agent;
  readonly everySeconds: number;
  readonly timeoutMs: number;
}

export class RenewalSource {
  readonly #options: RenewalSourceOptions;
  readonly #kept = new Map<string, Kept>();

  constructor(options: RenewalSourceOptions) {
    this.#options = options;
  }

  /**
   * What the VA says; the last it said while it cannot be reached. A VA without the resource says nothing.
   *
   * @param vrp its URL
   */
  async of(vrp: string, now: number, problem: (why: string) => void): Promise<RenewalInformation> {
    const kept = this.#kept.get(vrp);
    if (kept && now < kept.next) return kept.information;
    const { everySeconds } = this.#options;
    try {
      const answer = await this.#fetch(vrp);
      const information = answer.status === 200 ? decodeRenewalInformation(answer.body) : none;
      const seconds = Math.min(bounds.most, Math.max(bounds.least, answer.retryAfter ?? everySeconds));
      this.#kept.set(vrp, { information, next: now + seconds * 1_000 });
      return information;
    } catch (error) {
      if (!(error instanceof ClientError) && !(error instanceof VoucherError)) throw error;
      problem(`no renewal information: ${error.message}`);
      const information = kept?.information ?? none;
      this.#kept.set(vrp, { information, next: now + Math.min(everySeconds, 600) * 1_000 });
      return information;
    }
  }

  /** When the next one has to be asked, milliseconds since 1970. */
  get next(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#kept.values()].map(({ next }) => next));
  }

  async #fetch(vrp: string): Promise<Answer> {
    const url = new URL(vrp);
    const answer = await exchange({
      agent: this.#options.agent,
      timeoutMs: this.#options.timeoutMs,
      url: new URL(`${url.pathname.replace(/\/$/, '')}/${renewalPath}`, url),
      method: 'GET',
      headers: { accept: mediaTypes.json },
      maxOctets: renewalLimits.octets,
    });
    if (answer.status !== 200 && answer.status !== 404) {
      throw new ClientError('problem', `${url.host}: HTTP ${answer.status}`);
    }
    return answer;
  }
}
