/** Brings the signer the revocation evidence it cannot fetch itself. */
import { promises as dns } from 'node:dns';
import { hash as digest } from 'node:crypto';
import { type Prefix, forbiddenTarget, parseAddress } from '@mecai/addresses';
import {
  type CertificateStatus,
  PkiError,
  RevocationSource,
  httpFetch,
  nameText,
  parseCertificate,
} from '@mecai/pki';
import { type Drawn, type Link, RevocationEvidenceKind } from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import type { CoordinatorConfig } from './config.ts';
import { CoordinatorError } from './error.ts';
import type { SignerClient } from './signer-client.ts';

export interface RevocationParts {
  readonly source: Pick<RevocationSource, 'check' | 'refreshDue'>;
  readonly signer: Pick<SignerClient, 'supply'>;
  /** For all certificates of a chain together, milliseconds. */
  readonly deadlineMs: number;
  /** What was found out about a certificate, and handed in, stands for so long: milliseconds. */
  readonly lookAgainMs: number;
  readonly log: Logger;
}

interface Document {
  readonly kind: RevocationEvidenceKind;
  readonly der: Uint8Array;
  readonly id: string;
}

/** After this a document is handed in again: the signer may have had to forget it. */
const settledMs = 600_000;
/** Documents remembered, and links. */
const maxRemembered = 100_000;

/** In the place of a nonce. */
const ofVa = new Uint8Array();
/** The signer keeps what is about the VA apart. */
const about = (nonce: Uint8Array) => (nonce.length === 0 ? 'VA' : 'chain');

export class Revocation {
  readonly #parts: RevocationParts;
  /** What this signer has, or does not want, and when it said so: milliseconds of the monotonic clock. */
  #settled = new Map<string, number>();
  readonly #supplying = new Map<string, Promise<void>>();
  /** Links of which all is settled, and until when: milliseconds of the monotonic clock. */
  #known = new Map<string, number>();
  #vaLinks: readonly Link[] = [];
  /** One supply at a time: the signer reads large ones into memory. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  /** The signer may be another, without a memory of what it was given. */
  forget(): void {
    this.#settled = new Map();
    this.#known = new Map();
  }

  /**
   * Finds out about every certificate of the draw, and hands the signer what it has not got yet. Never rejects;
   * what has not come at the deadline is left out, and arrives in the cache for the next question.
   */
  async bring({ nonce, links }: Pick<Drawn, 'nonce' | 'links'>, log = this.#parts.log): Promise<void> {
    const now = performance.now();
    const ids = links.map(
      ({ certificate, issuer }) => `${about(nonce)} ${hash(certificate)} ${hash(issuer)}`,
    );
    if (ids.every((id) => (this.#known.get(id) ?? 0) > now)) return;
    const signal = AbortSignal.timeout(this.#parts.deadlineMs);
    const known = this.#known;
    const bringing = Promise.all(
      links.map(async (link, at) => {
        if (await this.#bringOne(nonce, link, at, signal, log)) {
          remember(known, ids[at]!, performance.now() + this.#parts.lookAgainMs);
        }
      }),
    );
    const late = Promise.withResolvers<void>();
    const giveUp = () => late.resolve();
    signal.addEventListener('abort', giveUp);
    await Promise.race([bringing, late.promise]);
    signal.removeEventListener('abort', giveUp);
  }

  /** Brings the signer what there is about the VA's own certificates, now and with each refresh. */
  async bringOfVa(links: readonly Link[]): Promise<void> {
    this.#vaLinks = links;
    await this.bring({ nonce: ofVa, links: [...links] });
  }

  /** Renews what is due, again and again, until the returned function is called. */
  refreshEvery(ms: number, fail: (error: unknown) => void): () => void {
    const timer = setInterval(() => {
      this.#refresh().catch(fail);
    }, ms);
    return () => clearInterval(timer);
  }

  async #refresh(): Promise<void> {
    await this.#parts.source.refreshDue();
    await this.bringOfVa(this.#vaLinks);
  }

  /** @returns whether nothing was left open */
  async #bringOne(
    nonce: Uint8Array,
    link: Link,
    at: number,
    signal: AbortSignal,
    log: Logger,
  ): Promise<boolean> {
    const { source } = this.#parts;
    try {
      const path = [parseCertificate(link.certificate), parseCertificate(link.issuer)];
      const statuses = await source.check({ path, signal });
      for (const status of statuses) {
        for (const { source: kind, url, error } of status.problems) {
          const certificate = nameText(status.certificate.subject);
          log.warn({ certificate, source: kind, url, code: error.code, err: error }, 'revocation source');
        }
        for (const document of documentsOf(status, link)) await this.#supply(nonce, at, document, log);
      }
      return statuses.every(({ problems }) => problems.length === 0);
    } catch (error) {
      const known = error instanceof PkiError || error instanceof CoordinatorError;
      log[known ? 'warn' : 'error']({ err: error }, 'revocation evidence not supplied');
      return false;
    }
  }

  async #supply(nonce: Uint8Array, link: number, document: Document, log: Logger): Promise<void> {
    const id = `${about(nonce)} ${document.id}`;
    for (;;) {
      if (performance.now() - (this.#settled.get(id) ?? Number.NEGATIVE_INFINITY) < settledMs) return;
      const underWay = this.#supplying.get(id);
      if (!underWay) break;
      // It went in the name of another draw, maybe to a signer that is gone: this one's own turn comes after it.
      await underWay.catch(() => undefined);
    }
    const supplying = this.#inTurn(() => this.#send(nonce, link, document, id, log)).finally(() =>
      this.#supplying.delete(id),
    );
    this.#supplying.set(id, supplying);
    await supplying;
  }

  async #send(
    nonce: Uint8Array,
    link: number,
    { kind, der }: Document,
    id: string,
    log: Logger,
  ): Promise<void> {
    const settled = this.#settled;
    const { accepted, detail } = await this.#parts.signer.supply(nonce, link, kind, der);
    if (!accepted) log.warn({ detail }, 'the signer refuses revocation evidence');
    // What it refuses, it refuses again. If it is gone meanwhile, this is nobody's memory any more.
    remember(settled, id, performance.now());
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(action);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** The CRL comes before its delta, and both whether they say good or revoked: the signer judges. */
function documentsOf({ evidence }: CertificateStatus, { certificate, issuer }: Link): Document[] {
  const crl = RevocationEvidenceKind.REVOCATION_EVIDENCE_KIND_CRL;
  const ocsp = RevocationEvidenceKind.REVOCATION_EVIDENCE_KIND_OCSP;
  return evidence.flatMap((one): Document[] => {
    switch (one.kind) {
      case 'ocsp': {
        const { der } = one.verdict;
        return [{ kind: ocsp, der, id: `${hash(certificate)} ${hash(issuer)} ${hash(der)}` }];
      }
      case 'crl':
        return [one.crl, ...(one.delta ? [one.delta] : [])].map(({ der, sha256 }) => ({
          kind: crl,
          der,
          id: `${hash(issuer)} ${Buffer.from(sha256).toString('base64')}`,
        }));
      case 'short-lived':
        return [];
      default:
        return one satisfies never;
    }
  });
}

const hash = (bytes: Uint8Array) => digest('sha256', bytes, 'base64');

function remember(memory: Map<string, number>, id: string, at: number): void {
  memory.delete(id);
  memory.set(id, at);
  if (memory.size > maxRemembered) memory.delete(memory.keys().next().value!);
}

/** Fetches over HTTP from addresses that may be probed, and from no others. */
export function revocationSource(
  config: CoordinatorConfig['revocation'],
  allowedTargets: readonly Prefix[],
): RevocationSource {
  return new RevocationSource({
    fetch: httpFetch({
      resolve: async (host) => (await dns.lookup(host, { all: true })).map(({ address }) => address),
      isAllowed: (address) => forbiddenTarget(parseAddress(address), allowedTargets) === undefined,
      timeout: config.fetchTimeoutMs,
    }),
    clock: () => new Date(),
    maxAge: config.maxAgeMs,
    retryAfter: config.retryAfterMs,
    crlOctets: config.crlOctets,
    cacheOctets: config.cacheOctets,
  });
}
