/**
 * The last look at a voucher before it leaves the signer: final bytes against what was meant, by the
 * decoder, which shares nothing with the encoder but object identifiers and limits.
 */
import type { Certificate, RevocationDocument } from '@mecai/pki';
import { parseSignedVoucher, type SignedVoucher } from './cms-decoder.ts';
import { VoucherError } from './error.ts';
import { differences } from './lint-differences.ts';
import { shownQuorum } from './quorum.ts';
import { readCertificate, voucherKey } from './va-certificate.ts';
import { checkDigest, checkSignature } from './verify.ts';
import type { Voucher } from './voucher.ts';

export const lintRules = [
  /** Strict DER of the profile in mecai.asn1. */
  'form',
  'digest',
  'signature',
  /** The signer's certificate is the one expected, and it and its intermediates are what is included. */
  'certificates',
  /** The CRLs and OCSP responses about them are those meant. */
  'revocation',
  /** Each field is what was meant. */
  'content',
  /** The serial is random: not one octet sixteen times over. */
  'serial',
  /** notAfter - producedAt is within the bound. */
  'lifetime',
  /** The voucher lives within the VA certificate's validity period. */
  'va-certificate-lifetime',
  /** signing-time is near producedAt. */
  'signing-time',
  /** Each CRL was current at producedAt. */
  'crl-time',
  /** The perspectives shown meet the quorum stated. */
  'quorum',
] as const;
export type LintRule = (typeof lintRules)[number];

export interface LintProblem {
  readonly rule: LintRule;
  readonly message: string;
}

export interface LinterOptions {
  /** DER of the certificate whose key must have signed. */
  readonly vaCertificate: Uint8Array;
  /** DER of what else must be included. */
  readonly intermediates: readonly Uint8Array[];
  /** Default 86400. */
  readonly maxLifetimeSeconds?: number;
  /** Between producedAt and signing-time, either way. Default 60. */
  readonly maxSigningDelaySeconds?: number;
}

/** Empty: nothing to find fault with. */
export type VoucherLinter = (
  signedVoucher: Uint8Array,
  meant: Voucher,
  revocation?: readonly RevocationDocument[],
) => readonly LintProblem[];

/**
 * A linter for the vouchers of one VA certificate. Throws `VoucherError` `malformed` or
 * `not-a-voucher-certificate` for that certificate; the linter itself does not throw.
 */
export function voucherLinter(options: LinterOptions): VoucherLinter {
  const { vaCertificate, intermediates } = options;
  const { maxLifetimeSeconds = 86_400, maxSigningDelaySeconds = 60 } = options;
  const certificate = readCertificate(vaCertificate, 'VA certificate');
  const key = voucherKey(certificate);
  const included = [vaCertificate, ...intermediates];

  return (signedVoucher, meant, revocation = []) => {
    let parsed: SignedVoucher;
    try {
      parsed = parseSignedVoucher(signedVoucher);
    } catch (error) {
      return [{ rule: 'form', message: messageOf(error) }];
    }
    const { voucher } = parsed;
    const problems: LintProblem[] = [];
    const report = (rule: LintRule, message: string | undefined) => {
      if (message !== undefined) problems.push({ rule, message });
    };
    report(
      'digest',
      thrown(() => checkDigest(parsed)),
    );
    report(
      'signature',
      thrown(() => checkSignature(parsed, key)),
    );
    report('certificates', certificatesProblem(parsed, vaCertificate, included));
    report('revocation', revocationProblem(parsed, revocation));
    for (const field of differences(voucher, meant)) report('content', `${field} is not what was meant`);
    report('serial', serialProblem(voucher));
    report('lifetime', lifetimeProblem(voucher, maxLifetimeSeconds));
    report('va-certificate-lifetime', certificateLifetimeProblem(voucher, certificate));
    report('signing-time', signingTimeProblem(parsed, maxSigningDelaySeconds));
    report('crl-time', crlTimeProblem(voucher));
    report('quorum', quorumProblem(voucher));
    return problems;
  };
}

/** `voucherLinter` for one voucher. */
export const lintVoucher = (
  signedVoucher: Uint8Array,
  {
    meant,
    revocation,
    ...options
  }: LinterOptions & { readonly meant: Voucher; readonly revocation?: readonly RevocationDocument[] },
): readonly LintProblem[] => voucherLinter(options)(signedVoucher, meant, revocation);

function certificatesProblem(
  parsed: SignedVoucher,
  vaCertificate: Uint8Array,
  included: readonly Uint8Array[],
): string | undefined {
  if (!same(parsed.vaCertificate, vaCertificate)) return 'signed under another certificate';
  const complete =
    parsed.certificates.length === included.length &&
    included.every((wanted) => parsed.certificates.some((one) => same(one, wanted)));
  return complete ? undefined : 'the certificates included are not those of the VA';
}

function revocationProblem(parsed: SignedVoucher, meant: readonly RevocationDocument[]): string | undefined {
  const complete =
    parsed.revocation.length === meant.length &&
    meant.every((wanted) =>
      parsed.revocation.some((one) => one.kind === wanted.kind && same(one.der, wanted.der)),
    );
  return complete ? undefined : 'the CRLs and OCSP responses included are not those meant';
}

const serialProblem = ({ serial }: Voucher): string | undefined =>
  serial.every((octet) => octet === serial[0]) ? 'the serial is one octet repeated' : undefined;

function lifetimeProblem({ producedAt, notAfter }: Voucher, most: number): string | undefined {
  const seconds = (notAfter.getTime() - producedAt.getTime()) / 1000;
  return seconds > most ? `a lifetime of ${seconds} seconds, above ${most}` : undefined;
}

const certificateLifetimeProblem = (voucher: Voucher, certificate: Certificate): string | undefined =>
  voucher.producedAt < certificate.notBefore || voucher.notAfter > certificate.notAfter
    ? "outside the VA certificate's validity period"
    : undefined;

function signingTimeProblem({ voucher, signingTime }: SignedVoucher, most: number): string | undefined {
  const seconds = Math.abs(signingTime.getTime() - voucher.producedAt.getTime()) / 1000;
  return seconds > most ? `signed ${seconds} seconds from producedAt, above ${most}` : undefined;
}

function crlTimeProblem({ status, producedAt }: Voucher): string | undefined {
  const stale = status.find(
    (one) => 'crl' in one && (one.crl.thisUpdate > producedAt || one.crl.nextUpdate < producedAt),
  );
  return stale ? `the CRL for certificate ${stale.certificate} was not current` : undefined;
}

function quorumProblem(voucher: Voucher): string | undefined {
  const shown = shownQuorum(voucher);
  for (const what of ['matches', 'regions', 'networks'] as const) {
    if (shown[what] < voucher.quorum[what]) {
      return `${shown[what]} ${what} shown where ${voucher.quorum[what]} are needed`;
    }
  }
  return undefined;
}

function thrown(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Only this package's errors are findings; anything else is a mistake in it and must be seen. */
function messageOf(error: unknown): string {
  if (error instanceof VoucherError) return `${error.code}: ${error.message}`;
  throw error;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
