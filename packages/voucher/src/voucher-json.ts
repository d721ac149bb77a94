/** Voucher content as JSON, for people and other programs; the signature covers the DER only. */
import { addressText, base64 } from './json-reader.ts';
import type { Voucher } from './voucher.ts';

/**
 * The members of the grammar in camel case: addresses as text, bytes in base64, times as ISO 8601, a CRL
 * number as decimal text since it may exceed what JSON numbers hold exactly.
 */
export function voucherJson(voucher: Voucher): Readonly<Record<string, unknown>> {
  const { ipv4, ipv6, extensions, serial, leaf, intermediates, status, producedAt, notAfter, ...rest } =
    voucher;
  return {
    version: 1,
    serial: base64(serial),
    addresses: [ipv4, ipv6].filter((one) => one !== undefined).map(addressText),
    port: rest.port,
    leaf: base64(leaf),
    intermediates: intermediates.map(base64),
    status: status.map((one) =>
      'ocsp' in one
        ? { certificate: one.certificate, ocsp: base64(one.ocsp) }
        : {
            certificate: one.certificate,
            crl: {
              ...(one.crl.number !== undefined && { number: String(one.crl.number) }),
              thisUpdate: one.crl.thisUpdate.toISOString(),
              nextUpdate: one.crl.nextUpdate.toISOString(),
              digest: base64(one.crl.digest),
            },
          },
    ),
    producedAt: producedAt.toISOString(),
    notAfter: notAfter.toISOString(),
    trustContexts: rest.trustContexts,
    quorum: rest.quorum,
    directoryVersion: rest.directoryVersion,
    perspectives: rest.perspectives,
    ...(extensions && {
      extensions: extensions.map((one) => ({
        oid: one.oid,
        critical: one.critical,
        value: base64(one.value),
      })),
    }),
  };
}
