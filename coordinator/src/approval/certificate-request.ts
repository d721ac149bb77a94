/** What is to be approved: a certificate, or a certificate signing request (PKCS #10, RFC 2986). */
import { createHash } from 'node:crypto';
import { PkiError, nameText, parseCertificate, pemBlocks, subjectAltNames } from '@mecai/pki';
import { CertificationRequest, Extensions, GeneralNames } from 'pkijs';
import { CoordinatorError } from '../error.ts';
import { isDnsName } from '../notice/names.ts';

export interface CertificateRequest {
  readonly kind: 'csr' | 'certificate';
  readonly der: Uint8Array;
  /** Of `der`. */
  readonly sha256: Uint8Array;
  readonly spkiSha256: Uint8Array;
  /** Lower case, as they stand there. */
  readonly names: readonly string[];
  readonly subject: string;
  /** Of a certificate. */
  readonly issuer?: string;
}

/** Octets of DER. */
const maxOctets = 65_536;
const maxNames = 100;

/**
 * @param bytes PEM or DER
 * @throws CoordinatorError `bad-request`: neither, no names, names that DNS does not have, or a CSR whose signature
 *   does not hold, so that nobody asks in another's name
 */
export async function readCertificateRequest(bytes: Uint8Array): Promise<CertificateRequest> {
  const text = Buffer.from(bytes).toString('latin1');
  const [pem] = ['CERTIFICATE', 'CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'].flatMap((label) =>
    pemBlocks(text, label),
  );
  const der = pem ?? Uint8Array.from(bytes);
  if (der.length > maxOctets) throw wrong(`${der.length} octets`);
  const read = readCertificate(der) ?? (await readCsr(der));
  const { names } = read;
  if (names.length === 0 || names.length > maxNames) throw wrong(`${names.length} DNS names`);
  for (const name of names)
    if (!isDnsName(name.replace(/^\*\./, ''))) throw wrong('a name that DNS does not have');
  return read;
}

function readCertificate(der: Uint8Array): CertificateRequest | undefined {
  try {
    const certificate = parseCertificate(der);
    const { dns, ip } = subjectAltNames(certificate);
    // Nobody in the registry of a domain can speak for an address.
    if (ip.length > 0) throw wrong('IP addresses');
    return {
      kind: 'certificate',
      der,
      sha256: sha256(der),
      spkiSha256: sha256(certificate.spki),
      names: [...new Set(dns)],
      subject: nameText(certificate.subject),
      issuer: nameText(certificate.issuer),
    };
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

async function readCsr(der: Uint8Array): Promise<CertificateRequest> {
  let holds: boolean;
  let csr: CertificationRequest;
  let names: string[];
  try {
    csr = CertificationRequest.fromBER(der);
    names = namesOf(csr);
    holds = await csr.verify();
  } catch (cause) {
    throw wrong('not DER or PEM of one', cause);
  }
  if (!holds) throw wrong('the signature of the CSR does not hold');
  return {
    kind: 'csr',
    der,
    sha256: sha256(der),
    spkiSha256: sha256(new Uint8Array(csr.subjectPublicKeyInfo.toSchema().toBER())),
    names,
    subject: nameText(new Uint8Array(csr.subject.toSchema().toBER())),
  };
}

/** The subjectAltName that a CSR asks for, in an extensionRequest attribute (RFC 2985 section 5.4.2). */
function namesOf(csr: CertificationRequest): string[] {
  const requests = (csr.attributes ?? []).filter(({ type }) => type === '1.2.840.113549.1.9.14');
  const names = requests.flatMap(({ values }) =>
    new Extensions({ schema: values[0] }).extensions
      .filter(({ extnID }) => extnID === '2.5.29.17')
      .flatMap(({ extnValue }) => GeneralNames.fromBER(extnValue.valueBlock.valueHexView).names),
  );
  // A dNSName is [2].
  if (names.some(({ type }) => type !== 2)) throw new TypeError('names that are not of DNS');
  return [...new Set(names.flatMap(({ type, value }) => (type === 2 ? String(value).toLowerCase() : [])))];
}

const wrong = (why: string, cause?: unknown) =>
  new CoordinatorError('bad-request', `no certificate or CSR that can be approved: ${why}`, { cause });

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
