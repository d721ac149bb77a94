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
import { brokenCount, type Choice } from './choice/choose.ts';
import type { VaEntry } from './va-list/va-list.ts';

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
  | 'weak-quorum'
  /** The perspectives shown are not where the rules of choice want them. */
  | 'wrong-perspectives'
  /** From a VA that was not chosen for this connection. */
  | 'va-not-chosen'
  /** From a VA that the client vendor distrusts. */
  | 'va-distrusted'
  /** Nothing current says that the VA certificate is not revoked. */
  | 'va-status-unknown';

export interface CheckFailure<Code extends string = CheckCode> {
  readonly code: Code;
  /** For people. */
  readonly message: string;
}

/** What is absent is not checked. */
export interface Expectations {
  /** DER certificates as the server sent them, leaf first. */
  readonly chain?: readonly Uint8Array[];
  /**
   * The TLS stack does not tell what was sent, only the chain that it made of it (Node's does not): then the
   * voucher's intermediates may be more, and in any order.
   */
  readonly rebuiltChain?: boolean;
  /** The address connected to, as text. Throws `AddressError` for what is none. */
  readonly address?: string;
  readonly port?: number;
  /** A trust context identifier that the voucher must name. */
  readonly trustContext?: string;
  readonly quorum?: Partial<ShownQuorum>;
  /** The VAs that were chosen, and what their perspectives must meet. */
  readonly choice?: Choice;
  /** Something current must say that the VA certificate is not revoked; that it is revoked is never accepted. */
  readonly vaStatus?: 'require' | 'if-known';
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
  const rules = [vaFailures, chainFailures, addressFailures, trustContextFailures, quorumFailures];
  return { failures: rules.flatMap((rule) => rule(verified, expectations)), verified };
}

const failure = (code: CheckCode, message: string): CheckFailure => ({ code, message });

/** The VA whose root the voucher leads to; each root stands for one VA in a list. */
export const vaOf = ({ path }: VerifiedVoucher, vas: readonly VaEntry[]): VaEntry | undefined =>
  vas.find(({ roots }) => roots.some((root) => same(root, path.at(-1)!.der)));

function vaFailures(verified: VerifiedVoucher, { choice, vaStatus }: Expectations): CheckFailure[] {
  const failures: CheckFailure[] = [];
  if (choice) {
    const va = vaOf(verified, choice.list.vas);
    if (va?.status === 'distrusted') {
      failures.push(failure('va-distrusted', `${choice.list.issuer} distrusts ${va.name}`));
    } else if (!va || !choice.vas.some(({ id }) => id === va.id)) {
      const names = choice.vas.map(({ name }) => name).join(', ');
      failures.push(failure('va-not-chosen', `from ${va?.name ?? 'an unknown VA'}; chosen were ${names}`));
    }
    const broken = brokenCount(verified.content.perspectives, choice.perspectives);
    if (broken !== undefined) failures.push(failure('wrong-perspectives', broken));
  }
  if (vaStatus === 'require' && verified.vaStatus.status !== 'good') {
    failures.push(
      failure('va-status-unknown', 'nothing current says that the VA certificate is not revoked'),
    );
  }
  return failures;
}

function chainFailures(verified: VerifiedVoucher, expectations: Expectations): CheckFailure[] {
  const { content, path } = verified;
  const { chain, rebuiltChain = false, choice } = expectations;
  if (!chain) return [];
  const [leaf, ...intermediates] = chain.map((one) => hash('sha256', one, 'buffer'));
  const failures: CheckFailure[] = [];
  if (!leaf || !same(leaf, content.leaf)) {
    failures.push(failure('other-leaf', 'the voucher is about another server certificate'));
  }
  const alike = rebuiltChain
    ? intermediates.every((one) => content.intermediates.some((vouched) => same(one, vouched)))
    : intermediates.length === content.intermediates.length &&
      intermediates.every((one, i) => same(one, content.intermediates[i]!));
  if (!alike) failures.push(failure('other-intermediates', 'the voucher is about other intermediates'));
  try {
    const certificates = chain.map((one) => parseCertificate(one));
    const caKeys = (choice && vaOf(verified, choice.list.vas)?.caKeys) ?? [];
    if (certificates.length > 0 && isSameCa(certificates, path.slice(1), caKeys)) {
      failures.push(failure('same-ca', "the VA's own CA issued the server certificate or one above it"));
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    failures.push(failure('bad-chain', `the server's chain cannot be read: ${error.message}`));
  }
  return failures;
}

/** By key and by signature; a CA under several keys and names by the list of keys, SHA-256 of each. */
function isSameCa(
  certificates: readonly Certificate[],
  vaCas: readonly Certificate[],
  caKeys: readonly Uint8Array[],
): boolean {
  const [leaf, ...ancestors] = certificates;
  return (
    issuedByOwnCa({ leaf: leaf!, ancestors, chain: [], exhausted: false }, vaCas) ||
    (caKeys.length > 0 &&
      certificates.some(({ spki }) => caKeys.some((key) => same(key, hash('sha256', spki, 'buffer')))))
  );
}

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
