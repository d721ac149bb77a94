/** What a request must mean, beyond its form: each chain links, and is for the server it names. */
import {
  basicConstraints,
  type Certificate,
  matchesHostName,
  parseCertificate,
  PkiError,
  subjectAltNames,
} from '@mecai/pki';
import { mayBeUsedFor, signed } from './va-certificate.ts';
import type { CertificateChain, VoucherRequest } from './vrp.ts';

export type RequestRule =
  /** RFC 5280 section 4.1: the certificate can be read. */
  | 'certificate-form'
  /** The leaf's subjectAltName covers serverName (RFC 9525 section 6.3). */
  | 'server-name'
  /** The leaf is no CA certificate. */
  | 'leaf-is-ca'
  /** No certificate twice in a chain. */
  | 'duplicate-certificate'
  /** No leaf in two chains. */
  | 'duplicate-leaf'
  /** issuer of this certificate = subject of the next. */
  | 'issuer-name'
  /** The next certificate is one of a CA that may sign certificates (RFC 5280 sections 4.2.1.3, 4.2.1.9). */
  | 'issuer-is-no-ca'
  /** The next certificate's key signed this one, with an algorithm that can be relied upon. */
  | 'signature';

export interface RequestProblem {
  readonly rule: RequestRule;
  /** Index into `chains`. */
  readonly chain: number;
  /** Index into that chain: the certificate the rule is about. */
  readonly certificate: number;
  /** For people. */
  readonly message: string;
}

export interface RequestCheckOptions {
  /**
   * Whether `issuer`'s key signed `subject`. By default it is verified each time; links recur from request
   * to request, so that a caller may remember them.
   */
  readonly signed?: (issuer: Certificate, subject: Certificate) => boolean;
}

export interface RequestCheck {
  /** At most one for each chain, the first found; empty: all is well. */
  readonly problems: readonly RequestProblem[];
  /** The certificates of each chain as far as they could be read. */
  readonly chains: readonly (readonly Certificate[])[];
}

/** Does not throw. Signatures are verified last, and only in chains without other faults. */
export function checkVoucherRequest(
  request: VoucherRequest,
  { signed: isSigned = signed }: RequestCheckOptions = {},
): RequestCheck {
  const problems: RequestProblem[] = [];
  const leaves: Uint8Array[] = [];
  const chains = request.chains.map((chain, index) => {
    const certificates: Certificate[] = [];
    const fault =
      readChain(chain, certificates) ??
      (leaves.some((leaf) => same(leaf, chain[0]!))
        ? problem('duplicate-leaf', 0, 'another chain has the same leaf')
        : undefined) ??
      leafFault(certificates[0]!, request.serverName) ??
      linkFault(certificates, isSigned);
    leaves.push(chain[0]!);
    if (fault) {
      const message = `chain ${index}, certificate ${fault.certificate}: ${fault.message}`;
      problems.push({ ...fault, chain: index, message });
    }
    return certificates;
  });
  return { problems, chains };
}

type Fault = Omit<RequestProblem, 'chain'>;

const problem = (rule: RequestRule, certificate: number, message: string): Fault => ({
  rule,
  certificate,
  message,
});

function readChain(chain: CertificateChain, certificates: Certificate[]): Fault | undefined {
  for (const [i, bytes] of chain.entries()) {
    if (chain.slice(0, i).some((other) => same(other, bytes))) {
      return problem('duplicate-certificate', i, 'it is in the chain twice');
    }
    try {
      certificates.push(parseCertificate(bytes));
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      return problem('certificate-form', i, `it cannot be read (${error.message})`);
    }
  }
  return undefined;
}

function leafFault(leaf: Certificate, serverName: string): Fault | undefined {
  return readable(0, () => {
    if (!matchesHostName(subjectAltNames(leaf), serverName)) {
      return problem('server-name', 0, `it is not for ${serverName}`);
    }
    if (basicConstraints(leaf)?.ca) return problem('leaf-is-ca', 0, 'it is a CA certificate, not a leaf');
    return undefined;
  });
}

function linkFault(
  chain: readonly Certificate[],
  isSigned: NonNullable<RequestCheckOptions['signed']>,
): Fault | undefined {
  const links = chain.slice(1).map((issuer, i) => ({ issuer, subject: chain[i]!, at: i }));
  for (const { issuer, subject, at } of links) {
    if (!same(issuer.subject, subject.issuer)) {
      return problem('issuer-name', at, 'its issuer is not the subject of the next certificate');
    }
    const fault = readable(at + 1, () =>
      basicConstraints(issuer)?.ca && mayBeUsedFor(issuer, 'keyCertSign')
        ? undefined
        : problem('issuer-is-no-ca', at + 1, 'it is not a CA certificate, but is the issuer of another'),
    );
    if (fault) return fault;
  }
  const unsigned = links.find(({ issuer, subject }) => !isSigned(issuer, subject));
  return (
    unsigned && problem('signature', unsigned.at, 'the key of the next certificate did not sign it reliably')
  );
}

/** Extensions are read on demand only, so that a malformed one shows here. */
function readable(certificate: number, check: () => Fault | undefined): Fault | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return problem('certificate-form', certificate, `it cannot be read (${error.message})`);
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
