/** Whether a voucher speaks for the connection at hand. */
import { formatAddress, parseAddress } from '@mecai/addresses';
import { type Certificate, issuedByOwnCa, parseCertificate, PkiError } from '@mecai/pki';
import {
  shownQuorum,
  type ShownQuorum,
  type VerifiedVoucher,
  VoucherError,
  type VoucherErrorCode,
  VoucherVerifier,
} from '@mecai/voucher';
import { hash } from 'node:crypto';

export type CheckCode =
  /** The voucher itself does not hold; see VoucherErrorCode. */
  | Exclude<VoucherErrorCode, 'not-encodable'>
  /** A certificate of the server cannot be read. */
  | 'bad-chain'
  /** The voucher is about another server certificate. */
  | 'other-leaf'
  /** The voucher is about other intermediates, or the same in another order. */
  | 'other-intermediates'
  | 'other-address'
  | 'other-port'
  /** One of the server's certificates comes from the VA's own CA: no second opinion. */
  | 'same-ca'
  | 'trust-context-missing'
  /** The perspectives shown are fewer, or less spread out, than the client wants. */
  | 'weak-quorum';

export interface CheckFailure {
  readonly code: CheckCode;
  /** For people. */
  readonly message: string;
}

/** What is absent is not checked. */
export interface Expectations {
  /** DER certificates as the server sent them, leaf first. */
  readonly chain?: readonly Uint8Array[];
  /** The address connected to, as text. Throws `AddressError` for what is none. */
  readonly address?: string;
  readonly port?: number;
  /** A trust context identifier that the voucher must name. */
  readonly trustContext?: string;
  readonly quorum?: Partial<ShownQuorum>;
}

export interface CheckOptions {
  /** Kept from check to check, so that VA certificates are verified once. */
  readonly verifier: VoucherVerifier;
  readonly now: Date;
}

export interface Check {
  /** Empty: the voucher speaks for the connection. */
  readonly failures: readonly CheckFailure[];
  /** Present if the voucher itself holds, whatever it speaks for. */
  readonly verified?: VerifiedVoucher;
}

/** Everything that is wrong, not only the first: a caller may weigh them. Nothing is trusted before its check. */
export function checkVoucher(
  signedVoucher: Uint8Array,
  expectations: Expectations,
  { verifier, now }: CheckOptions,
): Check {
  let verified: VerifiedVoucher;
  try {
    verified = verifier.verify(signedVoucher, now);
  } catch (error) {
    if (!(error instanceof VoucherError) || error.code === 'not-encodable') throw error;
    return { failures: [{ code: error.code, message: error.message }] };
  }
  const rules = [chainFailures, addressFailures, trustContextFailures, quorumFailures];
  return { failures: rules.flatMap((rule) => rule(verified, expectations)), verified };
}

const failure = (code: CheckCode, message: string): CheckFailure => ({ code, message });

function chainFailures({ content, path }: VerifiedVoucher, { chain }: Expectations): CheckFailure[] {
  if (!chain) return [];
  const [leaf, ...intermediates] = chain.map((one) => hash('sha256', one, 'buffer'));
  const failures: CheckFailure[] = [];
  if (!leaf || !same(leaf, content.leaf)) {
    failures.push(failure('other-leaf', 'the voucher is about another server certificate'));
  }
  const alike =
    intermediates.length === content.intermediates.length &&
    intermediates.every((one, i) => same(one, content.intermediates[i]!));
  if (!alike) failures.push(failure('other-intermediates', 'the voucher is about other intermediates'));
  try {
    const certificates = chain.map((one) => parseCertificate(one));
    if (certificates.length > 0 && isSameCa(certificates, path.slice(1))) {
      failures.push(failure('same-ca', "the VA's own CA issued the server certificate or one above it"));
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    failures.push(failure('bad-chain', `the server's chain cannot be read: ${error.message}`));
  }
  return failures;
}

/** By key and by signature. A CA under several keys and names takes a list of owners to recognise. */
const isSameCa = ([leaf, ...ancestors]: readonly Certificate[], vaCas: readonly Certificate[]): boolean =>
  issuedByOwnCa({ leaf: leaf!, ancestors, chain: [], exhausted: false }, vaCas);

function addressFailures({ content }: VerifiedVoucher, { address, port }: Expectations): CheckFailure[] {
  const failures: CheckFailure[] = [];
  if (address !== undefined) {
    const octets = parseAddress(address);
    const vouched = octets.length === 4 ? content.ipv4 : content.ipv6;
    if (!vouched || !same(octets, vouched)) {
      const seen = [content.ipv4, content.ipv6].flatMap((one) => (one ? [formatAddress(one)] : []));
      failures.push(failure('other-address', `the voucher is for ${seen.join(' and ')}, not for ${address}`));
    }
  }
  if (port !== undefined && port !== content.port) {
    failures.push(failure('other-port', `the voucher is for port ${content.port}, not for ${port}`));
  }
  return failures;
}

function trustContextFailures({ content }: VerifiedVoucher, { trustContext }: Expectations): CheckFailure[] {
  if (trustContext === undefined || content.trustContexts.includes(trustContext)) return [];
  const named = content.trustContexts.join(', ');
  return [
    failure('trust-context-missing', `the voucher is not for trust context ${trustContext}, but ${named}`),
  ];
}

function quorumFailures({ content }: VerifiedVoucher, { quorum = {} }: Expectations): CheckFailure[] {
  const shown = shownQuorum(content);
  return (['matches', 'regions', 'networks'] as const).flatMap((what) => {
    const wanted = quorum[what] ?? 0;
    return shown[what] < wanted
      ? [failure('weak-quorum', `${shown[what]} ${what} where ${wanted} are wanted`)]
      : [];
  });
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
