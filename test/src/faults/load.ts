import { ClientError, requestVoucher, vaAgent } from '@mecai/client';
import type { ChainResult, TbsVoucherRequest } from '@mecai/voucher';

/** What became of one request: a result of the VRP, or no answer at all. */
export type Ending = ChainResult | { readonly status: 'no-answer'; readonly detail: string };

/** A steady stream of requests, for as long as a test lasts. */
export class Load {
  readonly endings: Ending[] = [];
  readonly #agent;
  readonly #workers: readonly Promise<void>[];
  #stopping = false;
  #changed = Promise.withResolvers<void>();

  /** @param pauseMs between an answer and the next request of a worker */
  constructor(url: string, request: TbsVoucherRequest, ca: string, workers = 4, pauseMs = 30) {
    this.#agent = vaAgent({ ca });
    const work = async () => {
      while (!this.#stopping) {
        this.endings.push(await this.#one(url, request));
        this.#changed.resolve();
        this.#changed = Promise.withResolvers();
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    this.#workers = Array.from({ length: workers }, work);
  }

  async #one(url: string, request: TbsVoucherRequest): Promise<Ending> {
    try {
      const { results } = await requestVoucher(url, request, { agent: this.#agent, timeoutMs: 30_000 });
      return results[0]!;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return { status: 'no-answer', detail: error.message };
    }
  }

  /** Vouchers handed out so far. */
  get vouchers(): Uint8Array[] {
    return this.endings.flatMap((one) => ('voucher' in one && one.voucher ? [one.voucher] : []));
  }

  /** Resolves once so many more requests have ended with a voucher; rejects after `withinMs`. */
  async issued(more: number, withinMs = 60_000): Promise<void> {
    const wanted = this.vouchers.length + more;
    await this.#until(() => this.vouchers.length >= wanted, withinMs, `${more} vouchers`);
  }

  /** Resolves with the endings of another kind since `from`, once there are so many. */
  async others(from: number, least: number, withinMs = 60_000): Promise<Ending[]> {
    const found = () => this.endings.slice(from).filter(({ status }) => status !== 'issued');
    await this.#until(() => found().length >= least, withinMs, `${least} requests without a voucher`);
    return found();
  }

  async #until(condition: () => boolean, withinMs: number, what: string): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const last = this.endings.slice(-3).map(({ status, detail }) => `${status}: ${detail ?? ''}`);
      late.reject(new Error(`no ${what} within ${withinMs} ms; the last: ${last.join('; ')}`));
    }, withinMs);
    try {
      while (!condition()) await Promise.race([this.#changed.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }
}
