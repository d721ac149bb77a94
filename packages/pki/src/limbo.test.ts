import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type LimboCase, type LimboOptions, runLimbo } from './testing/limbo.ts';

const file =
  process.env['X509_LIMBO'] ?? resolve(import.meta.dirname, '../../../../shared/test-suites/x509-limbo.json');
const present = existsSync(file);
if (!present) console.warn(`x509-limbo is absent: ${file}; set X509_LIMBO to its path`);

/**
 * Cases that contradict another of the suite: the suite says that `rfc5280` and `webpki` opinions exclude each
 * other, so these run under the RFC 5280 profile (see x509-limbo.md).
 */
const underRfc5280: ReadonlySet<string> = new Set([
  'pathlen::validation-ignores-pathlen-in-leaf',
  'rfc5280::eku::ee-without-eku',
  'rfc5280::nc::permitted-dns-match-noncritical',
  'rfc5280::ca-as-leaf',
]);

/** Decided otherwise, with reasons in x509-limbo.md. */
const disagreed: readonly string[] = ['rfc5280::aki::cross-signed-root-missing-aki'];

const wrong = (cases: readonly LimboCase[], options?: LimboOptions) =>
  cases
    .filter((one) => runLimbo(one, options).accepted !== (one.expected_result === 'SUCCESS'))
    .map(({ id }) => id);

function readSuite(): LimboCase[] {
  if (!present) return [];
  const suite: { testcases: LimboCase[] } = JSON.parse(readFileSync(file, 'utf8'));
  return suite.testcases;
}

describe.skipIf(!present)('the x509-limbo suite', () => {
  const server = readSuite().filter((one) => one.validation_kind === 'SERVER');
  it('agrees on its server cases but for the documented ones', () => {
    expect(server).toHaveLength(197);
    const others = server.filter(({ id }) => !underRfc5280.has(id));
    expect(wrong(others)).toEqual(disagreed);
    const rfc5280 = server.filter(({ id }) => underRfc5280.has(id));
    expect(wrong(rfc5280, { profile: 'rfc5280' })).toEqual([]);
  });
});
