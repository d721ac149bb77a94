/**
 * What clients report of checks that failed. `POST /vrp/reports` takes one check as a whole, `POST /vrp/statistics`
 * the sums of a day without anything of a server; who reports it is not kept. Nobody has to prove anything, so the
 * same report is stored again only when it has come twice as often, and all reports together are limited.
 */
import { createHash } from 'node:crypto';
import { type Prefix, forbiddenTarget, parseAddress } from '@mecai/addresses';
import { PkiError, parseCertificate } from '@mecai/pki';
import type { CheckStatistics, ClientReport, FailedCheck } from '@mecai/proto';
import { isServerName, startTlsProtocols, voucherLimits } from '@mecai/voucher';
import * as z from 'zod';
import { CoordinatorError } from '../error.ts';
import type { Problem } from '../http-answers.ts';
import { type Exchange, type Reply, type Route, jsonReply, readJson } from '../http-routes.ts';
import type { RateLimiter } from '../rate-limits.ts';

const day = 86_400_000;
const maxOctets = 262_144;
/** Reports told apart at the same time; the one not heard of for longest is forgotten. */
const maxIds = 100_000;

const base64 = (most: number) =>
  z
    .base64()
    .max(most * 1.4)
    .transform((text) => Buffer.from(text, 'base64'));
const word = () => z.string().regex(/^[a-z0-9-]{1,64}$/);
const seconds = () => z.iso.datetime().transform((text) => new Date(text).getTime());

const failedCheck = z.strictObject({
  address: z.union([z.ipv4(), z.ipv6()]).transform((text) => parseAddress(text)),
  port: z.int().min(1).max(65_535),
  serverName: z.string().refine(isServerName, 'expected a lower-case host name').optional(),
  startTls: z.enum(startTlsProtocols).optional(),
  chain: z.array(base64(65_536)).min(1).max(10),
  seenAt: seconds(),
  codes: z.array(word()).min(1).max(32),
  vas: z.array(word()).max(16),
  mode: z.enum(['report-only', 'warn', 'enforce']),
  vouchers: z.array(base64(voucherLimits.signedOctets)).max(8).default([]),
});

const statistics = z.strictObject({
  day: z.iso.date().transform((text) => new Date(`${text}T00:00:00Z`).getTime()),
  counts: z
    .array(z.strictObject({ code: word(), checks: z.int().min(1).max(1_000_000_000) }))
    .min(1)
    .max(64),
});

export interface ReportsParts {
  readonly coordinator: string;
  /** Publishes; false while there is nobody to publish to. */
  readonly publish: (report: ClientReport) => boolean;
  /** Of all reports together. */
  readonly limiter: RateLimiter;
  readonly allowedTargets: readonly Prefix[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class Reports {
  readonly #parts: ReportsParts;
  readonly #times = new Map<string, { times: number; since: number }>();
  #refused = 0;
  #repeated = 0;

  constructor(parts: ReportsParts) {
    this.#parts = parts;
  }

  /** Reports that were heard again, and not stored again; and those beyond the limit. */
  get counts() {
    return { repeated: this.#repeated, refused: this.#refused };
  }

  get routes(): readonly Route[] {
    const route = (path: string, handle: (body: Buffer, now: number) => Reply | Problem): Route => ({
      method: 'POST',
      path,
      maxOctets,
      handle: ({ body }: Exchange) => {
        const now = this.#parts.now();
        const wait = this.#parts.limiter.take('all', now);
        if (wait === 0) return handle(body, now);
        this.#refused++;
        const headers = { 'retry-after': String(wait) };
        return { status: 429, title: 'Too many requests', detail: 'too many reports at present', headers };
      },
    });
    return [
      route('/vrp/reports', (body, now) => this.#report(body, now)),
      route('/vrp/statistics', (body, now) => this.#statistics(body, now)),
    ];
  }

  #report(body: Buffer, now: number): Reply | Problem {
    const { allowedTargets } = this.#parts;
    const { serverName = '', startTls = '', ...said } = readJson(failedCheck, body);
    const forbidden = forbiddenTarget(said.address, allowedTargets);
    if (forbidden !== undefined) throw new CoordinatorError('bad-request', `address: ${forbidden}`);
    const [leaf] = said.chain;
    if (!isCertificate(leaf!)) throw new CoordinatorError('bad-request', 'chain.0: no certificate');
    const target = { address: said.address, port: said.port, serverName, startTls, keyType: 0 as const };
    const codes = [...new Set(said.codes)].toSorted();
    const { chain, vas, mode, vouchers } = said;
    const report = { target, chain, codes, vas, mode, vouchers };
    const id = idOf(report);
    const times = this.#count(id, now);
    // At 1, 2, 4, 8 …: however often it comes, it is stored a few times a day.
    if ((times & (times - 1)) === 0) {
      // Minutes: seconds would say more of the reporter than of the server.
      const seenAt = Math.floor(said.seenAt / 60_000) * 60_000;
      return this.#published({ $case: 'failedCheck', failedCheck: { ...report, id, times, seenAt } }, now);
    }
    this.#repeated++;
    return accepted;
  }

  #statistics(body: Buffer, now: number): Reply | Problem {
    const { day: at, counts } = readJson(statistics, body);
    if (at > now + day) throw new CoordinatorError('bad-request', 'day: still to come');
    const said: CheckStatistics = { day: at, counts };
    return this.#published({ $case: 'statistics', statistics: said }, now);
  }

  #published(content: NonNullable<ClientReport['content']>, receivedAt: number): Reply | Problem {
    const { coordinator, publish } = this.#parts;
    if (publish({ content, coordinator, receivedAt })) return accepted;
    const headers = { 'retry-after': '60' };
    return { status: 503, title: 'Unavailable', detail: 'reports cannot be stored at present', headers };
  }

  /** How often within a day. */
  #count(id: Uint8Array, now: number): number {
    const key = Buffer.from(id).toString('base64');
    const known = this.#times.get(key);
    const entry = known && now - known.since < day ? known : { times: 0, since: now };
    entry.times++;
    this.#times.delete(key);
    this.#times.set(key, entry);
    if (this.#times.size > maxIds) this.#times.delete(this.#times.keys().next().value!);
    return entry.times;
  }
}

const accepted = jsonReply({ accepted: true }, 202);

function isCertificate(der: Uint8Array): boolean {
  try {
    parseCertificate(der);
    return true;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/** Over lengths and octets of every member, so that no two reports have the same input. */
function idOf(report: Omit<FailedCheck, 'id' | 'times' | 'seenAt'>): Buffer {
  const { address, port, serverName, startTls } = report.target!;
  const members: readonly (readonly (Uint8Array | string)[])[] = [
    [address, String(port), serverName, startTls, report.mode],
    report.chain,
    report.codes,
    report.vas,
    report.vouchers,
  ];
  const hash = createHash('sha256');
  for (const list of members) {
    hash.update(`${list.length}:`);
    for (const one of list) hash.update(`${one.length}:`).update(one);
  }
  return hash.digest();
}
