/**
 * mTLS identities: SPIFFE X.509-SVIDs (SPIFFE standards, X509-SVID sections 2, 4 and 5). The caller is who
 * the single URI in its certificate's subjectAltName says.
 */
import { DerReader, findExtension, implicit, parseCertificate } from '@mecai/pki';
import * as z from 'zod';
import { path } from './config.ts';

export const spiffeIdPattern = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+$/;
export const spiffeId = () =>
  z.string().max(2048).regex(spiffeIdPattern, 'expected spiffe://trust-domain/path');

/** The SPIFFE ID in a certificate, or undefined if it is not an X.509-SVID of a workload. */
export function spiffeIdOf(certificate: Uint8Array): string | undefined {
  try {
    const names = findExtension(parseCertificate(certificate), '2.5.29.17');
    if (!names) return undefined;
    const reader = DerReader.whole(names.value);
    const uris: string[] = [];
    while (!reader.atEnd) {
      if (reader.peek() === implicit(6)) uris.push(reader.ia5String(implicit(6)));
      else reader.raw();
    }
    const [uri] = uris;
    return uris.length === 1 && uri !== undefined && spiffeIdPattern.test(uri) ? uri : undefined;
  } catch {
    return undefined;
  }
}

/** Configuration of one end of a mutually authenticated connection: PEM files, or a SPIFFE Workload API. */
export const mutualTls = () =>
  z.union([
    z.strictObject({ certificate: path(), key: path(), ca: path() }),
    z.strictObject({
      workloadApi: z.string().regex(/^unix:\/\/\//, 'expected unix:///path/of/the/socket'),
    }),
  ]);
