import { describe, expect, it } from 'vitest';
import { type LimboCase, type LimboOptions, readLimbo, runLimbo } from './testing/limbo.ts';

const suite = readLimbo();
if (!suite) console.warn('x509-limbo is absent: set X509_LIMBO to the path of x509-limbo.json');

/**
 * Cases that contradict another of the suite: the suite says that `rfc5280` and `webpki` opinions exclude each
 * other, so these run under the RFC 5280 profile (see suites.md).
 */
const underRfc5280: ReadonlySet<string> = new Set([
  'pathlen::validation-ignores-pathlen-in-leaf',
  'rfc5280::eku::ee-without-eku',
  'rfc5280::nc::permitted-dns-match-noncritical',
  'rfc5280::ca-as-leaf',
]);

/** Decided otherwise, with reasons in suites.md. */
const disagreed: readonly string[] = ['rfc5280::aki::cross-signed-root-missing-aki'];

const wrong = (cases: readonly LimboCase[], options?: LimboOptions) =>
  cases
    .filter((one) => runLimbo(one, options).accepted !== (one.expected_result === 'SUCCESS'))
    .map(({ id }) => id);

describe.skipIf(!suite)('the x509-limbo suite', () => {
  const server = (suite ?? []).filter((one) => one.validation_kind === 'SERVER');
  it('agrees on its server cases but for the documented ones', () => {
    expect(server).toHaveLength(197);
    const others = server.filter(({ id }) => !underRfc5280.has(id));
    expect(wrong(others)).toEqual(disagreed);
    const rfc5280 = server.filter(({ id }) => underRfc5280.has(id));
    expect(wrong(rfc5280, { profile: 'rfc5280' })).toEqual([]);
    expect(wrong(rfc5280)).toHaveLength(underRfc5280.size);
  });
});
