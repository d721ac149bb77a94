import { X509Certificate, createPublicKey } from 'node:crypto';
import { type Certificate, namesRevocationSource, needsNoRevocation } from '@mecai/pki';
import { VoucherError, voucherLinter } from '@mecai/voucher';
import { SignerError } from './error.ts';

/** VA certificate and the way to the root, as vouchers include them. */
export interface VaChain {
  readonly certificate: Uint8Array;
  /** In order, without the root. */
  readonly intermediates: readonly Uint8Array[];
  /** The first of them to expire. */
  readonly notAfter: Date;
}

/**
 * The VA certificate is for this key, for vouchers, good now, says where its revocation status is to be had, and
 * leads through the intermediates given, each signed by the next. Whether clients trust the root above is theirs to say.
 *
 * @param spki SubjectPublicKeyInfo of the key in the HSM, DER
 * @throws SignerError `wrong-certificate`
 */
export function checkVaChain(
  chain: readonly [Certificate, ...Certificate[]],
  spki: Uint8Array,
  now: Date,
): VaChain {
  const [first, ...rest] = chain;
  if (!normalised(first.spki).equals(normalised(spki))) {
    throw wrong('it is for another key than the one in the HSM');
  }
  const intermediates = rest.map(({ der }) => der);
  try {
    voucherLinter({ vaCertificate: first.der, intermediates });
  } catch (cause) {
    if (cause instanceof VoucherError) throw wrong(cause.message, cause);
    throw cause;
  }
  if (!namesRevocationSource(first) && !needsNoRevocation(first)) {
    throw wrong('it names neither a CRL nor an OCSP responder');
  }
  for (const [i, { notBefore, notAfter }] of chain.entries()) {
    if (now >= notBefore && now < notAfter) continue;
    const which = i === 0 ? '' : `intermediate ${i} is `;
    throw wrong(`${which}good from ${notBefore.toISOString()} to ${notAfter.toISOString()}, not now`);
  }
  if (rest.length > 0 && selfIssued(rest.at(-1)!)) throw wrong('the root does not belong in the chain');
  for (const [i, issuer] of rest.entries()) {
    if (!issued(issuer, chain[i]!)) throw wrong(`certificate ${i + 2} did not issue certificate ${i + 1}`);
  }
  const notAfter = new Date(Math.min(...chain.map((one) => one.notAfter.getTime())));
  return { certificate: first.der, intermediates, notAfter };
}

const wrong = (why: string, cause?: unknown) =>
  new SignerError('wrong-certificate', `VA certificate: ${why}`, { cause });

/** Names, CA bit, key usage and key identifiers fit, and the signature holds. */
export function issued(issuer: Certificate, subject: Certificate): boolean {
  const [above, below] = [new X509Certificate(issuer.der), new X509Certificate(subject.der)];
  try {
    return above.ca && below.checkIssued(above) && below.verify(above.publicKey);
  } catch {
    return false;
  }
}

/** One encoding for each key: points may be compressed or not. */
const normalised = (spki: Uint8Array): Buffer =>
  createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({
    format: 'der',
    type: 'spki',
  });

const selfIssued = ({ issuer, subject }: Certificate) => Buffer.compare(issuer, subject) === 0;
