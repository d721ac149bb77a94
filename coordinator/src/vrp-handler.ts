/** One voucher request: who asks, whether they may, and a result for each chain. */
import { hash } from 'node:crypto';
import { type Prefix, forbiddenTarget } from '@mecai/addresses';
import { type Context, type Logger, traced } from '@mecai/runtime';
import {
  type ChainResult,
  type ReceivedVoucherRequest,
  type RefusalReason,
  type VoucherResponse,
  VoucherError,
  checkVoucherRequest,
  verifyKeyProof,
} from '@mecai/voucher';
import type { CoordinatorConfig } from './config.ts';
import { type Decided, type Question, retryAfter } from './decide.ts';
import { CoordinatorError } from './error.ts';
import type { CoordinatorMeasures } from './measures.ts';
import type { Nonces } from './nonces.ts';
import { RateLimiter, limitKey } from './rate-limits.ts';

export interface VrpParts {
  /** Looked at anew with each request. */
  readonly config: Pick<CoordinatorConfig, 'limits' | 'requireKeyProof'>;
  readonly allowedTargets: readonly Prefix[];
  readonly nonces: Nonces;
  readonly decide: (question: Question) => Promise<Decided>;
  readonly measures: Pick<CoordinatorMeasures, 'decision' | 'limited'>;
  readonly log: Logger;
  readonly now: () => number;
}

export interface Requester {
  readonly address: Uint8Array;
  /** Certificate whose key the TLS client proved to hold, DER. */
  readonly clientCertificate?: Uint8Array;
}

export interface Answer {
  readonly response: VoucherResponse;
  /** Nothing could even be tried. */
  readonly unavailable: boolean;
}

type Limited = 'authenticated' | 'unauthenticated' | 'target' | 'global';

const maxRemembered = 10_000;

export class VrpHandler {
  readonly #parts: VrpParts;
  // In the order of last use.
  readonly #good = new Set<string>();
  readonly #limiters: Record<Limited, RateLimiter>;

  constructor(parts: VrpParts) {
    this.#parts = parts;
    const limiter = (of: Limited) => new RateLimiter(() => parts.config.limits[of]);
    this.#limiters = {
      authenticated: limiter('authenticated'),
      unauthenticated: limiter('unauthenticated'),
      target: limiter('target'),
      global: limiter('global'),
    };
  }

  /** Cheap checks come before expensive ones, and the requester pays before either. */
  async handle(request: ReceivedVoucherRequest, requester: Requester, trace?: Context): Promise<Answer> {
    const wait = this.#limiters.authenticated.take(limitKey(requester.address), this.#parts.now());
    if (wait > 0) {
      this.#parts.measures.limited({ limit: 'requester' });
      return refuse('rate-limited', tooMany.requester, wait);
    }
    const addresses = [request.ipv4, request.ipv6].filter((address) => address !== undefined);
    for (const address of addresses) {
      const reason = forbiddenTarget(address, this.#parts.allowedTargets);
      if (reason !== undefined) return refuse('forbidden-target', reason);
    }
    const digests = request.chains.map((chain) => chain.map(sha256));
    const problem = this.#problem(request, digests);
    if (problem !== undefined) return refuse('malformed', problem);
    let proven: ReadonlySet<number>;
    try {
      proven = this.#provenChains(request, requester);
    } catch (error) {
      if (error instanceof VoucherError) return refuse('unauthenticated', error.message);
      throw error;
    }
    const paid = Math.min(...proven);
    const decided = await Promise.all(
      request.chains.map((chain, index) =>
        this.#chain(
          {
            subject: {
              addresses,
              port: request.port,
              serverName: request.serverName,
              startTls: request.startTls ?? '',
              chain: [...chain],
            },
            digests: digests[index]!,
            requester: requester.address,
            authenticated: proven.has(index),
            trace,
          },
          index === paid,
        ),
      ),
    );
    return {
      response: { results: decided.map(({ result }) => result) },
      unavailable: decided.every(({ unavailable }) => unavailable),
    };
  }

  /** What `checkVoucherRequest` finds. Servers ask about the same chains twice a day: good ones are remembered. */
  #problem(request: ReceivedVoucherRequest, digests: readonly (readonly Buffer[])[]): string | undefined {
    // No host name has a space or a comma in it.
    const id = `${request.serverName} ${digests.map((chain) => chain.map(base64).join(',')).join(' ')}`;
    if (this.#good.delete(id)) {
      this.#good.add(id);
      return undefined;
    }
    const { problems } = checkVoucherRequest(request);
    if (problems.length > 0) return problems.map(({ message }) => message).join('; ');
    this.#good.add(id);
    if (this.#good.size > maxRemembered) this.#good.delete(this.#good.values().next().value!);
    return undefined;
  }

  async #chain(question: Question, paid: boolean): Promise<Decided> {
    const began = performance.now();
    const decided = await this.#decided(question, paid);
    const { status, reason = '' } = decided.result;
    this.#parts.measures.decision(performance.now() - began, { status, reason });
    // Of a flood that asks to be traced there is no line for each.
    if (question.trace && reason !== 'rate-limited')
      traced(this.#parts.log, question.trace).info({ status, reason }, 'decided');
    return decided;
  }

  /** @param paid the requester's token has been taken */
  async #decided(question: Question, paid: boolean): Promise<Decided> {
    const leaf = question.digests[0]!;
    if (this.#parts.config.requireKeyProof && !question.authenticated) {
      const detail = 'prove the server key: TLS client authentication, or a signature over a nonce';
      return { result: { leaf, ...refusal('unauthenticated', detail) }, unavailable: false };
    }
    const limited = this.#limited(question, paid);
    if (limited) {
      const { limit, seconds } = limited;
      this.#parts.measures.limited({ limit });
      return {
        result: { leaf, ...refusal('rate-limited', tooMany[limit], seconds) },
        unavailable: false,
      };
    }
    try {
      return await this.#parts.decide(question);
    } catch (error) {
      const known = error instanceof CoordinatorError;
      traced(this.#parts.log, question.trace)[known ? 'warn' : 'error']({ err: error }, 'no decision');
      return {
        result: {
          leaf,
          status: 'inconclusive',
          detail: known ? error.message : 'internal error',
          retryAfter: retryAfter.unavailable,
          perspectives: [],
        },
        unavailable: true,
      };
    }
  }

  /** Takes from one bucket after the other: who is stopped by his own limit costs nobody else a token. */
  #limited(
    { requester, authenticated, subject }: Question,
    paid: boolean,
  ): { limit: keyof typeof tooMany; seconds: number } | undefined {
    const now = this.#parts.now();
    const kind = authenticated ? 'authenticated' : 'unauthenticated';
    let seconds = paid ? 0 : this.#limiters[kind].take(limitKey(requester), now);
    if (seconds > 0) return { limit: 'requester', seconds };
    for (const address of subject.addresses) {
      // Apart, so that strangers cannot use up what the server's own operator needs.
      seconds = this.#limiters.target.take(`${kind} ${limitKey(address)}`, now);
      if (seconds > 0) return { limit: 'target', seconds };
    }
    seconds = this.#limiters.global.take('', now);
    return seconds > 0 ? { limit: 'global', seconds } : undefined;
  }

  /** @throws VoucherError when a proof is given but does not hold */
  #provenChains(request: ReceivedVoucherRequest, { clientCertificate }: Requester): ReadonlySet<number> {
    const proven = new Set<number>();
    request.chains.forEach(([leaf], index) => {
      if (clientCertificate && Buffer.compare(leaf!, clientCertificate) === 0) proven.add(index);
    });
    if (request.proofs && request.proofs.length > 0) {
      if (!request.nonce || !this.#parts.nonces.isGood(request.nonce, this.#parts.now())) {
        throw new VoucherError('bad-signature', 'key proof: the nonce is not one of ours or too old');
      }
      for (const proof of request.proofs) {
        const leaf = request.chains[proof.chain]?.[0];
        if (!leaf || !verifyKeyProof(request.tbs, proof, leaf)) {
          throw new VoucherError('bad-signature', `key proof for chain ${proof.chain} does not hold`);
        }
        proven.add(proof.chain);
      }
    }
    return proven;
  }
}

const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');
const base64 = (bytes: Buffer) => bytes.toString('base64');
const tooMany = {
  requester: 'too many requests for this requester',
  target: 'too many requests for this target',
  global: 'too many requests for all requesters together',
} as const;

const refusal = (reason: RefusalReason, detail: string, retryAfter?: number): ChainResult => ({
  status: 'refused',
  reason,
  detail,
  perspectives: [],
  ...(retryAfter !== undefined && { retryAfter }),
});

/** Of the request as a whole. */
export const refuse = (reason: RefusalReason, detail: string, retryAfter?: number): Answer => ({
  response: { results: [refusal(reason, detail, retryAfter)] },
  unavailable: false,
});
