/** A certificate as a vertex of the issuing graph: what is computed once and asked often. */
import { hash as digest } from 'node:crypto';
import { readSignatureAlgorithm, type SignatureAlgorithm, verifySignature } from './algorithms.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { authorityKeyIdentifier, subjectKeyIdentifier } from './extensions.ts';
import { nameKey } from './name.ts';
import type { Findings } from './profile.ts';
import { publicKey } from './public-key.ts';

export interface Vertex {
  readonly certificate: Certificate;
  /** SHA-256 of the DER, hexadecimal. */
  readonly sha256: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal. */
  readonly spkiSha256: string;
  readonly subject: string;
  readonly issuer: string;
  /** Subject and key: what a CA is, whatever certificates it has. */
  readonly entity: string;
  readonly selfIssued: boolean;
  /** Hexadecimal; undefined where the extension is absent or broken. */
  readonly keyIdentifier: string | undefined;
  readonly authorityKeyIdentifier: string | undefined;
  /** Undefined where unsupported. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  /** Filled when first asked for. */
  findings?: Map<string, Findings>;
}

export const sha256 = (bytes: Uint8Array): string => digest('sha256', bytes);

/** Throws `PkiError` for what is no certificate. */
export function readVertex(bytes: Uint8Array, hash = sha256(bytes)): Vertex {
  return vertexOf(parseCertificate(bytes), hash);
}

export function vertexOf(certificate: Certificate, hash = sha256(certificate.der)): Vertex {
  const subject = nameKey(certificate.subject);
  const issuer = nameKey(certificate.issuer);
  const spkiSha256 = sha256(certificate.spki);
  return {
    certificate,
    sha256: hash,
    spkiSha256,
    subject,
    issuer,
    entity: `${spkiSha256}${subject}`,
    selfIssued: subject === issuer,
    keyIdentifier: hex(quietly(() => subjectKeyIdentifier(certificate))),
    authorityKeyIdentifier: hex(quietly(() => authorityKeyIdentifier(certificate)?.keyIdentifier)),
    signatureAlgorithm: quietly(() => readSignatureAlgorithm(certificate.signatureAlgorithm)),
  };
}

/** Whether `issuer`'s key signed `subject`. Names are not looked at. */
export function signed(issuer: Vertex, subject: Vertex): boolean {
  const { signatureAlgorithm, certificate } = subject;
  if (!signatureAlgorithm) return false;
  const key = publicKey(issuer.certificate);
  return key !== null && verifySignature(signatureAlgorithm, key, certificate.tbs, certificate.signature);
}

/** What is broken is found again, and named, when the certificate is judged. */
function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');
