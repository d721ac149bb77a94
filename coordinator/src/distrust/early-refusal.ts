import { X509Certificate, createPublicKey } from 'node:crypto';
import {
  type Certificate,
  type DistrustEntry,
  PkiError,
  distrustText,
  matchesDistrust,
  nameKey,
  nameText,
  parseCertificate,
} from '@mecai/pki';

/**
 * Why the signer would refuse this chain for certain, or undefined. What hits the leaf, or the key or operator of the
 * CA that issued it, hits every path; whatever is above may have another way around it, and is left to the signer.
 *
 * @param chain DER, leaf first
 */
export function earlyRefusal(
  entries: readonly DistrustEntry[],
  chain: readonly Uint8Array[],
  now: Date,
): string | undefined {
  const everywhere = entries.filter(({ tci }) => tci === undefined);
  if (everywhere.length === 0) return undefined;
  try {
    const [leaf, ...others] = chain.map((der) => parseCertificate(der));
    const match =
      matchesDistrust(everywhere, [leaf!], undefined, now) ??
      matchesDistrust(
        everywhere.filter(({ subject: { kind } }) => kind === 'spki' || kind === 'operator'),
        [leaf!, ...others.filter((one) => isNamed(one, leaf!)).slice(0, maxIssuers)],
        undefined,
        now,
      );
    if (!match) return undefined;
    const { entry, index } = match;
    if (index === 0) return words(leaf!, entry);
    const issuer = others.filter((one) => isNamed(one, leaf!))[index - 1]!;
    return hasIssued(issuer, leaf!) ? words(issuer, entry) : undefined;
  } catch (error) {
    // The signer says what is wrong with it.
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

/** Certificates by the name of the issuer that are looked at. */
const maxIssuers = 4;

const words = ({ subject }: Certificate, entry: DistrustEntry): string =>
  `${nameText(subject)}: ${distrustText(entry)}`;

const isNamed = (issuer: Certificate, leaf: Certificate): boolean =>
  nameKey(issuer.subject) === nameKey(leaf.issuer);

/** Not only by name: a stray with the same name says nothing of the leaf. */
function hasIssued(issuer: Certificate, leaf: Certificate): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(issuer.spki), format: 'der', type: 'spki' });
    return new X509Certificate(leaf.der).verify(key);
  } catch {
    return false;
  }
}
