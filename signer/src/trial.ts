import { parseAddress } from '@mecai/addresses';
import { type QuorumPolicy, type Registry, allowedNonCorroborations, rirs } from '@mecai/corroboration';
import {
  type PreparedVoucher,
  type Voucher,
  VoucherError,
  voucherLinter,
  voucherSigner,
} from '@mecai/voucher';
import { SignerError } from './error.ts';
import type { VaChain } from './va-chain.ts';
import { statedQuorum } from './voucher-content.ts';

/** What the vouchers of this signer will have in common. */
export interface TrialOf {
  readonly va: VaChain;
  readonly policy: QuorumPolicy;
  readonly registry: Registry;
  readonly trustContexts: readonly string[];
}

/**
 * Whether vouchers come out with this configuration, found out before anyone asks for one.
 *
 * @returns what the HSM would have to sign, for a documentation address and one second
 * @throws SignerError `unusable-configuration`
 */
export function prepareTrial(
  { va, policy, registry, trustContexts }: TrialOf,
  serial: Uint8Array,
  now: Date,
): { voucher: Voucher; prepared: PreparedVoucher } {
  const producedAt = new Date(Math.floor(now.getTime() / 1000) * 1000);
  const asked = policy.perspectives;
  const quorum = statedQuorum(policy, asked, asked - allowedNonCorroborations(asked));
  const voucher: Voucher = {
    serial,
    ipv4: parseAddress('192.0.2.1'),
    port: 443,
    leaf: new Uint8Array(32),
    intermediates: [],
    status: [],
    producedAt,
    notAfter: new Date(producedAt.getTime() + 1000),
    trustContexts,
    quorum,
    directoryVersion: registry.version,
    // ZZ and 64496 to 64511 stand for nobody (ISO 3166-1 user-assigned, RFC 5398).
    perspectives: Array.from({ length: asked }, (_, i) => ({
      country: 'ZZ',
      rir: rirs[i % rirs.length]!,
      asn: 64_496 + i,
      ipv4: 'match',
    })),
  };
  try {
    const { certificate, intermediates } = va;
    const prepared = voucherSigner({ certificate, intermediates }).prepare(voucher, producedAt);
    return { voucher, prepared };
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new SignerError('unusable-configuration', `no voucher could be made: ${cause.message}`, { cause });
  }
}

/**
 * Signs and lints the trial voucher.
 *
 * @param sign ECDSA, DER Ecdsa-Sig-Value
 * @throws SignerError
 */
export function trialVoucher(
  of: TrialOf,
  sign: (bytes: Uint8Array) => Uint8Array,
  serial: Uint8Array,
  now: Date,
): Uint8Array {
  const { voucher, prepared } = prepareTrial(of, serial, now);
  const signed = prepared.finish(sign(prepared.toBeSigned));
  const { certificate, intermediates } = of.va;
  const problems = voucherLinter({ vaCertificate: certificate, intermediates })(signed, voucher);
  if (problems.length > 0) {
    const why = problems.map(({ rule, message }) => `${rule}: ${message}`).join('; ');
    throw new SignerError('unusable-configuration', `trial voucher: ${why}`);
  }
  return signed;
}
