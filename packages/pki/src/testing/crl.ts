/** CRLs for tests, from this package's DER writer. */
import { sign } from 'node:crypto';
import {
  type Certificate,
  type CertificateStatus,
  constructed,
  der,
  extensionOids,
  implicit,
  readDocument,
  statusFrom,
  verifyDocuments,
} from '../index.ts';
import { ecdsaWithSha256, ext, extension, type Issued, now, uriName } from './issue.ts';

export interface CrlShape {
  readonly number?: number;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | undefined;
  readonly revoked?: readonly {
    readonly serial: Uint8Array;
    readonly reason?: number;
    readonly extension?: Uint8Array;
  }[];
  /** Instead of or beside the CRL number and the authority key identifier. */
  readonly change?: Readonly<Record<string, Uint8Array | undefined>>;
  readonly version?: number;
  readonly signer?: Issued;
}

const day = 86_400_000;

/** What these CRLs say of the certificate. */
export const crlStatus = (
  certificate: Certificate,
  issuer: Certificate,
  crls: readonly Uint8Array[],
  at: Date,
): CertificateStatus => {
  const documents = crls.map((bytes) => readDocument({ kind: 'crl', der: bytes }));
  return statusFrom(certificate, verifyDocuments(certificate, issuer, documents, at), at);
};

export function makeCrl(issuer: Issued, shape: CrlShape = {}): Uint8Array {
  const { revoked = [], number = 1, thisUpdate = new Date(now.getTime() - day) } = shape;
  const nextUpdate = 'nextUpdate' in shape ? shape.nextUpdate : new Date(now.getTime() + day);
  const entries = revoked.map(({ serial, reason, extension: other }) => {
    const extensions = [
      ...(reason === undefined ? [] : [extension(extensionOids.reasonCode, der.enumerated(reason))]),
      ...(other ? [other] : []),
    ];
    return der.sequence(
      der.tlv(2, serial),
      der.time(thisUpdate),
      ...(extensions.length > 0 ? [der.sequence(...extensions)] : []),
    );
  });
  const usual = {
    number: extension(extensionOids.crlNumber, der.integer(number)),
    authorityKeyIdentifier: ext.authorityKeyIdentifier(issuer.key.spki),
  };
  const extensions = Object.values({ ...usual, ...shape.change }).filter((one) => one !== undefined);
  const tbs = der.sequence(
    der.integer(shape.version ?? 1),
    ecdsaWithSha256,
    issuer.certificate.subject,
    der.time(thisUpdate),
    ...(nextUpdate ? [der.time(nextUpdate)] : []),
    ...(entries.length > 0 ? [der.sequence(Buffer.concat(entries))] : []),
    ...(extensions.length > 0 ? [der.tlv(constructed(0), der.sequence(...extensions))] : []),
  );
  const signature = sign('sha256', tbs, (shape.signer ?? issuer).key.privateKey);
  return der.sequence(tbs, ecdsaWithSha256, der.bitString(signature));
}

/** DistributionPointName of fullName with one URI, as `[0]` of a distribution point. */
const pointName = (uri: string) => der.tlv(constructed(0), der.tlv(constructed(0), uriName(uri)));
const flag = (n: number) => der.tlv(implicit(n), Uint8Array.of(0xff));

export const issuingDistributionPoint = {
  uri: (uri: string, ...flags: number[]) =>
    extension(extensionOids.issuingDistributionPoint, der.sequence(pointName(uri), ...flags.map(flag)), true),
  flags: (...flags: number[]) =>
    extension(extensionOids.issuingDistributionPoint, der.sequence(...flags.map(flag)), true),
  someReasons: extension(
    extensionOids.issuingDistributionPoint,
    der.sequence(der.tlv(implicit(3), Uint8Array.of(6, 0x40))),
    true,
  ),
};

export const deltaIndicator = (base: number): Uint8Array =>
  extension(extensionOids.deltaCrlIndicator, der.integer(base), true);

export const freshestCrl = (uri: string): Uint8Array =>
  extension(extensionOids.freshestCrl, der.sequence(der.sequence(pointName(uri))));
