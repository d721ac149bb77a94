/**
 * Signed statements about certificates: CMS SignedData (RFC 5652) around JSON, which `openssl cms -sign -binary
 * -nodetach -nosmimecap -outform DER` makes from a file. The member `type` keeps a signature from meaning anything
 * else. Hashes are SHA-256 of DER in lower-case hexadecimal.
 *
 *   { "type": "mecai-successor", "current": hash, "successor": hash of a certificate or of a SubjectPublicKeyInfo }
 *   { "type": "mecai-objection", "certificate": hash, "by": hash of a certificate in the log, "domain": name }
 *   { "type": "mecai-expedite", "certificate": hash }
 *
 * The first is signed by the key of `current`, the second by that of `by`, the third by another VA.
 */
import { Certificate, ContentInfo, SignedData } from 'pkijs';
import * as z from 'zod';
import { CoordinatorError } from '../error.ts';

/** Octets. */
export const maxStatement = 65_536;
const idSignedData = '1.2.840.113549.1.7.2';
const idData = '1.2.840.113549.1.7.1';

export const hash = () => z.string().regex(/^[0-9a-f]{64}$/, 'expected SHA-256 in lower-case hexadecimal');
export const statementSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('mecai-successor'), current: hash(), successor: hash() }),
  z.strictObject({
    type: z.literal('mecai-objection'),
    certificate: hash(),
    by: hash(),
    domain: z.string().max(253),
  }),
  z.strictObject({ type: z.literal('mecai-expedite'), certificate: hash() }),
]);
export type Statement = z.output<typeof statementSchema>;

export interface ReadStatement {
  readonly statement: Statement;
  /**
   * Whether the key of this certificate has signed it. Certificates that come with the statement count for nothing.
   *
   * @param der a certificate that we know
   */
  readonly signedBy: (der: Uint8Array) => Promise<boolean>;
}

/** @throws CoordinatorError `bad-request` */
export function readStatement(cms: Uint8Array): ReadStatement {
  let signed: SignedData;
  let statement: Statement;
  try {
    const info = ContentInfo.fromBER(cms);
    if (info.contentType !== idSignedData) throw new TypeError('not SignedData');
    signed = new SignedData({ schema: info.content });
    const { eContentType, eContent } = signed.encapContentInfo;
    if (eContentType !== idData || !eContent) throw new TypeError('the content is not in it');
    if (signed.signerInfos.length !== 1) throw new TypeError('not one signature');
    const text = new TextDecoder('utf-8', { fatal: true }).decode(eContent.getValue());
    statement = statementSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? (cause.issues[0]?.message ?? '') : (cause as Error).message;
    throw new CoordinatorError('bad-request', `no statement that is known here: ${why}`, { cause });
  }
  return {
    statement,
    async signedBy(der) {
      try {
        signed.certificates = [Certificate.fromBER(der)];
        return await signed.verify({ signer: 0, checkChain: false });
      } catch {
        // Another signer's, or an algorithm that is not known.
        return false;
      }
    },
  };
}
