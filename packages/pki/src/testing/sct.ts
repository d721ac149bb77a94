/** A CT log for tests: a key, and SCTs that it signs. */
import { createHash, sign } from 'node:crypto';
import {
  constructed,
  der,
  DerReader,
  extensionOids,
  type LogKey,
  parseCertificate,
  readLogKey,
} from '../index.ts';
import { ecdsaWithSha256, extension, type Issued, keyOf, server } from './issue.ts';

const logPair = keyOf('log');
export const log: LogKey = readLogKey(logPair.spki);

const uint = (value: number | bigint, octets: number): Buffer => {
  const out = Buffer.alloc(octets);
  for (let i = octets - 1, rest = BigInt(value); i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
};

/** A SignedCertificateTimestampList of one, over an x509_entry or a precert_entry (RFC 6962 section 3.2). */
export function sctList(
  entry: Uint8Array,
  timestamp: Date,
  issuerSpki?: Uint8Array,
  key = logPair,
): Uint8Array {
  const time = uint(timestamp.getTime(), 8);
  const issuerHash = issuerSpki ? createHash('sha256').update(issuerSpki).digest() : Buffer.alloc(0);
  const signedPart = Buffer.concat([
    Buffer.of(0, 0),
    time,
    uint(issuerSpki ? 1 : 0, 2),
    issuerHash,
    uint(entry.length, 3),
    entry,
    uint(0, 2),
  ]);
  const signature = sign('sha256', signedPart, key.privateKey);
  const logId = createHash('sha256').update(key.spki).digest();
  const sct = Buffer.concat([
    Buffer.of(0),
    logId,
    time,
    uint(0, 2),
    Buffer.of(4, 3),
    uint(signature.length, 2),
    signature,
  ]);
  return Uint8Array.from(Buffer.concat([uint(sct.length + 2, 2), uint(sct.length, 2), sct]));
}

/** A leaf with an SCT inside, and the leaf without it that the log saw. */
export function embeddedSctLeaf(
  issuer: Issued,
  timestamp: Date,
  key = logPair,
): { leaf: Issued; bare: Issued } {
  const bare = server('www.example.com', issuer);
  const list = sctList(bare.certificate.tbs, timestamp, issuer.key.spki, key);
  const sct = extension(extensionOids.signedCertificateTimestamps, der.octetString(list));
  const fields = DerReader.whole(bare.certificate.tbs);
  const parts: Uint8Array[] = [];
  while (!fields.atEnd) {
    if (fields.peek() === constructed(3)) {
      const extensions = fields.enter(constructed(3)).sequence().rest();
      parts.push(der.tlv(constructed(3), der.sequence(extensions, sct)));
    } else parts.push(fields.raw());
  }
  const tbs = der.sequence(...parts);
  const signature = sign('sha256', tbs, issuer.key.privateKey);
  const bytes = der.sequence(tbs, ecdsaWithSha256, der.bitString(signature));
  return { leaf: { certificate: parseCertificate(bytes), der: bytes, key: bare.key }, bare };
}
