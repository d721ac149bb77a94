/** From a root program's list to the trust contexts of a chain. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certificate, toPem } from '@mecai/pki';
import { type Issued, authority, embeddedSctLeaf, keyOf, now, server } from '@mecai/pki/testing';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { chainPolicyOf } from './chain-policy.ts';
import { importTrustContext } from './import-trust-context.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-contexts-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const write = (name: string, text: string) => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const said = vi.spyOn(console, 'log').mockReturnValue();
afterEach(() => said.mockClear());

const root = authority('Listed Root');
const stranger = authority('Unlisted Root');
const sha256 = ({ der }: Issued) => createHash('sha256').update(der).digest('hex');
const certificates = write('bundle.pem', toPem(root.der, 'CERTIFICATE'));
const name = 'www.example.com';
const seconds = (date: Date, more = 0) => Math.floor(date.getTime() / 1000) + more;

let contexts = 0;
/** The program's list, imported into a directory of its own, and what the signer then makes of leaves. */
async function policyOf(list: (from: string) => Promise<void>, sctLogKeys: string[] = []) {
  const trustContexts = join(directory, `contexts-${++contexts}`);
  await list(trustContexts);
  return chainPolicyOf({ trustContexts, sctLogKeys, ownCa: [certificatesOf(stranger)] });
}
const certificatesOf = ({ der }: Issued) => write('own.pem', toPem(der, 'CERTIFICATE'));
const chrome = (constraint: string) => (to: string) =>
  importTrustContext(to, {
    context: 'CHROME',
    chrome: write(
      'root_store.textproto',
      `trust_anchors { sha256_hex: "${sha256(root)}" constraints { ${constraint} } }`,
    ),
    certificates,
  });
function reasonOf(policy: Awaited<ReturnType<typeof policyOf>>, leaf: Issued): string {
  const assessment = policy.assess([leaf.der], name, now.getTime(), undefined, () => ({}));
  return 'refusal' in assessment ? assessment.refusal.detail : 'trusted';
}

const before = new Date(now.getTime() - 86_400_000);
const issued = server(name, root);
const { notBefore } = issued.certificate;
const earlySct = embeddedSctLeaf(root, before).leaf;
const lateSct = embeddedSctLeaf(root, now).leaf;
const later = server(name, root, { notBefore: new Date(notBefore.getTime() + 86_400_000) });

describe('each kind of constraint decides on its trust context', () => {
  it.each<[string, string, gains: Issued, loses: Issued, why: RegExp]>([
    ['notBeforeUntil', `validity_starts_not_after_sec: ${seconds(notBefore)}`, issued, later, /after/i],
    ['notBeforeAfter', `validity_starts_after_sec: ${seconds(notBefore)}`, later, issued, /CHROME/],
    ['sctUntil', `sct_not_after_sec: ${seconds(before)}`, earlySct, lateSct, /SCT/i],
    ['sctAllAfter', `sct_all_after_sec: ${seconds(before)}`, lateSct, earlySct, /SCT/i],
  ])('%s', async (_, constraint, gains, loses, why) => {
    const policy = await policyOf(chrome(constraint));
    expect(reasonOf(policy, gains)).toBe('trusted');
    expect(reasonOf(policy, loses)).toMatch(/^no trust context accepts the chain: CHROME: /);
    expect(reasonOf(policy, loses)).toMatch(why);
  });

  it('permittedDnsNames', async () => {
    expect(reasonOf(await policyOf(chrome('permitted_dns_names: "example.com"')), issued)).toBe('trusted');
    const other = await policyOf(chrome('permitted_dns_names: "example.net"'));
    expect(reasonOf(other, issued)).toMatch(
      /^no trust context accepts the chain: CHROME: .*www\.example\.com is not in example\.net/,
    );
  });

  it('min_version and max_version_exclusive: by the version that the context stands for', async () => {
    const list = (version?: string) => (to: string) =>
      importTrustContext(to, {
        context: 'CHROME',
        chrome: write(
          'root_store.textproto',
          `trust_anchors { sha256_hex: "${sha256(root)}"
            constraints { min_version: "131" validity_starts_not_after_sec: ${seconds(notBefore)} }
            constraints { max_version_exclusive: "131" } }`,
        ),
        certificates,
        ...(version !== undefined && { 'chrome-version': version }),
      });
    for (const version of ['131', '140.0.7339.80', undefined]) {
      const policy = await policyOf(list(version));
      expect([issued, later].map((leaf) => reasonOf(policy, leaf) === 'trusted')).toEqual([true, false]);
    }
    expect(reasonOf(await policyOf(list('130.0.6723.70')), later)).toBe('trusted');
  });

  it('NotBefore: by the dates that the operator gives', async () => {
    const list = (dates?: string) => (to: string) =>
      importTrustContext(to, {
        context: 'MS',
        microsoft: write(
          'list.csv',
          `Microsoft Status,SHA-256 Fingerprint,Microsoft EKUs\nNotBefore,${sha256(root)},Server Authentication\n` +
            `Included,${sha256(stranger)},Server Authentication\n`,
        ),
        certificates: write(
          'both.pem',
          [root, stranger].map(({ der }) => toPem(der, 'CERTIFICATE')).join(''),
        ),
        ...(dates !== undefined && { 'not-before': write('dates.csv', dates) }),
      });
    expect(reasonOf(await policyOf(list()), issued)).toMatch(/no-issuer/);
    expect(said.mock.calls.flat()).toContain('left out: 1, status NotBefore without a date');
    const dated = await policyOf(list(`${sha256(root).toUpperCase()},${notBefore.toISOString()}\n`));
    expect([issued, later].map((leaf) => reasonOf(dated, leaf) === 'trusted')).toEqual([true, false]);
    await expect(policyOf(list(`${sha256(root)},soon\n`))).rejects.toThrow(/dates\.csv: line 1/);
  });

  it('sctLogKeys: only SCTs of these logs count', async () => {
    const spki = (seed: string) => write(`${seed}.pem`, toPem(keyOf(seed).spki, 'PUBLIC KEY'));
    const constraint = chrome(`sct_not_after_sec: ${seconds(before)}`);
    expect(reasonOf(await policyOf(constraint, [spki('log')]), earlySct)).toBe('trusted');
    expect(reasonOf(await policyOf(constraint, [spki('another log')]), earlySct)).toMatch(/SCT/i);
    await expect(policyOf(constraint, [certificates])).rejects.toThrow(/no public key/);
  });
});

const octal = (bytes: Uint8Array) =>
  `MULTILINE_OCTAL\n${Array.from(bytes, (octet) => `\\${octet.toString(8).padStart(3, '0')}`).join('')}\nEND`;
const certdata = ({ issuer, serial, der }: Certificate, after: string) => `
CKA_CLASS CK_OBJECT_CLASS CKO_CERTIFICATE
CKA_ISSUER ${octal(issuer)}
CKA_SERIAL_NUMBER ${octal(serial)}
CKA_VALUE ${octal(der)}
CKA_NSS_SERVER_DISTRUST_AFTER ${octal(Buffer.from(after))}
CKA_CLASS CK_OBJECT_CLASS CKO_NSS_TRUST
CKA_ISSUER ${octal(issuer)}
CKA_SERIAL_NUMBER ${octal(serial)}
CKA_TRUST_SERVER_AUTH CK_TRUST CKT_NSS_TRUSTED_DELEGATOR
`;
const moz = (to: string) =>
  importTrustContext(to, {
    context: 'MOZ',
    certdata: write('certdata.txt', certdata(root.certificate, '260101120000Z')),
  });
const microsoft = (to: string) =>
  importTrustContext(to, {
    context: 'MS',
    microsoft: write(
      'list.csv',
      `Microsoft Status,SHA-256 Fingerprint,Microsoft EKUs\nIncluded,${sha256(root)},Server Authentication\n` +
        `Disabled,${sha256(stranger)},Server Authentication\n`,
    ),
    certificates,
  });

describe('import-trust-context', () => {
  it("takes Mozilla's list with its dates, and Microsoft's; a chain has the contexts that accept it", async () => {
    const policy = await policyOf(async (to) => {
      await moz(to);
      await microsoft(to);
    });
    expect(said.mock.calls.flat()).toEqual([
      'MOZ: 1 roots, 1 of them with constraints',
      'constraint notBeforeUntil: 1',
      'MS: 1 roots, 0 of them with constraints',
      'left out: 1, status Disabled',
    ]);
    const trusted = (leaf: Issued) => {
      const assessment = policy.assess([leaf.der], name, now.getTime());
      if ('refusal' in assessment) throw new Error(assessment.refusal.detail);
      return assessment.contexts.map(({ id, trusted: yes, reason }) => (yes ? id : `not ${id}: ${reason}`));
    };
    expect(trusted(issued)).toEqual(['MOZ', 'MS']);
    expect(trusted(later)).toEqual([expect.stringMatching(/^not MOZ: .*2026-01-01T12:00:00/), 'MS']);
  });

  it('takes the place of an earlier import, but never joins other anchors', async () => {
    const to = join(directory, 'again');
    await moz(to);
    await moz(to);
    write('again/MOZ/more.pem', '');
    await expect(moz(to)).rejects.toThrow(/other files: more\.pem/);
  });

  it.each<[string, object, RegExp]>([
    ['no context', { certdata: 'x' }, /--context/],
    ['no list', { context: 'MOZ' }, /one of/],
    ['two lists', { context: 'MOZ', certdata: 'x', chrome: 'x' }, /one of/],
    ['hashes without certificates', { context: 'MOZ', chrome: 'x' }, /--certificates/],
    ['a version of another list', { context: 'MOZ', certdata: 'x', 'chrome-version': '131' }, /--chrome/],
    ['no version', { context: 'X', chrome: 'x', 'chrome-version': 'new' }, /such as 131/],
    ['dates of another list', { context: 'MOZ', certdata: 'x', 'not-before': 'x' }, /--microsoft/],
    ['a list without roots', { context: 'MOZ', certdata: certificates }, /no object/],
  ])('%s', async (_, source, why) => {
    await expect(importTrustContext(join(directory, 'none'), source)).rejects.toThrow(why);
  });
});
