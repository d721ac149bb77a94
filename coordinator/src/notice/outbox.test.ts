import { randomUUID } from 'node:crypto';
import type { Database } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Attempt } from '../mail/mailer.ts';
import { keptLog } from '../testing/log.ts';
import { emptyTables } from '../testing/tables.ts';
import { type CourierParts, courierRound } from './courier.ts';
import { newId } from './open.ts';
import {
  addDelivery,
  bounceDelivery,
  claimDeliveries,
  countDeliveries,
  deliveriesAbout,
  dropDelivery,
  listDeliveries,
  renewDelivery,
  retryDelivery,
} from './outbox.ts';
import { backoffMs } from './retry.ts';
import { noticeMigrations } from './schema.ts';

const minute = 60_000;
const hour = 60 * minute;

describe.each(engines)('the outbox on %s', (engine) => {
  const tables = emptyTables(testDatabases(engine), 'notice', noticeMigrations, ['delivery']);
  let database: Database;
  let now: number;
  let attempts: string[];
  let next: Attempt;
  let courier: CourierParts;
  const never = new AbortController().signal;

  beforeEach(() => {
    ({ database } = tables);
    now = Date.UTC(2026, 10, 22);
    attempts = [];
    next = { outcome: 'sent', detail: '250 ok' };
    courier = {
      database,
      medium: 'mail',
      concurrency: 1,
      tryMs: minute,
      leaseMs: minute,
      retry: { firstMs: minute, maxMs: hour, giveUpMs: 5 * hour },
      log: keptLog().log,
      now: () => now,
      random: () => 1,
      tries: () => undefined,
      send: async ({ recipient }) => {
        attempts.push(recipient);
        return next;
      },
    };
  });

  const add = async (recipient = 'mailto:a@example.org', rank = 0, about = 'x') => {
    const id = newId();
    await addDelivery(database, { id, recipient, source: 'rdap', kind: 'notice', about, rank }, now);
    return id;
  };
  const round = () => courierRound(courier, never);
  const claim = (count = 100) =>
    claimDeliveries(database, { medium: 'mail', count, lease: randomUUID(), leaseMs: minute, now });
  const states = async () =>
    (await listDeliveries(database, ['waiting', 'sent', 'dead', 'bounced', 'dropped'], 100)).map(
      ({ state }) => state,
    );

  it('sends each thing once to each recipient, and first to whom it is due first', async () => {
    await add('mailto:c@example.org', 2);
    await add('mailto:a@example.org', 0);
    await add('mailto:b@example.org', 1);
    await add('mailto:a@example.org', 2);
    await add('mailto:a@example.org', 3, 'y');
    while ((await round()) > 0);
    expect(attempts).toEqual(['a', 'b', 'c', 'a'].map((name) => `mailto:${name}@example.org`));
    expect(
      (await deliveriesAbout(database, 'notice', 'x')).map(({ state, tries, detail }) => [
        state,
        tries,
        detail,
      ]),
    ).toEqual([
      ['sent', 1, '250 ok'],
      ['sent', 1, '250 ok'],
      ['sent', 1, '250 ok'],
    ]);
  });

  it('tries again after twice the time, and gives up in the end', async () => {
    const id = await add();
    next = { outcome: 'failed', detail: 'no route' };
    const waits: number[] = [];
    for (let last = now; (await states())[0] === 'waiting'; now += minute) {
      if ((await round()) === 0) continue;
      waits.push((now - last) / minute);
      last = now;
    }
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    expect(await listDeliveries(database, ['dead'], 10)).toMatchObject([
      { id, tries: 11, detail: 'no route' },
    ]);
    next = { outcome: 'sent', detail: '250 ok' };
    expect(await retryDelivery(database, id, now)).toBe(true);
    expect(await round()).toBe(1);
    expect(await states()).toEqual(['sent']);
  });

  it('does not try again what was refused', async () => {
    await add();
    next = { outcome: 'refused', detail: '550 no such user' };
    expect([await round(), await round()]).toEqual([1, 0]);
    expect(await countDeliveries(database)).toEqual({ waiting: 0, dead: 1, bounced: 0 });
  });

  it('knows what bounced, but only of what was sent', async () => {
    const id = await add();
    expect(await bounceDelivery(database, id, 'bounced: 5.1.1', now)).toBe(false);
    await round();
    expect(await bounceDelivery(database, id, 'bounced: 5.1.1', now)).toBe(true);
    expect(await bounceDelivery(database, id, 'bounced: 5.1.1', now)).toBe(false);
    expect(await bounceDelivery(database, newId(), 'bounced: 5.1.1', now)).toBe(false);
    expect(await countDeliveries(database)).toMatchObject({ bounced: 1 });
  });

  it('lets an operator drop what waits or is dead, and nothing that was sent', async () => {
    const [first, second] = [await add('mailto:a@example.org'), await add('mailto:b@example.org', 1)];
    await round();
    expect(await dropDelivery(database, first, now)).toBe(false);
    expect(await retryDelivery(database, first, now)).toBe(false);
    expect(await dropDelivery(database, second, now)).toBe(true);
    expect(await round()).toBe(0);
  });

  it('leaves what another has taken alone until his lease ends, and then does not heed him any more', async () => {
    await add();
    let finish: (attempt: Attempt) => void = () => undefined;
    const slow = courierRound(
      { ...courier, send: () => new Promise((resolve) => (finish = resolve)) },
      never,
    );
    expect(await round()).toBe(0);
    now += minute - 1;
    expect(await round()).toBe(0);
    now += 1;
    next = { outcome: 'failed', detail: 'by the second' };
    expect(await round()).toBe(1);
    finish({ outcome: 'sent', detail: 'by the first' });
    await slow;
    expect(await listDeliveries(database, ['waiting'], 10)).toMatchObject([
      { tries: 2, detail: 'by the second' },
    ]);
  });

  it('renews the lease of a try that takes long', async () => {
    const id = await add();
    const [claimed] = await claim(1);
    now += minute - 1;
    await renewDelivery(database, claimed!, { leaseMs: minute, now });
    now += minute - 1;
    expect(await claim()).toEqual([]);
    now += 1;
    const [second] = await claim();
    expect(second!.delivery.id).toBe(id);
    // Lost to the second: nothing to renew.
    await renewDelivery(database, claimed!, { leaseMs: 10 * minute, now });
    now += minute;
    expect(await claim()).toHaveLength(1);
  });

  it('goes on with the next while one is in flight', async () => {
    await add('mailto:a@example.org', 0);
    await add('mailto:b@example.org', 1);
    const [first] = await claim(1);
    const [second] = await claim(1);
    expect([first, second].map((claimed) => claimed?.delivery.recipient)).toEqual([
      'mailto:a@example.org',
      'mailto:b@example.org',
    ]);
  });

  it('gives a delivery to one of many who want it at the same time', async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => add(`mailto:a${i}@example.org`)));
    const claims = await Promise.all(Array.from({ length: 20 }, () => claim(3)));
    while (claims.flat().length < 40) claims.push(await claim());
    expect(
      claims
        .flat()
        .map(({ delivery }) => delivery.id)
        .toSorted(),
    ).toEqual(ids.toSorted());
  });

  it('is left with the transaction that was undone', async () => {
    const delivery = {
      id: newId(),
      recipient: 'mailto:a@b.example',
      source: 'x',
      kind: 'letter',
      about: 'x',
      rank: 0,
    } as const;
    const undone = database.transaction(async (statements) => {
      await addDelivery(statements, delivery, now);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(await states()).toEqual([]);
  });
});

it('waits between half and all of the doubled time, up to the longest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (tries, random) => {
        const wait = backoffMs({ firstMs: minute, maxMs: 4 * hour }, tries, random);
        const full = Math.min(4 * hour, minute * 2 ** (tries - 1));
        expect(wait).toBeGreaterThanOrEqual(full / 2);
        expect(wait).toBeLessThanOrEqual(full);
      },
    ),
  );
});
