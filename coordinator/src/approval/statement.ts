/**
 * The statement that a request was approved out of band: CMS SignedData (RFC 5652) around JSON, signed by the VA that
 * had the contacts called.
 *
 *   { "type": "mecai-approval", "from": URL of the VA, "transaction": number, "kind": "certificate" or "csr",
 *     "sha256": of that, "spkiSha256": of its key, "names": [ … ],
 *     "domains": [ { "domain": registered domain, "approvedAt": time }, … ], "at": time }
 *
 * Hashes are of DER in lower-case hexadecimal, times as in RFC 3339.
 */
import { Certificate as PkijsCertificate, ContentInfo, SignedData } from 'pkijs';
import type { PresentedNames } from '@mecai/pki';
import * as z from 'zod';
import type { Identity } from '../mail/identity.ts';
import { signedJson } from '../mail/smime.ts';

const hash = () => z.string().regex(/^[0-9a-f]{64}$/);
const statementSchema = z.strictObject({
  type: z.literal('mecai-approval'),
  from: z.url(),
  transaction: z.string().regex(/^\d{12}$/),
  kind: z.enum(['certificate', 'csr']),
  sha256: hash(),
  spkiSha256: hash(),
  names: z.array(z.string().max(255)).min(1).max(100),
  domains: z.array(z.strictObject({ domain: z.string().max(253), approvedAt: z.iso.datetime() })).min(1),
  at: z.iso.datetime(),
});

export type ApprovalStatement = z.output<typeof statementSchema>;

/** Octets. */
const maxOctets = 65_536;

export const signApproval = (statement: ApprovalStatement, identity: Identity): Uint8Array =>
  signedJson(statement, identity, new Date(statement.at));

/**
 * What was approved, if one of these certificates' keys has signed that; certificates that come with the statement
 * count for nothing. Never rejects.
 *
 * @param trusted DER of certificates whose word counts
 */
export async function verifyApproval(
  cms: Uint8Array,
  trusted: readonly Uint8Array[],
): Promise<ApprovalStatement | undefined> {
  const read = readSigned(cms);
  if (!read) return undefined;
  for (const der of trusted) if (await signedBy(read.signed, der)) return read.statement;
  return undefined;
}

/** What one of our own records says; nothing is verified. */
export const ownApproval = (cms: Uint8Array): ApprovalStatement | undefined => readSigned(cms)?.statement;

function readSigned(cms: Uint8Array): { signed: SignedData; statement: ApprovalStatement } | undefined {
  if (cms.length > maxOctets) return undefined;
  try {
    const signed = new SignedData({ schema: ContentInfo.fromBER(cms).content });
    const { eContent } = signed.encapContentInfo;
    if (!eContent || signed.signerInfos.length !== 1) return undefined;
    const text = new TextDecoder('utf-8', { fatal: true }).decode(eContent.getValue());
    return { signed, statement: statementSchema.parse(JSON.parse(text)) };
  } catch {
    // Not CMS, not JSON, not a statement.
    return undefined;
  }
}

async function signedBy(signed: SignedData, der: Uint8Array): Promise<boolean> {
  try {
    signed.certificates = [PkijsCertificate.fromBER(der)];
    return await signed.verify({ signer: 0, checkChain: false });
  } catch {
    return false;
  }
}

/** What a certificate has to be for a statement about it to count. */
export interface Approvable {
  /** Lower-case hexadecimal, as are the hashes in statements. */
  readonly sha256: string;
  readonly spkiSha256: string;
  readonly names: Pick<PresentedNames, 'dns' | 'ip'>;
}

/** The very certificate, or one for the key and no other names than the CSR had. */
export const approves = (statement: ApprovalStatement, { sha256, spkiSha256, names }: Approvable): boolean =>
  statement.kind === 'certificate'
    ? statement.sha256 === sha256
    : statement.spkiSha256 === spkiSha256 &&
      names.dns.length > 0 &&
      names.ip.length === 0 &&
      names.dns.every((name) => statement.names.includes(name.toLowerCase()));
