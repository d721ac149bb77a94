import { describe, expect, it } from 'vitest';
import { parseCsv } from './ccadb.ts';
import { importMicrosoftList, PkiError } from './index.ts';
import { authority, type Issued } from './testing/issue.ts';
import { first, index, issuedAt, leafOf, second, secondLater, third, trusted } from './testing/roots.ts';
import { sha256 } from './vertex.ts';

const row = (root: Issued, status: string, purposes: string) =>
  `"${status}","A ""quoted"", owner","${sha256(root.der).toUpperCase()}","${purposes}"`;

describe("Microsoft's CCADB list", () => {
  const header = '"Microsoft Status","CA Owner","SHA-256 Fingerprint","Microsoft EKUs"';
  const both = 'Client Authentication;Server Authentication';
  const csv = [
    header,
    row(first, 'Included', both),
    row(second, 'NotBefore', both),
    row(third, 'Included', 'Secure Email'),
    row(authority('Gone'), 'Disabled', both),
  ].join('\r\n');

  it('gives the roots that are included for servers', () => {
    const imported = importMicrosoftList(csv, 'MS', index);
    expect(imported.context.anchors.map(({ certificate }) => certificate)).toEqual([first.certificate]);
    expect(imported.skipped.map(({ reason }) => reason)).toEqual([
      'status NotBefore without a date',
      'not trusted for TLS servers',
      'status Disabled',
    ]);
  });

  it('takes a root in status NotBefore with the date that the operator gives', () => {
    const imported = importMicrosoftList(csv, 'MS', index, {
      notBefore: new Map([[sha256(second.der), issuedAt]]),
    });
    expect(trusted(imported, leafOf(second))).toBe(true);
    expect(trusted(imported, leafOf(second, secondLater))).toBe(false);
  });

  it('is refused when it is something else', () => {
    expect(() => importMicrosoftList('a,b\n1,2\n', 'MS', index)).toThrow(/no column/);
    expect(() => importMicrosoftList(`${header}\n"Included","x","12","y"`, 'MS', index)).toThrow(
      /fingerprint/,
    );
    expect(() => parseCsv('"a')).toThrow(PkiError);
  });
});
