/** Requesters behind a load balancer, with one site to ask about, while things happen to a layout. */
import { Acknowledgements } from './acknowledgements.ts';
import { Balancer } from './balancer.ts';
import { type Fault, type FaultFigures, type Patience, asUsual, suffer } from './faults.ts';
import { type Ending, Load, type LoadOptions } from './load.ts';
import type { Regions } from './regions.ts';
import { openSite } from './site.ts';

export interface Theatre {
  readonly endings: readonly Ending[];
  readonly vouchers: readonly Uint8Array[];
  /** Since it opened. */
  readonly acknowledgements: Acknowledgements;
  /** Answers that say nothing: requesters who gave up, and connections that broke though no coordinator was touched. */
  readonly unclear: readonly string[];
  /** Resolves when a row of requests in succession got vouchers. */
  untilUsual(withinMs: number, row?: number): Promise<void>;
  suffer(fault: Fault, patience: Patience): Promise<FaultFigures>;
  /** Requests end; what is under way is waited for. */
  closeLoad(): Promise<void>;
  close(): Promise<void>;
}

export async function openTheatre(regions: Regions, options: LoadOptions): Promise<Theatre> {
  const acknowledgements = await Acknowledgements.open(regions.listener);
  const site = await openSite(regions, 'www.example.test');
  const balancer = new Balancer(regions.coordinators);
  const load = new Load(() => balancer.next(), site.request, { ca: regions.httpsCa, ...options });
  /** When connections may break. */
  const touched: { readonly from: number; readonly until: number }[] = [];
  const isUnclear = ({ status, began, ended }: Ending) =>
    ended - began >= options.deadlineMs ||
    (status === 'no-answer' && !touched.some(({ from, until }) => began <= until && ended >= from));
  return {
    acknowledgements,
    get endings() {
      return load.endings;
    },
    get vouchers() {
      return load.vouchers;
    },
    get unclear() {
      return load.endings.filter(isUnclear).map(({ status, detail }) => `${status}: ${detail}`);
    },
    async untilUsual(withinMs, row) {
      const from = performance.now();
      while (!asUsual(load.endings, row)) {
        if (performance.now() - from > withinMs) {
          throw new Error(`no vouchers within ${withinMs} ms: ${JSON.stringify(load.endings.slice(-3))}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async suffer(fault, patience) {
      const from = performance.now();
      try {
        return await suffer(fault, { regions, load, balancer, acknowledgements }, patience);
      } finally {
        if (fault.part.kind === 'coordinator') touched.push({ from, until: performance.now() });
      }
    },
    closeLoad: () => load.stop(),
    async close() {
      await load.stop();
      await balancer.stop();
      await site.endpoint.close();
      await acknowledgements.close();
    },
  };
}
