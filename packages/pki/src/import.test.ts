import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCsv } from './ccadb.ts';
import {
  createTrustStore,
  importCertdata,
  importMicrosoftList,
  indexCertificates,
  pemBlocks,
  PkiError,
} from './index.ts';
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
    expect(microsoft.context.anchors.length + microsoft.skipped.length).toBe(521);
    expect(microsoft.context.anchors.length).toBeGreaterThan(100);
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
