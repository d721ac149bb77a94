/** Faults under load: one process after the other is killed, paused or cut off, and what requesters notice of it. */
import type { Acknowledgements } from './acknowledgements.ts';
import type { Balancer } from './balancer.ts';
import type { Ending, Load } from './load.ts';
import { type Kind, type Part, kinds, signalAll } from './part.ts';
import type { Regions } from './regions.ts';

export const deeds = ['killed', 'paused', 'cut off'] as const;
export type Deed = (typeof deeds)[number];

export interface Fault {
  readonly part: Part;
  readonly deed: Deed;
}

export interface FaultFigures {
  readonly part: string;
  readonly kind: Kind;
  readonly deed: Deed;
  /** Requests that ended from the fault to the recovery. */
  readonly requests: number;
  readonly answers: Readonly<Record<string, number>>;
  /** Why there was no voucher, digits left out. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Seconds, of all those from the fault to the recovery, in which nobody got a voucher. */
  readonly secondsWithout: number;
  /** Longest time without a voucher, milliseconds. */
  readonly longestGapMs: number;
  readonly longestAnswerMs: number;
  /** From the end of the fault until all is ready and vouchers come as before, milliseconds. */
  readonly recoveryMs: number;
}

/** Everything that can happen to this layout; in the order of the seed. */
export function allFaults({ parts }: Regions, seed: number): Fault[] {
  const all = kinds.flatMap((kind) =>
    parts
      .filter((part) => part.kind === kind)
      .flatMap((part) => deeds.map((deed) => ({ part, deed })).filter(isPossible)),
  );
  const random = generator(seed);
  // Fisher and Yates.
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

/** Of each kind of process one, chosen by the seed, and everything that can happen to it. */
export function oneOfEach(regions: Regions, seed: number): Fault[] {
  const all = allFaults(regions, seed);
  return kinds.flatMap((kind) => {
    const chosen = all.find(({ part }) => part.kind === kind)?.part;
    return all
      .filter(({ part }) => part === chosen)
      .toSorted((a, b) => deeds.indexOf(a.deed) - deeds.indexOf(b.deed));
  });
}

export const isPossible = ({ part, deed }: Fault): boolean =>
  deed !== 'cut off' || part.place.wire !== undefined;

/** mulberry32: the same seed, the same faults. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param row so many vouchers in a row count as service as usual */
export const asUsual = (endings: readonly Ending[], row = 10): boolean =>
  endings.length >= row && endings.slice(-row).every(({ status }) => status === 'issued');

export interface Patience {
  /** How long the fault lasts; for a killed process, until its supervisor starts it again. */
  readonly faultMs: number;
  /** After the fault. */
  readonly recoveryMs: number;
  /** Vouchers in a row that count as service as usual. */
  readonly row?: number;
}

/**
 * Does it, undoes it, and waits until everything is as before without any help.
 *
 * @throws Error when it does not recover in time
 */
export async function suffer(
  { part, deed }: Fault,
  {
    regions,
    load,
    balancer,
    acknowledgements,
  }: { regions: Regions; load: Load; balancer: Balancer; acknowledgements: Acknowledgements },
  { faultMs, recoveryMs, row }: Patience,
): Promise<FaultFigures> {
  const from = performance.now();
  const last = load.endings.findLast(({ voucher }) => voucher)?.ended ?? from;
  switch (deed) {
    case 'killed':
      await part.kill();
      acknowledgements.killed(part.agents ?? []);
      await delay(faultMs);
      await part.start();
      break;
    case 'paused':
      signalAll(part, 'SIGSTOP');
      await delay(faultMs);
      signalAll(part, 'SIGCONT');
      break;
    case 'cut off':
      part.place.wire!.cut();
      await delay(faultMs);
      part.place.wire!.mend();
      break;
    default:
      deed satisfies never;
  }
  const mended = performance.now();
  for (;;) {
    const since = load.endings.filter(({ began }) => began >= mended);
    if (asUsual(since, row) && balancer.allReady && (await isWell(part, regions))) break;
    if (performance.now() - mended > recoveryMs) {
      const latest = since.slice(-3).map(({ status, detail }) => `${status} ${detail}`);
      throw new Error(
        `${part.name} ${deed}: no recovery within ${recoveryMs} ms; the latest: ${latest.join('; ')}`,
      );
    }
    await delay(50);
  }
  const until = performance.now();
  const during = load.endings.filter(({ ended }) => ended >= from && ended <= until);
  return {
    part: part.name,
    kind: part.kind,
    deed,
    requests: during.length,
    answers: countBy(during, ({ status }) => status),
    reasons: countBy(
      during.filter(({ voucher }) => !voucher),
      ({ detail }) => detail.replaceAll(/[\d.:]+/g, '…'),
    ),
    secondsWithout: secondsWithout(from, until, during),
    longestGapMs: longestGap(last, until, during),
    longestAnswerMs: Math.round(Math.max(0, ...during.map(({ began, ended }) => ended - began))),
    recoveryMs: Math.round(until - mended),
  };
}

function countBy<T>(all: readonly T[], key: (one: T) => string): Record<string, number> {
  return Object.fromEntries(Array.from(Map.groupBy(all, key), ([name, some]) => [name, some.length]));
}

/** Whole ones. */
function secondsWithout(from: number, until: number, endings: readonly Ending[]): number {
  const second = ({ ended }: Ending) => Math.floor((ended - from) / 1_000);
  const good = new Set(endings.filter(({ voucher }) => voucher).map(second));
  return Array.from({ length: Math.floor((until - from) / 1_000) }, (_, i) => i).filter((i) => !good.has(i))
    .length;
}

function longestGap(from: number, until: number, endings: readonly Ending[]): number {
  let before = from;
  let longest = 0;
  const issued = endings.filter(({ voucher }) => voucher).map(({ ended }) => ended);
  for (const at of [...issued.toSorted((a, b) => a - b), until]) {
    longest = Math.max(longest, at - before);
    before = at;
  }
  return Math.round(longest);
}

/** As its own pages and those who need it say. */
async function isWell({ kind, place: { address } }: Part, { coordinators }: Regions): Promise<boolean> {
  switch (kind) {
    case 'nats':
      // All streams have a leader and this node has caught up.
      return answers(`http://${address}:8222/healthz`);
    case 'leaf':
      return answers(`http://${address}:8222/leafz`, (body) => body.includes('"leafnodes": 1'));
    case 'signer':
      return all(coordinators, ({ adminUrl }) =>
        answers(`${adminUrl}/status`, (body) => !body.includes('"there":false')),
      );
    case 'agent':
      return answers(`http://${address}:9102/readyz`);
    case 'analytics':
      return answers(`http://${address}:7480/readyz`);
    case 'coordinator':
    case 'postgres':
      return all(coordinators, ({ adminUrl }) => answers(`${adminUrl}/readyz`));
    default:
      return kind satisfies never;
  }
}

async function all<T>(of: readonly T[], holds: (one: T) => Promise<boolean>): Promise<boolean> {
  return (await Promise.all(of.map(holds))).every(Boolean);
}

const answers = (url: string, good: (body: string) => boolean = () => true): Promise<boolean> =>
  fetch(url, { signal: AbortSignal.timeout(2_000) }).then(
    async (response) => response.ok && good(await response.text()),
    () => false,
  );

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
