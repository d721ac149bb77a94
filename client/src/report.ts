/**
 * What a client may tell a VA of its checks. Two things, apart from each other, and neither is sent unless the user
 * asked for it: a failed check as a whole, which names a server that the user visited, and sums that name none.
 */
import { timeText } from '@mecai/voucher';
import { isIP } from 'node:net';
import type { ServerCode } from './checker.ts';
import { ClientError } from './error.ts';
import type { Outcome } from './guard/guard.ts';
import { exchange } from './https.ts';
import { type RequestOptions, vaAgent, vaUrl } from './request.ts';

/** As it travels, JSON: `POST <vrp>/reports`. */
export interface FailedCheckReport {
  readonly address: string;
  readonly port: number;
  readonly serverName?: string;
  /** DER in base64, leaf first. */
  readonly chain: readonly string[];
  readonly seenAt: string;
  readonly codes: readonly ServerCode[];
  /** Names in the VA list. */
  readonly vas: readonly string[];
  readonly mode: 'report-only' | 'warn' | 'enforce';
  /** DER in base64. */
  readonly vouchers: readonly string[];
}

/** As it travels, JSON: `POST <vrp>/statistics`. */
export interface CheckStatisticsReport {
  /** UTC. */
  readonly day: string;
  readonly counts: readonly { readonly code: 'accepted' | ServerCode; readonly checks: number }[];
}

const mostVouchers = 8;

/**
 * Undefined where there is nothing to report: the check was passed, or no VA could be chosen, or the host lies in an
 * intranet, whose names and addresses are nobody's business.
 */
export function reportOf(outcome: Outcome, now: Date): FailedCheckReport | undefined {
  const { host, mode, handshake, choice, check } = outcome;
  if (check.failures.length === 0 || !choice || mode === 'off') return undefined;
  return {
    address: handshake.address,
    port: handshake.port,
    ...(isIP(host) === 0 && { serverName: host.toLowerCase().replace(/\.$/, '') }),
    chain: handshake.chain.slice(0, 10).map(base64),
    seenAt: timeText(now),
    codes: [...new Set(check.failures.map(({ code }) => code))].toSorted(),
    vas: choice.vas.map(({ id }) => id),
    mode,
    vouchers: check.vouchers.slice(0, mostVouchers).map(({ voucher }) => base64(voucher)),
  };
}

/** Counts checks of a day; give `count` to `GuardOptions.onOutcome`. */
export class Statistics {
  #day = '';
  #counts = new Map<'accepted' | ServerCode, number>();

  /** Returns the sums of the day before, when a new one has begun. */
  count({ check, intranet }: Outcome, now: Date): CheckStatisticsReport | undefined {
    if (intranet !== undefined) return undefined;
    const day = now.toISOString().slice(0, 10);
    const before = day === this.#day ? undefined : this.take();
    this.#day = day;
    const codes = new Set(check.failures.map(({ code }) => code));
    for (const code of codes.size > 0 ? codes : (['accepted'] as const)) {
      this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    }
    return before;
  }

  /** The sums so far, which begin anew. */
  take(): CheckStatisticsReport | undefined {
    const counts = [...this.#counts].map(([code, checks]) => ({ code, checks }));
    this.#counts = new Map();
    return counts.length > 0 ? { day: this.#day, counts } : undefined;
  }
}

type SubmitOptions = Pick<RequestOptions, 'agent' | 'ca' | 'timeoutMs' | 'signal'>;

/** To any VA: it learns the server's name and address, and the client's address. @throws ClientError */
export const submitReport = (
  vrp: string | URL,
  report: FailedCheckReport,
  options: SubmitOptions = {},
): Promise<void> => submit(vrp, 'reports', report, options);

/** @throws ClientError */
export const submitStatistics = (
  vrp: string | URL,
  report: CheckStatisticsReport,
  options: SubmitOptions = {},
): Promise<void> => submit(vrp, 'statistics', report, options);

async function submit(
  vrp: string | URL,
  what: string,
  report: object,
  options: SubmitOptions,
): Promise<void> {
  const va = vaUrl(vrp);
  const agent = options.agent ?? vaAgent(options);
  try {
    const { status } = await exchange({
      url: new URL(`${va.pathname.replace(/\/$/, '')}/${what}`, va),
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: Buffer.from(JSON.stringify(report)),
      timeoutMs: options.timeoutMs ?? 10_000,
      maxOctets: 65_536,
      ...(options.signal && { signal: options.signal }),
    });
    if (status !== 202)
      throw new ClientError('problem', `${va.host} did not take the report: HTTP ${status}`);
  } finally {
    if (!options.agent) agent.destroy();
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
