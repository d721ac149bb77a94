/** The distrust list in the signer's judgement; the commands are tested against a running network. */
import { parseCertificate } from '@mecai/pki';
import { expect, it } from 'vitest';
import { sha256Hex } from './digest.ts';
import { DistrustList } from './distrust-list.ts';
import { RefusedError, refusalName } from './refusal.ts';
import {
  type World,
  coordinator,
  createWorld,
  observe,
  start,
  subjectOf,
  webIntermediate,
} from './testing/world.ts';

const by = { at: start.getTime(), reason: 'key on sale', author: 'Ada', identity: 'spiffe://mecai.test/op' };
const sha256 = sha256Hex(parseCertificate(webIntermediate.der).spki);
const entry = { id: 'one', subject: { kind: 'spki', sha256 } } as const;

async function code(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'done';
  } catch (error) {
    if (error instanceof RefusedError) return refusalName(error.refused.code);
    throw error;
  }
}
const drawn = (world: World) => world.issuance.draw(subjectOf(), coordinator);
const issue = (world: World, draw: ReturnType<typeof drawn>) =>
  world.issuance.issue(
    draw.nonce,
    draw.agents.slice(0, 4).map((agent) => observe(agent, draw, { observedAt: world.time })),
    coordinator,
  );

it('no voucher for a draw that was open when the list changed, nor a new draw', async () => {
  const world = createWorld();
  const draw = drawn(world);
  const setting = world.distrust.set(entry, by, world.parts.audit);
  // In force before the record is on the disk.
  expect(await code(() => issue(world, draw))).toBe('distrusted');
  await setting;
  expect(await code(() => drawn(world))).toBe('distrusted');
  expect(await code(() => issue(world, draw))).toBe('unknown-draw');
  await world.distrust.lift('one', by, world.parts.audit);
  expect(await code(() => issue(world, drawn(world)))).toBe('done');
});

it('in force from a date: at that moment, whatever was judged before', async () => {
  const world = createWorld();
  await world.distrust.set({ ...entry, from: new Date(world.time + 1_000) }, by, world.parts.audit);
  const draw = drawn(world);
  world.time += 999;
  expect(await code(() => drawn(world))).toBe('done');
  world.time += 1;
  expect(await code(() => drawn(world))).toBe('distrusted');
  expect(await code(() => issue(world, draw))).toBe('distrusted');
});

it('comes back from its records, and is the same list', async () => {
  const list = new DistrustList();
  const records: unknown[] = [];
  const audit = (record: unknown) => Promise.resolve(records.push(JSON.parse(JSON.stringify(record))));
  const from = new Date(start.getTime() + 1000);
  const name = parseCertificate(webIntermediate.der).issuer;
  await list.set({ ...entry, tci: 'MOZ', from, issuedAfter: start }, by, audit);
  await list.set({ id: 'two', subject: { kind: 'issuer', name } }, by, audit);
  await list.set({ id: 'three', subject: { kind: 'operator', organization: 'Broken' } }, by, audit);
  await list.set({ id: 'four', subject: { kind: 'certificate', sha256 } }, by, audit);
  await list.lift('three', { ...by, reason: 'mistake' }, audit);
  const again = new DistrustList();
  for (const record of records) again.replay(record);
  expect(again.list(true)).toMatchObject(list.list(true).map(({ entry: { id } }) => ({ entry: { id } })));
  const ids = (now: number) => again.inForce(now).map(({ id }) => id);
  expect(ids(start.getTime())).toEqual(['two', 'four']);
  expect(ids(from.getTime())).toEqual(['one', 'two', 'four']);
  expect(ids(start.getTime())).toEqual(['two', 'four']);
  expect(again.inForce(0)).toBe(again.inForce(500));
  expect(again.list(true)[0]!.entry).toEqual({ ...entry, tci: 'MOZ', from, issuedAfter: start });
});

it('an entry whose record cannot be written is not on the list, one that cannot be lifted stays', async () => {
  const list = new DistrustList();
  const full = () => Promise.reject(new Error('no space left'));
  await expect(list.set(entry, by, full)).rejects.toThrow('no space left');
  expect(list.inForce(by.at)).toEqual([]);
  await list.set(entry, by, () => Promise.resolve());
  await expect(list.lift('one', by, full)).rejects.toThrow('no space left');
  expect(list.inForce(by.at)).toHaveLength(1);
});

it.each([
  [
    'a hash that is none',
    { event: 'distrust-set', id: 'x', subject: { kind: 'spki', sha256: 'no' }, act: by },
  ],
  ['no act', { event: 'distrust-set', id: 'x', subject: { kind: 'spki', sha256 } }],
  ['the lifting of what was never set', { event: 'distrust-lifted', id: 'x', act: by }],
])('does not start over a record it cannot read: %s', (_, record) => {
  const list = new DistrustList();
  expect(() => list.replay({ sequence: 7, ...record })).toThrow(/record 7: distrust-/);
});
