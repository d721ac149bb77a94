/** Whether a server, as a handshake showed it, has the second opinion that the client wants. */
import type { Certificate } from '@mecai/pki';
import { type ShownQuorum, type VerifiedVoucher, VoucherVerifier } from '@mecai/voucher';
import type { Candidate, Route } from './candidates.ts';
import { type CheckCode, type CheckFailure, checkVoucher, vaOf } from './check.ts';
import type { Choice } from './choice/choose.ts';
import { readableCertificates, RevocationCache } from './revocation-cache.ts';
import type { VaEntry, VaList } from './va-list/va-list.ts';

export type ServerCode =
  | CheckCode
  /** No VA could be chosen: the list has expired, or the rules leave too few, or are about an unknown country. */
  | 'no-choice'
  /** On no route was there anything that could be a voucher. */
  | 'no-voucher'
  /** Fewer of the chosen VAs vouched than have to. */
  | 'too-few-vouchers'
  /** The server certificate, or one of its intermediates, is revoked. */
  | 'certificate-revoked'
  /** Nothing current says that the server certificate is not revoked. */
  | 'certificate-status-unknown'
  /** An intranet host whose certificate does not come from the CA that its suffix is pinned to. */
  | 'not-pinned-ca';

export type ServerFailure = CheckFailure<ServerCode>;

/** What was seen of the server; the TLS stack has found the chain good and the key in its possession. */
export interface Handshake {
  /** DER certificates as the server sent them, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** See `Expectations`. */
  readonly rebuiltChain?: boolean;
  /** What the TLS stack put above the chain on the way to an anchor of its own, which is the last. */
  readonly above?: readonly Uint8Array[];
  /** The address connected to, as text. */
  readonly address: string;
  readonly port: number;
  /** The stapled OCSP response. */
  readonly ocsp?: Uint8Array;
}

export interface CheckerOptions {
  readonly list: VaList;
  /** Shared between checkers where one is at hand. */
  readonly revocation?: RevocationCache;
  /** Vouchers must be as new. Default 24 hours. */
  readonly maxAgeSeconds?: number;
  readonly clockSkewSeconds?: number;
  readonly trustContext?: string;
  readonly quorum?: Partial<ShownQuorum>;
  /** Whether something current must say of the VA certificate that it is not revoked. Default `require`. */
  readonly vaStatus?: 'require' | 'if-known';
  /** The same of the server certificate. Default `require`. */
  readonly serverStatus?: 'require' | 'if-known';
}

export interface JudgedVoucher {
  readonly route: Route;
  readonly voucher: Uint8Array;
  /** Absent for a VA that the list does not have. */
  readonly va?: VaEntry;
  readonly verified?: VerifiedVoucher;
  /** Empty: it speaks for the connection. */
  readonly failures: readonly CheckFailure[];
}

export interface ServerCheck {
  /** Empty: the connection may go on. */
  readonly failures: readonly ServerFailure[];
  readonly vouchers: readonly JudgedVoucher[];
  /** Of the server certificate, after what the vouchers say was taken over. */
  readonly status: 'good' | 'revoked' | 'stale' | 'unknown';
}

export class Checker {
  readonly revocation: RevocationCache;
  readonly #verifier: VoucherVerifier;
  readonly #options: CheckerOptions;

  constructor(options: CheckerOptions) {
    const { list, maxAgeSeconds = 86_400, clockSkewSeconds } = options;
    this.#options = options;
    this.revocation = options.revocation ?? new RevocationCache();
    this.#verifier = new VoucherVerifier({
      // All of them: whether a VA counts for this connection is a code of its own.
      roots: list.vas.flatMap(({ roots }) => roots),
      maxAgeSeconds,
      ...(clockSkewSeconds !== undefined && { clockSkewSeconds }),
    });
  }

  /**
   * Judges the candidates until as many VAs have vouched as the choice wants. Throws `AddressError` for an address
   * that is none; whatever the server sent becomes a failure.
   */
  check(handshake: Handshake, candidates: Iterable<Candidate>, choice: Choice, now: Date): ServerCheck {
    const certificates = readableCertificates([...handshake.chain, ...(handshake.above ?? [])]);
    const vouchers: JudgedVoucher[] = [];
    const accepted = new Set<VaEntry>();
    for (const candidate of candidates) {
      const judged = this.#judge(candidate, handshake, choice, now);
      vouchers.push(judged);
      if (judged.failures.length > 0) continue;
      accepted.add(judged.va!);
      this.revocation.importVoucher(judged.verified!.content, certificates, now);
      if (accepted.size >= choice.accept) break;
    }
    const [leaf] = certificates;
    if (handshake.ocsp && leaf) this.revocation.importOcsp(handshake.ocsp, leaf, certificates, now);
    const status = leaf ? this.revocation.status(leaf, now) : 'unknown';
    const failures = [
      ...voucherFailures(vouchers, accepted.size, choice.accept),
      ...this.#statusFailures(handshake, certificates, status, now),
    ];
    return { failures, vouchers, status };
  }

  #judge({ route, voucher }: Candidate, handshake: Handshake, choice: Choice, now: Date): JudgedVoucher {
    const { trustContext, quorum, vaStatus = 'require' } = this.#options;
    const { chain, rebuiltChain, address, port } = handshake;
    const { failures, verified } = checkVoucher(
      voucher,
      {
        chain,
        ...(rebuiltChain && { rebuiltChain }),
        address,
        port,
        ...(trustContext !== undefined && { trustContext }),
        ...(quorum && { quorum }),
        choice,
        vaStatus,
      },
      { verifier: this.#verifier, now },
    );
    const va = verified && vaOf(verified, choice.list.vas);
    return { route, voucher, failures, ...(va && { va }), ...(verified && { verified }) };
  }

  #statusFailures(
    { chain }: Handshake,
    certificates: readonly Certificate[],
    status: ServerCheck['status'],
    now: Date,
  ): ServerFailure[] {
    const revoked = certificates
      .slice(0, chain.length)
      .some((one) => this.revocation.status(one, now) === 'revoked');
    if (revoked) return [{ code: 'certificate-revoked', message: 'a certificate of the server is revoked' }];
    if (status === 'good' || this.#options.serverStatus === 'if-known') return [];
    const message = `the revocation status of the server certificate is ${status}`;
    return [{ code: 'certificate-status-unknown', message }];
  }
}

function voucherFailures(
  vouchers: readonly JudgedVoucher[],
  accepted: number,
  wanted: number,
): ServerFailure[] {
  if (accepted >= wanted) return [];
  if (vouchers.length === 0) return [{ code: 'no-voucher', message: 'the server has shown no voucher' }];
  const refused = vouchers.flatMap(({ failures }) => failures);
  if (accepted === 0) return refused;
  return [
    { code: 'too-few-vouchers', message: `${accepted} VAs vouched, where ${wanted} have to` },
    ...refused,
  ];
}
