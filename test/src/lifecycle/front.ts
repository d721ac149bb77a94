/** Requests through a front that asks its coordinators whether they are ready, as a load balancer does. */
import { requestVoucher, vaAgent } from '@mecai/client';
import type { TbsVoucherRequest } from '@mecai/voucher';
import type { ManagedProcess } from '../network/index.ts';

export interface Coordinator {
  readonly process: ManagedProcess;
  /** When it was asked last, of the times that it said it was ready; milliseconds of the monotonic clock. */
  readyAt: number;
}

/** How long what it said is believed, however late the next answer is. */
const believedMs = 2_000;

export const isReady = ({ readyAt }: Coordinator): boolean => performance.now() - readyAt < believedMs;

export class Front {
  readonly coordinators: readonly Coordinator[];
  /** Status of each request, or what went wrong with it. */
  readonly endings: string[] = [];
  readonly #agent;
  readonly #request: TbsVoucherRequest;
  readonly #work: readonly Promise<void>[];
  #turn = 0;
  #stopping = false;

  constructor(coordinators: readonly ManagedProcess[], request: TbsVoucherRequest, ca: string, workers = 4) {
    this.coordinators = coordinators.map((process) => ({ process, readyAt: Number.NEGATIVE_INFINITY }));
    this.#agent = vaAgent({ ca });
    this.#request = request;
    this.#work = [
      ...this.coordinators.map((one) => this.#watch(one)),
      ...Array.from({ length: workers }, () => this.#ask()),
    ];
  }

  /** Vouchers, and everything else. */
  get counts(): { issued: number; others: string[] } {
    const others = this.endings.filter((one) => one !== 'issued');
    return { issued: this.endings.length - others.length, others };
  }

  /** Resolves after so many more answers. */
  async more(count: number): Promise<void> {
    const wanted = this.endings.length + count;
    while (this.endings.length < wanted) await pause(20);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#work);
  }

  async #watch(one: Coordinator): Promise<void> {
    while (!this.#stopping) {
      const asked = performance.now();
      const answer = await fetch(`${one.process.ready['admin']!}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer().catch(() => undefined);
      one.readyAt = answer?.ok ? asked : Number.NEGATIVE_INFINITY;
      await pause(20);
    }
  }

  async #ask(): Promise<void> {
    while (!this.#stopping) {
      const ready = this.coordinators.filter(isReady);
      const chosen = ready[this.#turn++ % ready.length];
      if (!chosen) {
        await pause(20);
        continue;
      }
      const options = { agent: this.#agent, timeoutMs: 30_000 };
      try {
        const { results } = await requestVoucher(chosen.process.ready['vrp']!, this.#request, options);
        const { status, detail = '' } = results[0]!;
        this.endings.push(status === 'issued' ? status : `${status}: ${detail}`);
      } catch (error) {
        this.endings.push(String(error));
      }
      await pause(20);
    }
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
