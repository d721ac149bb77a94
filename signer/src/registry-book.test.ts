import { generateKeyPairSync, sign } from 'node:crypto';
import {
  type Registry,
  defaultQuorumPolicy,
  signRegistry,
  verifyRegistrySignature,
} from '@mecai/corroboration';
import { describe, expect, test } from 'vitest';
import type { AuditRecord } from './audit-log.ts';
import { RegistryBook, type UpdateParts } from './registry-book.ts';
import { registryKey } from './testing/operator.ts';
import { agentNames, registryText } from './testing/world.ts';

const by = { at: 1, reason: 'captured', author: 'Kim', identity: 'spiffe://mecai.test/operator' };
const file = (version: number, names: readonly string[] = agentNames) =>
  Buffer.from(registryText([...names], version));
const signed = (registry: Uint8Array, key = registryKey.privateKey) => ({
  registry,
  signature: signRegistry(registry, key),
});

function scene(changes: Partial<UpdateParts> = {}) {
  const records: AuditRecord[] = [];
  const published: Registry[] = [];
  const book = new RegistryBook(file(3), [registryKey.publicKey]);
  const parts: UpdateParts = {
    policy: defaultQuorumPolicy,
    audit: (record) => Promise.resolve(records.push(record)),
    publish: (registry) => Promise.resolve(void published.push(registry)),
    ...changes,
  };
  return {
    book,
    records,
    published,
    parts,
    update: (bytes: Uint8Array) => book.update(signed(bytes), by, parts),
  };
}

test('an update is on record, published, in force, and told', async () => {
  const { book, records, published, update } = scene();
  let told = 0;
  book.onChange(() => told++);
  const next = file(4, agentNames.slice(1));
  expect(book.inForce.signature).toHaveLength(0);
  expect(await update(next)).toEqual([]);
  expect(book.current.version).toBe(4);
  expect(book.current.agents.has(agentNames[0]!)).toBe(false);
  expect(Buffer.compare(book.inForce.registry, next)).toBe(0);
  expect(verifyRegistrySignature(next, book.inForce.signature, [registryKey.publicKey])).toBe(true);
  expect(records).toMatchObject([{ event: 'registry-updated', version: 4, registry: String(next), act: by }]);
  expect(published.map(({ version }) => version)).toEqual([4]);
  expect(told).toBe(1);
});

describe('refused, and nothing changes:', () => {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const bare = file(4);
  test.each([
    ['a signature by another key', signed(file(4), stranger), 'not signed'],
    [
      'a signature without the domain separator',
      { registry: bare, signature: sign('sha256', bare, registryKey.privateKey) },
      'not signed',
    ],
    [
      'a signature about other octets',
      { registry: file(5), signature: signed(file(4)).signature },
      'not signed',
    ],
    ['no signature', { registry: file(4), signature: new Uint8Array() }, 'not signed'],
    ['the version in force', signed(file(3)), 'version 3 is not above 3'],
    ['a version rolled back', signed(file(2)), 'version 2 is not above 3'],
    ['no registry', signed(Buffer.from('{}')), 'version'],
    ['no UTF-8', signed(Uint8Array.of(0xff)), 'not UTF-8'],
    ['too much', signed(new Uint8Array(1_048_577)), 'more than'],
  ])('%s', async (_, update, message) => {
    const { book, records, parts } = scene();
    await expect(book.update(update, by, parts)).rejects.toThrow(
      expect.objectContaining({ code: 'wrong-usage', message: expect.stringContaining(message) as string }),
    );
    expect(book.current.version).toBe(3);
    expect(records).toEqual([]);
  });

  test('what the audit log does not take', async () => {
    const { book, parts } = scene({ audit: () => Promise.reject(new Error('disk full')) });
    await expect(book.update(signed(file(4)), by, parts)).rejects.toThrow('disk full');
    expect(book.current.version).toBe(3);
  });

  test('anything, without registry keys', async () => {
    const { parts } = scene();
    const book = new RegistryBook(file(3), []);
    await expect(book.update(signed(file(4)), by, parts)).rejects.toThrow('not signed');
  });
});

test('of two updates at once with one version, the first wins', async () => {
  const { book, update } = scene();
  const [first, second] = await Promise.allSettled([update(file(4)), update(file(4, agentNames.slice(1)))]);
  expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
  expect(book.current.agents.has(agentNames[0]!)).toBe(true);
});

test('a captured agent goes even if too few are left; the operator is told', async () => {
  const { book, update } = scene();
  const [warning] = await update(file(4, agentNames.slice(0, 5)));
  expect(warning).toContain('no voucher until there are more');
  expect(book.current.agents.size).toBe(5);
});

describe('after a restart', () => {
  test('the record counts if it is newer than the file, the file if it is newer than the record', async () => {
    const { records, update } = scene();
    await update(file(5, agentNames.slice(1)));
    for (const [version, wanted] of [
      [3, 5],
      [4, 5],
      [6, 6],
    ] as const) {
      const book = new RegistryBook(file(version), [registryKey.publicKey]);
      for (const record of records) book.replay({ sequence: 1, ...record });
      expect(book.current.version).toBe(wanted);
      const { registry, signature } = book.inForce;
      expect(verifyRegistrySignature(registry, signature, [registryKey.publicKey])).toBe(wanted === 5);
    }
  });

  test('a file that was newer than the records is one of them', async () => {
    const records: AuditRecord[] = [];
    const begin = async (bytes: Buffer) => {
      const book = new RegistryBook(bytes, [registryKey.publicKey]);
      for (const record of records) book.replay({ sequence: 1, ...record });
      const said = await book.begin((record) => Promise.resolve(records.push(record)));
      return [said, book.current.version, book.current.agents.size];
    };
    const all = agentNames.length;
    expect(await begin(file(3))).toEqual([undefined, 3, all]);
    expect(await begin(file(3))).toEqual([undefined, 3, all]);
    expect(await begin(file(4, agentNames.slice(1)))).toEqual([undefined, 4, all - 1]);
    expect(await begin(file(3))).toEqual([undefined, 4, all - 1]);
    // The same file, written another way.
    const same = Buffer.from(JSON.stringify(JSON.parse(String(file(4, agentNames.slice(1)))), null, 2));
    expect(await begin(same)).toEqual([undefined, 4, all - 1]);
    expect(await begin(file(4))).toEqual([
      expect.stringContaining('the file is not the version 4'),
      4,
      all - 1,
    ]);
    expect(records).toEqual([
      { event: 'registry-updated', version: 3, registry: String(file(3)) },
      { event: 'registry-updated', version: 4, registry: String(file(4, agentNames.slice(1))) },
    ]);
  });

  test('a record that cannot be read is not passed over', () => {
    const { book } = scene();
    expect(() => book.replay({ event: 'registry-updated', sequence: 7, registry: '{}' })).toThrow(
      expect.objectContaining({
        code: 'audit-log-broken',
        message: expect.stringContaining('record 7') as string,
      }),
    );
    book.replay({ event: 'issued', sequence: 8 });
  });
});
