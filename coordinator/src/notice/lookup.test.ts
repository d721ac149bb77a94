import type { Database } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CoordinatorError } from '../error.ts';
import { type LogLine, keptLog } from '../testing/log.ts';
import { testNotice } from '../testing/notice.ts';
import { emptyTables } from '../testing/tables.ts';
import { type LookupParts, contactSources, lookupRound } from './lookup.ts';
import { enqueueNotice, noticeId } from './notice.ts';
import { newId } from './open.ts';
import { deliveriesAbout } from './outbox.ts';
import { noticeMigrations } from './schema.ts';

const minute = 60_000;

describe.each(engines)('whom to tell, on %s', (engine) => {
  const tables = emptyTables(testDatabases(engine), 'notice', noticeMigrations, [
    'notice',
    'delivery',
    'subscription',
  ]);
  let database: Database;
  let now: number;
  let iodef: Record<string, string[]>;
  let contacts: Record<string, string[]>;
  let failing: Set<string>;
  let asked: string[];
  let lines: LogLine[];
  let parts: LookupParts;

  beforeEach(() => {
    ({ database } = tables);
    now = Date.UTC(2026, 10, 22);
    iodef = {};
    contacts = {};
    failing = new Set();
    asked = [];
    const kept = keptLog();
    lines = kept.lines;
    const answer = <T>(what: string, value: T): Promise<T> => {
      asked.push(what);
      return failing.has(what)
        ? Promise.reject(new CoordinatorError('dns-failed', 'no'))
        : Promise.resolve(value);
    };
    parts = {
      database,
      sources: contactSources,
      dns: {
        caa: (name) =>
          answer(
            name,
            (iodef[name] ?? []).map((value) => ({ tag: 'iodef', value })),
          ),
      },
      rdap: { contacts: (name) => answer(`rdap ${name}`, { mail: contacts[name] ?? [], phone: [] }) },
      retry: { firstMs: minute, maxMs: minute },
      leaseMs: minute,
      log: kept.log,
      now: () => now,
      random: () => 1,
      newId,
    };
  });

  const subscribe = (domain: string, recipient: string) =>
    database.query('insert into subscription (id, domain, recipient, confirmed_at) values ($1, $2, $3, 0)', [
      newId(),
      domain,
      recipient,
    ]);
  async function enqueue(names: readonly string[]): Promise<string> {
    const notice = testNotice(names);
    await enqueueNotice(database, notice);
    return noticeId(notice);
  }
  const found = async (id: string) =>
    (await deliveriesAbout(database, 'notice', id)).map(({ recipient, source }) => `${source} ${recipient}`);

  it('subscribers, then iodef, then the registry, each once and as whom it was found first', async () => {
    await subscribe('example.org', 'mailto:a@example.org');
    iodef['example.org'] = [
      'mailto:a@example.org',
      'mailto:b@example.org',
      'gopher://odd',
      'mailto:x y@example.org',
    ];
    contacts['example.org'] = ['a@example.org', 'b@example.org', 'c@example.org'];
    const id = await enqueue(['www.example.org', '*.example.org', 'a b', 'example.org\r\n']);
    expect(await lookupRound(parts)).toBe(true);
    expect(await found(id)).toEqual([
      'subscription mailto:a@example.org',
      'caa mailto:b@example.org',
      'rdap mailto:c@example.org',
    ]);
    expect(asked.filter((what) => what.includes(' ') && !what.startsWith('rdap'))).toEqual([]);
    expect(await lookupRound(parts)).toBe(false);
  });

  it('subscribers do not wait for other people’s servers', async () => {
    await subscribe('example.org', 'mailto:a@example.org');
    const id = await enqueue(['www.example.org']);
    const hanging = { ...parts, dns: { caa: () => new Promise<never>(() => undefined) } };
    void lookupRound(hanging);
    await vi.waitUntil(async () => (await found(id)).length > 0, { timeout: 60_000 });
    expect(await found(id)).toEqual(['subscription mailto:a@example.org']);
    // Nobody else takes it over meanwhile, unless the coordinator was killed over it.
    expect(await lookupRound(parts)).toBe(false);
    now += minute;
    expect(await lookupRound(parts)).toBe(true);
  });

  it('nobody else takes over what takes longer than the lease, which is renewed', async () => {
    await enqueue(['www.example.org']);
    const { promise: answer, resolve } = Promise.withResolvers<[]>();
    const round = lookupRound({ ...parts, leaseMs: 100, dns: { caa: () => answer } });
    const leasedUntil = async () => {
      const [row] = await database.query<{ leased_until: number }>('select leased_until from notice');
      return row!.leased_until;
    };
    for (let i = 0; i < 3; i++) {
      now += 90;
      await vi.waitUntil(async () => (await leasedUntil()) === now + 100, { timeout: 60_000, interval: 5 });
      expect(await lookupRound(parts)).toBe(false);
    }
    resolve([]);
    await round;
    expect(await leasedUntil()).toBe(0);
  });

  it('a notice whose servers hang does not hold up another', async () => {
    const hanging = await enqueue(['hanging.example.net']);
    const other = await enqueue(['www.example.org']);
    contacts['example.org'] = ['c@example.org'];
    const caa = (name: string) =>
      name.startsWith('hanging') ? new Promise<never>(() => undefined) : parts.dns.caa(name);
    let ready = 0;
    void lookupRound({ ...parts, dns: { caa } }, () => ready++);
    await vi.waitUntil(async () => (await found(other)).length > 0 && ready === 1, { timeout: 60_000 });
    expect(await found(hanging)).toEqual([]);
  });

  it('the last of 2,000 names counts, and others get their turn in between', async () => {
    contacts['victim.example'] = ['owner@victim.example'];
    const names = Array.from({ length: 1_999 }, (_, i) => `n${i}.attacker.example`);
    const id = await enqueue([...names, 'victim.example']);
    await lookupRound(parts);
    now += 1;
    const other = await enqueue(['www.example.org']);
    await database.query('update notice set next_at = 0 where id = $1', [other]);
    contacts['example.org'] = ['c@example.org'];
    await lookupRound(parts);
    expect(await found(other)).toEqual(['rdap mailto:c@example.org']);
    while (await lookupRound(parts)) now += 1;
    expect(await found(id)).toEqual(['rdap mailto:owner@victim.example']);
  });

  it('what cannot be found out is asked again, and given up in the end', async () => {
    failing.add('www.example.org').add('rdap example.net');
    contacts['example.org'] = ['c@example.org'];
    const id = await enqueue(['www.example.org', 'www.example.net']);
    await lookupRound(parts);
    expect(await found(id)).toEqual(['rdap mailto:c@example.org']);
    expect(await lookupRound(parts)).toBe(false);
    failing.delete('www.example.org');
    iodef['www.example.org'] = ['mailto:b@example.org'];
    let rounds = 1;
    for (let i = 0; i < 20; i++) {
      now += minute;
      if (await lookupRound(parts)) rounds++;
    }
    expect(rounds).toBe(8);
    expect(await found(id)).toEqual(['caa mailto:b@example.org', 'rdap mailto:c@example.org']);
    expect(lines.filter(({ members }) => members['given'] === true)).toHaveLength(1);
    const [row] = await database.query('select failed, next_at from notice');
    expect(row).toEqual({ failed: '["www.example.net"]', next_at: null });
  });

  it('nobody, where there are no contacts, which is logged', async () => {
    await enqueue(['www.example.org']);
    await lookupRound(parts);
    expect(lines.map(({ message }) => message)).toEqual(['nobody is known who could be told']);
  });

  it('nobody that is not asked for', async () => {
    await subscribe('example.org', 'mailto:a@example.org');
    iodef['example.org'] = ['mailto:b@example.org'];
    contacts['example.org'] = ['c@example.org'];
    const id = await enqueue(['example.org']);
    await lookupRound({ ...parts, sources: ['caa'] });
    expect(await found(id)).toEqual(['caa mailto:b@example.org']);
    expect(asked).toEqual(['example.org']);
  });
});
