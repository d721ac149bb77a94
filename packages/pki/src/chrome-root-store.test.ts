import { describe, expect, it } from 'vitest';
import { compareVersions } from './chrome-root-store.ts';
import { importChromeRootStore, PkiError } from './index.ts';
import { authority, type Issued, now } from './testing/issue.ts';
import { first, index, issuedAt, leafOf, second, trusted } from './testing/roots.ts';
import { embeddedSctLeaf } from './testing/sct.ts';
import { sha256 } from './vertex.ts';

const anchor = (root: Issued, constraints = '') => `
# CN=…
trust_anchors {
  sha256_hex: "${sha256(root.der)}"
  ev_policy_oids: "2.23.140.1.1"
  ${constraints}
}`;

const load = (text: string, version?: string) =>
  importChromeRootStore(
    `version_major: 17\n${text}`,
    'CHROME',
    index,
    version === undefined ? {} : { version },
  );

const additional = (flag: string) => `additional_certs { sha256_hex: "${sha256(second.der)}" ${flag} }`;

const names = (list: string) => load(anchor(first, `constraints { ${list} }`));

describe("Chrome's root_store.textproto", () => {
  const before = `constraints: { sct_not_after_sec: ${now.getTime() / 1000 - 1} min_version: "131" }
    constraints: { max_version_exclusive: "131" }`;

  it('resolves roots by hash, and counts those that are not at hand', () => {
    const imported = load(`${anchor(first)}${anchor(authority('Unknown'))}`);
    expect(imported.context.anchors).toHaveLength(1);
    expect(imported.skipped).toMatchObject([{ reason: 'the certificate is not at hand' }]);
    expect(trusted(imported, leafOf(first))).toBe(true);
  });

  it('applies the date of the SCTs from the version that has it', () => {
    const { leaf: early } = embeddedSctLeaf(first, new Date(now.getTime() - 2_000));
    const { leaf: late } = embeddedSctLeaf(first, now);
    for (const version of [undefined, '131', '131.0.6778.0', '140']) {
      expect(trusted(load(anchor(first, before), version), early)).toBe(true);
      expect(trusted(load(anchor(first, before), version), late)).toBe(false);
      expect(trusted(load(anchor(first, before), version), leafOf(first))).toBe(false);
    }
    expect(trusted(load(anchor(first, before), '130.9'), late)).toBe(true);
  });

  it('applies names and times of issue', () => {
    expect(
      trusted(names('permitted_dns_names: "example.com" permitted_dns_names: "example.net"'), leafOf(first)),
    ).toBe(true);
    expect(trusted(names('permitted_dns_names: ["example.net"]'), leafOf(first))).toBe(false);
    const seconds = issuedAt.getTime() / 1000;
    expect(trusted(names(`validity_starts_not_after_sec: ${seconds}`), leafOf(first))).toBe(true);
    expect(trusted(names(`validity_starts_not_after_sec: ${seconds - 1}`), leafOf(first))).toBe(false);
    expect(trusted(names(`validity_starts_after_sec: ${seconds}`), leafOf(first))).toBe(false);
  });

  it('leaves out a root under a constraint that is not known', () => {
    for (const more of ['constraints { moon_phase: "full" }', 'moon_phase: "full"']) {
      const imported = load(anchor(first, more));
      expect(imported.context.anchors).toHaveLength(0);
      expect(imported.skipped).toHaveLength(1);
    }
  });

  it('takes a root only for servers', () => {
    const server = 'eku: "1.3.6.1.5.5.7.3.1"';
    expect(load(anchor(first, `eku: "1.3.6.1.5.5.7.3.2" ${server}`)).context.anchors).toHaveLength(1);
    expect(load(anchor(first, 'eku: "1.3.6.1.5.5.7.3.2"')).skipped).toMatchObject([
      { reason: 'not trusted for TLS servers' },
    ]);
  });

  it('takes additional certificates only where they are anchors for TLS', () => {
    expect(load(additional('')).context.anchors).toHaveLength(0);
    expect(load(additional('tls_trust_anchor: true')).context.anchors).toHaveLength(1);
  });

  it('is refused when it is something else', () => {
    for (const text of [
      'trust_anchors {',
      'trust_anchors { }',
      'a: }',
      ']',
      '"x"',
      '{'.repeat(50),
      'a {'.repeat(50),
    ]) {
      expect(() => load(text)).toThrow(PkiError);
    }
  });

  it('reads versions as numbers', () => {
    expect(compareVersions('9', '131')).toBeLessThan(0);
    expect(compareVersions('131.0.1', '131')).toBeGreaterThan(0);
    expect(compareVersions('131', '131.0.0.0')).toBe(0);
  });
});
