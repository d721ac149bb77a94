import { ClientError, requestVoucher, vaAgent } from '@mecai/client';
import type { ChainResult, TbsVoucherRequest } from '@mecai/voucher';

/** What became of one request, and when, in milliseconds of the monotonic clock. */
export interface Ending {
  readonly began: number;
  readonly ended: number;
  readonly status: ChainResult['status'] | 'no-answer';
  readonly detail: string;
  readonly voucher?: Uint8Array;
}

export interface LoadOptions {
  readonly perSecond: number;
  readonly deadlineMs: number;
  readonly outstanding: number;
}

/** A steady stream of requesters who do not wait for each other. */
export class Load {
  readonly endings: Ending[] = [];
  readonly #agent;
  readonly #outstanding = new Set<Promise<unknown>>();
  readonly #timer: NodeJS.Timeout;

  /**
   * @param deadlineMs after which a requester gives up: that is no clear answer
   * @param outstanding requests without an answer at most; beyond that requesters stay away
   */
  constructor(
    url: () => string,
    request: TbsVoucherRequest,
    { ca, perSecond, deadlineMs, outstanding }: LoadOptions & { readonly ca: string },
  ) {
    this.#agent = vaAgent({ ca });
    const one = async (): Promise<Ending> => {
      const began = performance.now();
      const times = () => ({ began, ended: performance.now() });
      try {
        const { results } = await requestVoucher(url(), request, {
          agent: this.#agent,
          timeoutMs: deadlineMs,
        });
        const { status, detail = '', voucher } = results[0]!;
        return { ...times(), status, detail, ...(voucher && { voucher }) };
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        return { ...times(), status: 'no-answer', detail: error.message };
      }
    };
    this.#timer = setInterval(() => {
      if (this.#outstanding.size >= outstanding) return;
      const asked = one()
        .then((ending) => this.endings.push(ending))
        .finally(() => this.#outstanding.delete(asked));
      this.#outstanding.add(asked);
    }, 1_000 / perSecond);
  }

  get vouchers(): Uint8Array[] {
    return this.endings.flatMap(({ voucher }) => (voucher ? [voucher] : []));
  }

  /** No more requests; resolves when all have their answers. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#outstanding);
    this.#agent.destroy();
  }
}
