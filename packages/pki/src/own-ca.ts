/** The own-CA rule: a voucher authority never vouches for what its own CA issued. */
import { sameBytes } from '@mecai/addresses';
import { readSignatureAlgorithm, verifySignature } from './algorithms.ts';
import type { Certificate } from './certificate.ts';
import { nameKey } from './name.ts';
import { publicKey } from './public-key.ts';
import type { Evaluation } from './trust-store.ts';

/**
 * Whether the leaf, or any certificate from which a proven link leads down to it, is the own CA's, was issued
 * by it, or has its key: directly, by an intermediate, or over a cross-sign. When the search ran out of budget,
 * any certificate of the own CA in the chain as sent is enough.
 */
export function issuedByOwnCa(
  evaluation: Pick<Evaluation, 'leaf' | 'ancestors' | 'chain' | 'exhausted'>,
  ownCa: readonly Certificate[],
): boolean {
  const related = [evaluation.leaf, ...evaluation.ancestors];
  if (related.some((certificate) => ownCa.some((own) => sameBytes(own.spki, certificate.spki)))) return true;
  if (
    evaluation.exhausted &&
    evaluation.chain.some((sent) => sent && ownCa.some((own) => sameBytes(own.spki, sent.spki)))
  ) {
    return true;
  }
  // The own CA's certificate need not be anywhere in the chain for its signature to count.
  return related.some((certificate) => {
    const issuer = nameKey(certificate.issuer);
    return ownCa.some((own) => nameKey(own.subject) === issuer && isSigner(own, certificate));
  });
}

function isSigner(issuer: Certificate, subject: Certificate): boolean {
  const key = publicKey(issuer);
  try {
    const algorithm = readSignatureAlgorithm(subject.signatureAlgorithm);
    return key === null || verifySignature(algorithm, key, subject.tbs, subject.signature);
  } catch {
    // An algorithm that cannot be checked, under the own CA's name: taken for its own.
    return true;
  }
}
