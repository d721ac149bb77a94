import { randomBytes } from 'node:crypto';
import type { Database } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorError } from '../error.ts';
import { emptyTables } from '../testing/tables.ts';
import { newId } from './open.ts';
import { noticeMigrations } from './schema.ts';
import { Subscriptions, subscribersTo } from './subscriptions.ts';

const week = 7 * 86_400_000;
const mail = 'mailto:security@example.org';
const hook = 'https://hooks.example.org/mecai';

describe.each(engines)('subscriptions on %s', (engine) => {
  const tables = emptyTables(testDatabases(engine), 'notice', noticeMigrations, ['subscription']);
  let database: Database;
  let now: number;
  let zone: Map<string, string[]>;
  let subscriptions: Subscriptions;
  const secret = randomBytes(32);

  beforeEach(() => {
    ({ database } = tables);
    now = 1_000_000;
    zone = new Map();
    subscriptions = new Subscriptions({
      database,
      dns: { txt: async (name) => zone.get(name) ?? [] },
      secret,
      now: () => now,
      newId,
    });
  });

  const publish = (domain: string, recipient: string) => {
    const { name, value, expires } = subscriptions.challenge(domain, recipient);
    zone.set(name, [...(zone.get(name) ?? []), value]);
    return expires;
  };
  async function subscribe(domain: string, recipient: string) {
    const result = await subscriptions.confirm(domain, recipient, publish(domain, recipient));
    if (typeof result === 'string') throw new Error(result);
    now++;
    return result;
  }

  it('are confirmed by a TXT record of the domain, any number of times', async () => {
    const { name, value, expires } = subscriptions.challenge('example.org', mail);
    expect([name, expires]).toEqual(['_mecai-notice.example.org', now + week]);
    expect(await subscriptions.confirm('example.org', mail, expires)).toBe('not-proven');
    zone.set(name, ['something else', value]);
    const first = await subscriptions.confirm('example.org', mail, expires);
    expect(first).toMatchObject({
      subscription: { domain: 'example.org', recipient: mail, confirmedAt: now },
    });
    now++;
    expect(await subscriptions.confirm('example.org', mail, expires)).toEqual(first);
  });

  it('are not confirmed by a record for another recipient, domain, time or authority, or too late', async () => {
    const expires = publish('example.org', mail);
    expect(await subscriptions.confirm('example.org', hook, expires)).toBe('not-proven');
    expect(await subscriptions.confirm('example.org', mail, expires - 1)).toBe('not-proven');
    expect(await subscriptions.confirm('example.org', mail, expires + 1)).toBe('expired');
    zone.set('_mecai-notice.victim.example', zone.get('_mecai-notice.example.org')!);
    expect(await subscriptions.confirm('victim.example', mail, expires)).toBe('not-proven');
    now = expires;
    expect(await subscriptions.confirm('example.org', mail, expires)).toBe('expired');
    now -= 1;
    const other = new Subscriptions({
      database,
      dns: { txt: async (name) => zone.get(name) ?? [] },
      secret: randomBytes(32),
      now: () => now,
      newId,
    });
    expect(await other.confirm('example.org', mail, expires)).toBe('not-proven');
  });

  it('wait where DNS cannot be asked', async () => {
    const failing = new Subscriptions({
      database,
      dns: { txt: () => Promise.reject(new CoordinatorError('dns-failed', 'away')) },
      secret,
      now: () => now,
      newId,
    });
    await expect(failing.confirm('example.org', mail, now + 1)).rejects.toMatchObject({ code: 'dns-failed' });
  });

  it('are seen and ended by who holds a token of the domain, and nobody else', async () => {
    const [first, second] = [await subscribe('example.org', mail), await subscribe('example.org', hook)];
    const other = await subscribe('example.net', mail);
    const list = await subscriptions.list(first.token);
    expect(list!.map(({ recipient }) => recipient)).toEqual([mail, hook]);
    expect(await subscriptions.list(`${first.subscription.id}.x`)).toBeUndefined();
    expect(await subscriptions.list(`${first.subscription.id}${second.token.slice(32)}`)).toBeUndefined();
    expect(await subscriptions.cancel(other.token, first.subscription.id)).toBe(false);
    expect(await subscriptions.cancel(first.token, second.subscription.id)).toBe(true);
    expect(await subscriptions.cancel(first.token)).toBe(true);
    expect(await subscriptions.cancel(first.token)).toBe(false);
    expect(await subscriptions.list(other.token)).toHaveLength(1);
  });

  it('are ended by the link in a mail, which can do nothing else', async () => {
    const { token, subscription } = await subscribe('example.org', mail);
    await subscribe('example.net', mail);
    const link = (await subscriptions.unsubscribeToken(mail, ['www.other.example', 'www.example.org']))!;
    expect(link.startsWith(subscription.id)).toBe(true);
    expect(await subscriptions.unsubscribeToken(mail, ['notexample.org'])).toBeUndefined();
    expect(await subscriptions.list(link)).toBeUndefined();
    expect(await subscriptions.unsubscribe(token)).toBe(false);
    expect(await subscriptions.unsubscribe(link)).toBe(true);
    expect(await subscriptions.unsubscribe(link)).toBe(false);
  });

  it('are twenty for a domain, at most', async () => {
    for (let i = 0; i < 20; i++) await subscribe('example.org', `mailto:a${i}@example.org`);
    const expires = publish('example.org', mail);
    expect(await subscriptions.confirm('example.org', mail, expires)).toBe('too-many');
  });

  it('count for the domain and all below it, each recipient once, the oldest first', async () => {
    await subscribe('example.org', mail);
    await subscribe('www.example.org', mail);
    await subscribe('www.example.org', hook);
    await subscribe('ample.org', 'mailto:stranger@ample.org');
    expect(await subscribersTo(database, ['a.www.example.org'])).toEqual([mail, hook]);
    expect(await subscribersTo(database, ['example.org'])).toEqual([mail]);
    expect(await subscribersTo(database, ['org'])).toEqual([]);
    const many = Array.from({ length: 2_000 }, (_, i) => `a${i}.example.com`);
    expect(await subscribersTo(database, [...many, 'www.example.org'])).toEqual([mail, hook]);
  });
});
