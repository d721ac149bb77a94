/** CRLs and OCSP responses as they arrive: in pieces, bounded, a few at a time. */
import { type ServerReadableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import {
  RefusalCode,
  RevocationEvidenceKind,
  type SupplyRequest,
  type SupplyResponse,
} from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import type { Issuance } from './issuance.ts';
import { RefusedError } from './refusal.ts';

export type SupplyCall = ServerReadableStream<SupplyRequest, SupplyResponse>;
export type Respond = sendUnaryData<SupplyResponse>;

/** Of one coordinator at once. */
const maxAtOnce = 4;
/** Within which the last piece has to arrive, milliseconds. */
const arriveWithinMs = 30_000;

const kinds: Partial<Record<RevocationEvidenceKind, 'crl' | 'ocsp'>> = {
  [RevocationEvidenceKind.REVOCATION_EVIDENCE_KIND_CRL]: 'crl',
  [RevocationEvidenceKind.REVOCATION_EVIDENCE_KIND_OCSP]: 'ocsp',
};

export class Supplies {
  readonly #issuance: () => Issuance;
  readonly #maxOctets: () => number;
  readonly #log: Logger;
  readonly #open = new Map<string, number>();

  /** @param maxOctets of one CRL */
  constructor(issuance: () => Issuance, maxOctets: () => number, log: Logger) {
    this.#issuance = issuance;
    this.#maxOctets = maxOctets;
    this.#log = log;
  }

  take(call: SupplyCall, coordinator: string, respond: Respond): void {
    const open = this.#open.get(coordinator) ?? 0;
    if (open >= maxAtOnce) {
      respond({ code: status.RESOURCE_EXHAUSTED, details: `${maxAtOnce} supplies are under way` });
      return;
    }
    this.#open.set(coordinator, open + 1);
    const pieces: Uint8Array[] = [];
    let octets = 0;
    let about: { kind: 'crl' | 'ocsp'; add: ReturnType<Issuance['supply']> } | undefined;
    let done = false;
    const finish: Respond = (...answer) => {
      if (done) return;
      done = true;
      clearTimeout(patience);
      pieces.length = 0;
      this.#open.set(coordinator, this.#open.get(coordinator)! - 1);
      respond(...answer);
    };
    const refuse = (detail: string) => {
      if (!done) this.#log.warn({ coordinator, detail, octets }, 'revocation evidence refused');
      finish(null, { accepted: false, detail });
    };
    /** Refusals are answers, anything else is a mistake here. */
    const failed = (error: unknown) => {
      if (error instanceof RefusedError && error.refused.code === RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW) {
        // Says nothing of the evidence.
        finish({ code: status.FAILED_PRECONDITION, details: error.message });
      } else if (error instanceof RefusedError) refuse(error.message);
      else {
        this.#log.error({ err: error }, 'supply failed');
        finish({ code: status.INTERNAL, details: 'internal error' });
      }
    };
    const patience = setTimeout(() => {
      finish({ code: status.DEADLINE_EXCEEDED, details: 'the last piece did not come' });
    }, arriveWithinMs);

    call.on('data', ({ nonce, link, kind, piece }: SupplyRequest) => {
      if (done) return;
      try {
        if (!about) {
          const known = kinds[kind];
          if (!known) return refuse('neither CRL nor OCSP response');
          about = { kind: known, add: this.#issuance().supply(nonce, link, coordinator) };
        }
        octets += piece.length;
        const maxOctets = this.#maxOctets();
        if (octets > maxOctets) return refuse(`longer than ${maxOctets} octets`);
        pieces.push(piece);
      } catch (error) {
        failed(error);
      }
    });
    call.on('end', () => {
      if (done) return;
      if (!about) return refuse('nothing was sent');
      const { kind, add } = about;
      add(kind, Uint8Array.from(Buffer.concat(pieces))).then(
        () => finish(null, { accepted: true, detail: '' }),
        failed,
      );
    });
    const gone = () => finish({ code: status.CANCELLED, details: 'cancelled' });
    call.on('cancelled', gone);
    call.on('error', gone);
  }
}
