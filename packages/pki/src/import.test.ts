import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anchorFault } from './anchor-constraints.ts';
import { parseCsv } from './ccadb.ts';
import {
  createTrustStore,
  importCertdata,
  importChromeRootStore,
  importMicrosoftList,
  indexCertificates,
  pemBlocks,
  PkiError,
} from './index.ts';
import { authority, server } from './testing/issue.ts';
import { readLimbo } from './testing/limbo.ts';
import { parseTextProto } from './text-proto.ts';

describe('the readers of lists', () => {
  it('throw nothing but PkiError, whatever the text', () => {
    const readers = [parseTextProto, parseCsv, (text: string) => importCertdata(text, 'X')];
    const pieces = fc.array(
      fc.oneof(
        fc.string(),
        fc.constantFrom(
          'a',
          ' {',
          '}',
          ': ',
          '"',
          '[',
          ']',
          '\n',
          ',',
          '#',
          'CKA_CLASS',
          ' MULTILINE_OCTAL',
          '\\777',
          'END',
        ),
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...readers), pieces, (read, parts) => {
        try {
          read(parts.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(PkiError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

const stores = process.env['TRUST_STORES'] ?? resolve(import.meta.dirname, '../../../../shared/trust-stores');
const present = existsSync(join(stores, 'certdata.txt'));
if (!present) console.warn(`real root lists are absent: ${stores}; set TRUST_STORES to their directory`);

const read = (name: string) => readFileSync(join(stores, name), 'utf8');

describe.skipIf(!present)('the real lists', () => {
  it('import, with counts and dates', () => {
    const mozilla = importCertdata(read('certdata.txt'), 'MOZ');
    const certificates = indexCertificates(mozilla.context.anchors.map(({ certificate }) => certificate));
    const microsoft = importMicrosoftList(read('microsoft-ccadb-2025-10.csv'), 'MS', certificates);
    const dated = mozilla.context.anchors.filter(({ constraints }) => constraints);
    console.log(
      `Mozilla: ${mozilla.context.anchors.length} roots, ${dated.length} with a date, ${mozilla.skipped.length} skipped`,
    );
    console.log(`Microsoft: ${microsoft.context.anchors.length} roots, ${microsoft.skipped.length} skipped`);
    expect([mozilla.context.anchors.length, dated.length, mozilla.skipped.length]).toEqual([121, 2, 46]);
    expect(dated.map(({ constraints }) => constraints![0]!.notBeforeUntil!.toISOString())).toEqual([
      '2024-11-30T23:59:59.000Z',
      '2025-04-15T23:59:59.000Z',
    ]);
    // The dates bite: what such a root issued on the last day counts, what it issued the day after does not.
    for (const anchor of dated) {
      const last = anchor.constraints![0]!.notBeforeUntil!;
      const fault = (notBefore: Date) => {
        const { certificate } = server('www.example.com', authority('CA'), { notBefore });
        return anchorFault(anchor, { certificate, names: undefined, scts: () => [] });
      };
      expect(fault(last)).toBeUndefined();
      expect(fault(new Date(last.getTime() + 86_400_000))).toMatchObject({ code: 'anchor-constraint' });
    }
    expect(microsoft.context.anchors.length + microsoft.skipped.length).toBe(521);
    expect(microsoft.context.anchors.length).toBeGreaterThan(100);
    const reasons = Map.groupBy(microsoft.skipped, ({ reason }) => reason);
    console.log(
      `Microsoft, left out: ${Array.from(reasons, ([why, { length }]) => `${length} ${why}`).join(', ')}`,
    );
    expect(reasons.get('status Disabled')).toHaveLength(173);
    expect(reasons.get('status NotBefore without a date')).toHaveLength(33);
    const dates = new Map(
      reasons.get('status NotBefore without a date')!.map(({ sha256 }) => [sha256, new Date(0)]),
    );
    const withDates = importMicrosoftList(read('microsoft-ccadb-2025-10.csv'), 'MS', certificates, {
      notBefore: dates,
    });
    expect(withDates.skipped.filter(({ reason }) => reason.startsWith('status NotBefore'))).toEqual([]);
  });

  it('Chrome: the whole of version 17, each root found that Mozilla has too', () => {
    const mozilla = importCertdata(read('certdata.txt'), 'MOZ');
    const certificates = indexCertificates(mozilla.context.anchors.map(({ certificate }) => certificate));
    const text = readFileSync(join(import.meta.dirname, 'testing/chrome-root-store-17.textproto'), 'utf8');
    const counts = (version?: string) => {
      const options = version === undefined ? {} : { version };
      const { context, skipped } = importChromeRootStore(text, 'CHROME', certificates, options);
      const until = context.anchors.flatMap(({ constraints }) => constraints?.[0]?.sctUntil ?? []);
      return { roots: context.anchors.length, skipped, dates: until.map((date) => date.toISOString()) };
    };
    const newest = counts();
    console.log(
      `Chrome, version 17: ${newest.roots} roots, ${newest.dates.length} with a date, ${newest.skipped.length} skipped`,
    );
    expect(newest.skipped.map(({ reason }) => reason)).toEqual(
      newest.skipped.map(() => 'the certificate is not at hand'),
    );
    expect([newest.roots, newest.skipped.length]).toEqual([102, 32]);
    expect(newest.dates).toEqual(['2024-11-11T23:59:59.000Z']);
    expect(counts('130').dates).toEqual([]);
  });

  it.skipIf(!readLimbo())('vouch for real chains at their time, in every program that has the root', () => {
    const mozilla = importCertdata(read('certdata.txt'), 'MOZ');
    const certificates = indexCertificates(mozilla.context.anchors.map(({ certificate }) => certificate));
    const microsoft = importMicrosoftList(read('microsoft-ccadb-2025-10.csv'), 'MS', certificates);
    const store = createTrustStore([mozilla.context, microsoft.context]);
    const online = readLimbo()!.filter(({ id }) => id.startsWith('online::'));
    const untrusted = online.flatMap((one) => {
      const evaluation = store.evaluate({
        chain: [one.peer_certificate, ...one.untrusted_intermediates].flatMap((pem) =>
          pemBlocks(pem, 'CERTIFICATE'),
        ),
        name: { dns: one.expected_peer_name!.value },
        now: new Date(one.validation_time!),
      });
      return evaluation.contexts.flatMap(({ id, reason }) =>
        reason ? [`${one.id} ${id}: ${reason.detail}`] : [],
      );
    });
    expect(online.length).toBe(14);
    expect(untrusted).toEqual([]);
  });
});
