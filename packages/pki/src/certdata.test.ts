import { describe, expect, it } from 'vitest';
import { importCertdata, PkiError } from './index.ts';
import type { Issued } from './testing/issue.ts';
import { first, issuedAt, leafOf, second, secondLater, third, trusted } from './testing/roots.ts';
import { sha256 } from './vertex.ts';

const octal = (bytes: Uint8Array) =>
  `MULTILINE_OCTAL\n${[...bytes]
    .map((octet) => `\\${octet.toString(8).padStart(3, '0')}`)
    .join('')
    .replace(/(.{64})/g, '$1\n')}\nEND`;

const object = ({ certificate }: Issued, trust: string, after = 'CK_BBOOL CK_FALSE') => `
CKA_CLASS CK_OBJECT_CLASS CKO_CERTIFICATE
CKA_LABEL UTF8 "one"
CKA_ISSUER ${octal(certificate.issuer)}
CKA_SERIAL_NUMBER ${octal(certificate.serial)}
CKA_VALUE ${octal(certificate.der)}
CKA_NSS_SERVER_DISTRUST_AFTER ${after}
CKA_CLASS CK_OBJECT_CLASS CKO_NSS_TRUST
CKA_ISSUER ${octal(certificate.issuer)}
CKA_SERIAL_NUMBER ${octal(certificate.serial)}
CKA_TRUST_SERVER_AUTH CK_TRUST ${trust}
`;

describe("Mozilla's certdata.txt", () => {
  const delegator = 'CKT_NSS_TRUSTED_DELEGATOR';
  const text = (after?: string) =>
    `# comment\nBEGINDATA\n${object(first, delegator, after)}${object(second, 'CKT_NSS_MUST_VERIFY_TRUST')}${object(third, 'CKT_NSS_NOT_TRUSTED')}`;

  it('gives the roots that are trusted for servers', () => {
    const imported = importCertdata(text(), 'MOZ');
    expect(imported.context.anchors.map(({ certificate }) => sha256(certificate.der))).toEqual([
      sha256(first.der),
    ]);
    expect(imported.skipped).toHaveLength(2);
    expect(trusted(imported, leafOf(first))).toBe(true);
    expect(trusted(imported, leafOf(second))).toBe(false);
  });

  it('applies the date of distrust to what was issued after it', () => {
    const at = issuedAt.toISOString().replace(/[-:T]/g, '').slice(2, 14);
    const imported = importCertdata(text(octal(Buffer.from(`${at}Z`))), 'MOZ');
    expect(trusted(imported, leafOf(first))).toBe(true);
    expect(trusted(imported, leafOf(first, secondLater))).toBe(false);
  });

  it('is refused when it is something else', () => {
    expect(() => importCertdata('hello', 'MOZ')).toThrow(PkiError);
    expect(() => importCertdata(text().replace(/\\\d\d\d/, '\\999'), 'MOZ')).toThrow(/octal/);
    expect(() => importCertdata(text(octal(Buffer.from('never'))), 'MOZ')).toThrow(/distrust date/);
    expect(() => importCertdata(text(), 'moz')).toThrow(/identifier/);
  });
});
