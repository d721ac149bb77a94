/** One voucher request: who asks, whether they may, and a result for each chain. */
import { createHash } from 'node:crypto';
import { type Prefix, forbiddenTarget } from '@mecai/addresses';
import type { Logger } from '@mecai/runtime';
import {
  type ChainResult,
  type ReceivedVoucherRequest,
  type VoucherResponse,
  VoucherError,
  checkVoucherRequest,
  verifyKeyProof,
} from '@mecai/voucher';
import type { CoordinatorConfig } from './config.ts';
import type { Question } from './decide.ts';
import { CoordinatorError } from './error.ts';
import type { Nonces } from './nonces.ts';
import { RateLimiter, limitKey } from './rate-limits.ts';

export interface VrpParts {
  readonly config: Pick<CoordinatorConfig, 'limits' | 'requireKeyProof'>;
  readonly allowedTargets: readonly Prefix[];
  readonly nonces: Nonces;
  readonly decide: (question: Question) => Promise<ChainResult>;
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

const retryUnavailableSeconds = 10;
const maxRemembered = 10_000;

export class VrpHandler {
  readonly #parts: VrpParts;
  // In the order of last use.
  readonly #good = new Set<string>();
  readonly #limiters: Record<'authenticated' | 'unauthenticated' | 'target' | 'global', RateLimiter>;

  constructor(parts: VrpParts) {
    this.#parts = parts;
    const { authenticated, unauthenticated, target, global } = parts.config.limits;
    this.#limiters = {
      authenticated: new RateLimiter(authenticated),
      unauthenticated: new RateLimiter(unauthenticated),
      target: new RateLimiter(target),
      global: new RateLimiter(global),
    };
  }

  /** Never rejects. */
  async handle(request: ReceivedVoucherRequest, requester: Requester): Promise<Answer> {
    const addresses = [request.ipv4, request.ipv6].filter((address) => address !== undefined);
    for (const address of addresses) {
      const reason = forbiddenTarget(address, this.#parts.allowedTargets);
      if (reason !== undefined) return refuse('forbidden-target', reason);
    }
    const problem = this.#problem(request);
    if (problem !== undefined) return refuse('malformed', problem);
    let proven: ReadonlySet<number>;
    try {
      proven = this.#provenChains(request, requester);
    } catch (error) {
      if (error instanceof VoucherError) return refuse('unauthenticated', error.message);
      throw error;
    }
    const answers = await Promise.all(
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
            requester: requester.address,
            authenticated: proven.has(index),
          },
          addresses,
        ),
      ),
    );
    return {
      response: { results: answers.map(({ result }) => result) },
      unavailable: answers.every(({ unavailable }) => unavailable),
    };
  }

  /** What `checkVoucherRequest` finds. Servers ask about the same chains twice a day: good ones are remembered. */
  #problem(request: ReceivedVoucherRequest): string | undefined {
    const hash = createHash('sha256').update(`${request.serverName} `);
    for (const chain of request.chains) for (const der of chain) hash.update(`${der.length} `).update(der);
    const id = hash.digest('base64');
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

  async #chain(
    question: Question,
    addresses: readonly Uint8Array[],
  ): Promise<{ result: ChainResult; unavailable: boolean }> {
    const { authenticated, requester } = question;
    const refused = (reason: 'unauthenticated' | 'rate-limited', detail: string, retryAfter?: number) => ({
      result: {
        status: 'refused',
        reason,
        detail,
        perspectives: [],
        ...(retryAfter !== undefined && { retryAfter }),
      } as const,
      unavailable: false,
    });
    if (this.#parts.config.requireKeyProof && !authenticated) {
      return refused(
        'unauthenticated',
        'prove the server key: TLS client authentication, or a signature over a nonce',
      );
    }
    const now = this.#parts.now();
    const waits: readonly (readonly [string, number])[] = [
      [
        'this requester',
        this.#limiters[authenticated ? 'authenticated' : 'unauthenticated'].take(limitKey(requester), now),
      ],
      ...addresses.map(
        (address) => ['this target', this.#limiters.target.take(limitKey(address), now)] as const,
      ),
      ['all requesters together', this.#limiters.global.take('', now)],
    ];
    const [whose, seconds] = waits.reduce((longest, wait) => (wait[1] > longest[1] ? wait : longest));
    if (seconds > 0) return refused('rate-limited', `too many requests for ${whose}`, seconds);
    try {
      return { result: await this.#parts.decide(question), unavailable: false };
    } catch (error) {
      const known = error instanceof CoordinatorError;
      this.#parts.log[known ? 'warn' : 'error']({ err: error }, 'no decision');
      const detail = known ? error.message : 'internal error';
      return {
        result: { status: 'inconclusive', detail, retryAfter: retryUnavailableSeconds, perspectives: [] },
        unavailable: true,
      };
    }
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

export const refuse = (reason: NonNullable<ChainResult['reason']>, detail: string): Answer => ({
  response: { results: [{ status: 'refused', reason, detail: detail.slice(0, 300), perspectives: [] }] },
  unavailable: false,
});
