import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import type { ClickHouseClientConfigOptions } from '@clickhouse/client';
import { RuntimeError, readText } from '@mecai/runtime';

type Trust = Partial<Pick<ClickHouseClientConfigOptions, 'http_agent'>>;

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** As many as the client has without an agent. */
const maxSockets = 10;

/**
 * For a client of a server whose certificate is to be by a CA of this file, and by no other; without a file, any
 * public CA will do. Not by the client's option `tls`, which sends the password as a header, where not all octets may go.
 *
 * @throws RuntimeError that names option and file
 */
export function trustIn(file: string | undefined): Trust {
  if (file === undefined) return {};
  return { http_agent: new Agent({ ca: certificatesOf(file), keepAlive: true, maxSockets }) };
}

/** At least one: from an empty list Node would not say why no server is trusted. */
function certificatesOf(file: string): string[] {
  try {
    const certificates = readText(file).match(pem) ?? [];
    if (certificates.length === 0)
      throw new RuntimeError('bad-configuration', `${file}: no certificate, PEM`);
    return certificates.map((one) => new X509Certificate(one).toString());
  } catch (cause) {
    const known = cause instanceof RuntimeError;
    const message = known ? cause.message : `${file}: a certificate that cannot be read`;
    throw new RuntimeError(known ? cause.code : 'bad-configuration', `store.ca: ${message}`, { cause });
  }
}

/** Codes of OpenSSL for a certificate by nobody who is trusted. */
const unknownIssuer = new Set([
  'CERT_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** What to look at when a server's certificate is refused; undefined: that is not what failed. */
export function distrust(
  error: unknown,
  { url, ca }: { url: string; ca?: string | undefined },
): string | undefined {
  if (!(error instanceof Error && 'code' in error && unknownIssuer.has(String(error.code)))) return undefined;
  const by = ca === undefined ? 'no public CA, and there is no store.ca' : `no CA in ${ca} (store.ca)`;
  return `the certificate of ${new URL(url).origin} is by ${by}: ${error.message}`;
}
