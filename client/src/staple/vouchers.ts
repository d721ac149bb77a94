/** One question to one VA about one target, and what it means for the record. */
import { type ChainResult, parseSignedVoucher, VoucherVerifier } from '@mecai/voucher';
import type { Agent } from 'node:https';
import { checkVoucher } from '../check.ts';
import { ClientError } from '../error.ts';
import { printable, requestVoucher } from '../request.ts';
import type { VaEntry } from '../va-list/va-list.ts';
import { isWithdrawn, nextRequest, type Outcome, type Rhythm } from './schedule.ts';
import { newRecord, type TargetState, type VaRecord } from './state.ts';
import { addressesOf, type Target } from './targets.ts';

export interface Asking {
  readonly agent: Agent;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly now: () => number;
}

export interface Answered {
  readonly outcome: Outcome;
  /** For people. */
  readonly status: string;
  readonly detail?: string;
  readonly voucher?: Uint8Array;
}

/** Never rejects for what a VA or the network does. A voucher that does not hold here is not stapled. */
export async function askVa(va: VaEntry, target: Target, asking: Asking): Promise<Answered> {
  const { ipv4, ipv6, port, name, startTls, chain, key } = target;
  try {
    const { results } = await requestVoucher(
      va.vrp,
      {
        ...(ipv4 && { ipv4 }),
        ...(ipv6 && { ipv6 }),
        port,
        serverName: name!,
        ...(startTls && { startTls }),
        chains: [chain],
      },
      {
        agent: asking.agent,
        keys: [key],
        timeoutMs: asking.timeoutMs,
        ...(asking.signal && { signal: asking.signal }),
      },
    );
    return read(va, target, results[0]!, new Date(asking.now()));
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { outcome: { kind: 'failed' }, status: error.code, detail: printable(error.message) };
  }
}

function read(va: VaEntry, target: Target, result: ChainResult, now: Date): Answered {
  const { status, reason, retryAfter, voucher } = result;
  const detail = result.detail === undefined ? undefined : printable(result.detail);
  const said = { ...(detail !== undefined && { detail }) };
  if (!voucher) {
    const outcome = {
      kind: 'not-issued',
      status,
      ...(reason && { reason }),
      ...(retryAfter !== undefined && { retryAfter }),
    } as const;
    return { outcome, status: reason === undefined ? status : `${status} (${reason})`, ...said };
  }
  const wrong = faults(va, target, voucher, now);
  if (wrong !== undefined) return { outcome: { kind: 'failed' }, status: 'bad-voucher', detail: wrong };
  const { notAfter } = parseSignedVoucher(voucher).voucher;
  return { outcome: { kind: 'issued', notAfter: notAfter.getTime() }, status, voucher, ...said };
}

function faults(va: VaEntry, target: Target, voucher: Uint8Array, now: Date): string | undefined {
  const verifier = new VoucherVerifier({ roots: va.roots });
  for (const address of addressesOf(target)) {
    const { failures } = checkVoucher(
      voucher,
      { chain: target.chain, address, port: target.port },
      { verifier, now },
    );
    if (failures.length > 0) return failures.map(({ code, message }) => `${code}: ${message}`).join('; ');
  }
  return undefined;
}

/** The record after an answer. */
export function recorded(
  before: VaRecord = newRecord,
  { outcome, status, detail, voucher }: Answered,
  now: number,
  rhythm: Rhythm,
  random: () => number,
): VaRecord {
  const expected =
    outcome.kind === 'issued' || (outcome.kind === 'not-issued' && outcome.status === 'on-hold');
  const failures = expected ? 0 : before.failures + 1;
  const held = outcome.kind === 'issued' && voucher ? kept(voucher, random) : before.voucher;
  return {
    next: nextRequest(outcome, Math.max(1, failures), now, rhythm, random),
    failures,
    last: { at: now, status, ...(detail !== undefined && { detail }) },
    ...(held && !isWithdrawn(outcome) && { voucher: held }),
  };
}

function kept(voucher: Uint8Array, random: () => number): NonNullable<VaRecord['voucher']> {
  const { producedAt, notAfter } = parseSignedVoucher(voucher).voucher;
  return {
    der: Buffer.from(voucher).toString('base64'),
    producedAt: producedAt.getTime(),
    notAfter: notAfter.getTime(),
    lot: random(),
  };
}

/** The vouchers of these VAs that still hold, by VA. */
export function heldVouchers(
  state: TargetState,
  vas: readonly VaEntry[],
  now: number,
): ReadonlyMap<string, Uint8Array> {
  const held = new Map<string, Uint8Array>();
  for (const { id } of vas) {
    const voucher = state.get(id)?.voucher;
    if (voucher && voucher.notAfter > now) held.set(id, Buffer.from(voucher.der, 'base64'));
  }
  return held;
}
