import type { Database } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { secondsSince } from '../seconds-since.ts';
import { testNotice } from '../testing/notice.ts';
import { emptyTables } from '../testing/tables.ts';
import { backlogOf } from './backlog.ts';
import { enqueueNotice } from './notice.ts';
import { newId } from './open.ts';
import { addDelivery, claimDeliveries, postponeDelivery, settleDelivery } from './outbox.ts';
import { noticeMigrations } from './schema.ts';

describe.each(engines)('the backlog on %s', (engine) => {
  const tables = emptyTables(testDatabases(engine), 'notice', noticeMigrations, ['notice', 'delivery']);
  let database: Database;
  beforeEach(() => ({ database } = tables));

  const add = (recipient: string, at: number) =>
    addDelivery(database, { id: newId(), recipient, source: 'x', kind: 'notice', about: 'x', rank: 0 }, at);
  const claim = (medium: 'mail' | 'webhook', now: number) =>
    claimDeliveries(database, { medium, count: 1, lease: newId(), leaseMs: 100, now });

  it('is nothing where there is nothing', async () => {
    expect(await backlogOf(database, 1_000)).toEqual({
      deliveries: { waiting: 0, dead: 0, bounced: 0 },
      lookups: 0,
      stages: {
        lookup: { oldest: undefined, due: undefined },
        delivery: { oldest: undefined, due: undefined },
      },
    });
  });

  it('has the oldest delivery, and the first that is due of what nobody is at, of all media', async () => {
    await add('mailto:a@example.org', 10);
    await add('https://hooks.example.org/', 20);
    const delivery = async (now: number) => (await backlogOf(database, now)).stages.delivery;
    expect(await delivery(30)).toEqual({ oldest: 10, due: 10 });
    const [mail] = await claim('mail', 30);
    expect(await delivery(31)).toEqual({ oldest: 10, due: 20 });
    // A lease that ran out.
    expect(await delivery(130)).toEqual({ oldest: 10, due: 10 });
    await postponeDelivery(database, mail!, 500, 'later');
    expect(await delivery(131)).toEqual({ oldest: 10, due: 20 });
    const [hook] = await claim('webhook', 131);
    await settleDelivery(database, hook!, 'dead', 'gone', 140);
    // Postponed: due in the future, so not late.
    expect(await delivery(150)).toEqual({ oldest: 10, due: 500 });
    expect(secondsSince(500, 150)).toBe(0);
    expect(secondsSince(500, 2_000)).toBe(1.5);
    expect((await backlogOf(database, 150)).deliveries).toEqual({ waiting: 1, dead: 1, bounced: 0 });
  });

  it('has the notices whose contacts are looked up', async () => {
    for (const seenAt of [20, 10]) {
      await enqueueNotice(database, testNotice([`n${seenAt}.example.org`], { seenAt }));
    }
    const { lookups, stages } = await backlogOf(database, 100);
    expect([lookups, stages.lookup]).toEqual([2, { oldest: 10, due: 10 }]);
    await database.query('update notice set leased_until = 200 where enqueued_at = 10');
    expect((await backlogOf(database, 100)).stages.lookup).toEqual({ oldest: 10, due: 20 });
    await database.query('update notice set next_at = null where enqueued_at = 10');
    expect((await backlogOf(database, 300)).stages.lookup).toEqual({ oldest: 20, due: 20 });
  });
});
