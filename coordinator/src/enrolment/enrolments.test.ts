import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  admitted,
  enrol,
  newToken,
  openEnrolment,
  parseInvitation,
  parseRegistry,
  readToken,
  signInvitation,
} from '@mecai/corroboration';
import { migrate } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { createUser } from '@nats-io/nkeys';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VrpServer } from '../http-server.ts';
import { call } from '../testing/https.ts';
import { keptLog } from '../testing/log.ts';
import { startRoutes } from '../testing/routes.ts';
import { Enrolments } from './enrolments.ts';
import { enrolmentRoutes } from './routes.ts';
import { enrolmentMigrations } from './schema.ts';

const oslo = {
  name: 'oslo',
  city: 'Oslo',
  country: 'NO',
  latitude: 59.91,
  longitude: 10.75,
  rir: 'ripencc',
  asn: 64496,
} as const;
const hour = 3_600_000;
const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const newKeys = () => ({ observation: p256(), natsSeed: createUser().getSeed() });
const operator = p256();

describe.each(engines)('agents join, %s', (engine) => {
  const databases = testDatabases(engine);
  let now: number;
  let registry: ReturnType<typeof parseRegistry>;
  let enrolments: Enrolments;
  let server: VrpServer;
  let token: string;

  const invitationOf = (of: string, agent: object = oslo) =>
    signInvitation({ tokenKey: readToken(of).publicKey, expires: now + hour, agent }, operator);
  const post = async (body: Uint8Array | string, headers = {}) => {
    const url = new URL('/enrolments', server.url).href;
    const { status, json } = await call(url, {
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
    return { status, ...json() } as { status: number; state?: string; title?: string; detail?: string };
  };
  const admit = (enrolment: Uint8Array) => {
    const agent = admitted(parseInvitation(invitationOf(token).document), openEnrolment(enrolment));
    registry = parseRegistry(JSON.stringify({ version: registry.version + 1, agents: [agent] }));
  };

  beforeEach(async () => {
    now = Date.UTC(2026, 10, 22);
    registry = parseRegistry('{"version":1,"agents":[]}');
    const database = await databases.open();
    await migrate(database, 'enrolment', enrolmentMigrations, now);
    enrolments = new Enrolments({ database: () => database, registry: () => registry, now: () => now });
    token = newToken(randomBytes(32));
    await enrolments.invite(invitationOf(token));
    server = await startRoutes(enrolmentRoutes(enrolments, keptLog().log));
  });
  afterEach(() => server.close(0));

  test('pending until it is in the registry, however often it asks; then the invitation is gone', async () => {
    const keys = newKeys();
    expect(await enrolments.list()).toMatchObject([{ enrolment: null, enrolledAt: null }]);
    // Signatures differ each time, the statement does not.
    for (let i = 0; i < 3; i++) {
      expect(await post(enrol(token, oslo, keys))).toEqual({ status: 200, state: 'pending' });
    }
    const [open] = await enrolments.list();
    expect(open).toMatchObject({ enrolledAt: now });
    admit(open!.enrolment!);
    expect(await enrolments.list()).toEqual([]);
    expect(await post(enrol(token, oslo, keys))).toEqual({ status: 200, state: 'approved' });
    // Captured, removed: the old token brings it nowhere.
    registry = parseRegistry('{"version":3,"agents":[]}');
    expect(await post(enrol(token, oslo, keys))).toMatchObject({ status: 404 });
  });

  test('one that is invited to come with new keys is not approved with those that it has', async () => {
    const keys = newKeys();
    await post(enrol(token, oslo, keys));
    admit((await enrolments.list())[0]!.enrolment!);
    expect(await post(enrol(token, oslo, keys))).toEqual({ status: 200, state: 'approved' });
    const again = newToken(randomBytes(32));
    await enrolments.invite(invitationOf(again));
    const refused = await post(enrol(again, oslo, keys));
    expect(refused).toMatchObject({ status: 400, detail: expect.stringContaining('make new ones first') });
    expect(await enrolments.list()).toHaveLength(1);
    expect(await post(enrol(again, oslo, newKeys()))).toEqual({ status: 200, state: 'pending' });
  });

  test('a replay changes nothing, and gives the replayer nothing', async () => {
    const sent = enrol(token, oslo, newKeys());
    expect(await post(sent)).toMatchObject({ state: 'pending' });
    const before = await enrolments.list();
    now += 1_000;
    expect(await post(sent)).toMatchObject({ state: 'pending' });
    expect(await enrolments.list()).toEqual(before);
  });

  test('a token used twice: the first agent keeps it', async () => {
    const mine = enrol(token, oslo, newKeys());
    expect(await post(mine)).toMatchObject({ status: 200 });
    expect(await post(enrol(token, oslo, newKeys()))).toMatchObject({ status: 409, title: 'Token used' });
    expect(await post(mine)).toMatchObject({ status: 200 });
  });

  test('a race of many for one token has one winner', async () => {
    const all = Array.from({ length: 8 }, () => enrol(token, oslo, newKeys()));
    const answers = await Promise.all(all.map((one) => post(one)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200,
      ...Array.from({ length: 7 }, () => 409),
    ]);
    const [kept] = await enrolments.list();
    const winner = all[answers.findIndex(({ status }) => status === 200)]!;
    expect(Buffer.from(kept!.enrolment!)).toEqual(Buffer.from(winner));
  });

  test('an expired token, and one that was used in time', async () => {
    const late = newToken(randomBytes(32));
    await enrolments.invite(invitationOf(late));
    const inTime = enrol(token, oslo, newKeys());
    await post(inTime);
    now += hour;
    expect(await post(enrol(late, oslo, newKeys()))).toMatchObject({ status: 410, title: 'Token expired' });
    expect(await post(inTime)).toMatchObject({ state: 'pending' });
    await expect(enrolments.invite({ ...invitationOf(late), ...expired(late) })).rejects.toThrow('expired');
    // In the end it is forgotten, and the one that waits for approval is not.
    now += 8 * 24 * hour;
    await enrolments.invite(invitationOf(newToken(randomBytes(32))));
    expect(await post(enrol(late, oslo, newKeys()))).toMatchObject({ status: 404 });
    expect(await post(inTime)).toMatchObject({ state: 'pending' });
  });
  const expired = (of: string) =>
    signInvitation({ tokenKey: readToken(of).publicKey, expires: now, agent: oslo }, operator);

  test('an unknown token, and one that was withdrawn', async () => {
    expect(await post(enrol(newToken(randomBytes(32)), oslo, newKeys()))).toMatchObject({
      status: 404,
      title: 'No such invitation',
    });
    const { publicKey } = readToken(token);
    expect(await enrolments.withdraw(publicKey)).toBe(true);
    expect(await enrolments.withdraw(publicKey)).toBe(false);
    expect(await post(enrol(token, oslo, newKeys()))).toMatchObject({ status: 404 });
  });

  test.each([
    ['name', { name: 'bergen' }, 'name: the agent says bergen, it was invited as oslo'],
    ['place', { latitude: 1.35 }, 'latitude: the agent says 1.35, it was invited as 59.91'],
    ['network', { asn: 64497 }, 'asn: the agent says 64497, it was invited as 64496'],
  ])('another’s %s, and the token is not used up by it', async (_, claim, detail) => {
    const keys = newKeys();
    expect(await post(enrol(token, { ...oslo, ...claim }, keys))).toMatchObject({
      status: 403,
      title: 'Not as invited',
      detail,
    });
    expect(await post(enrol(token, oslo, keys))).toMatchObject({ state: 'pending' });
  });

  test('a key that it does not hold: another agent’s', async () => {
    const theirs = JSON.parse(enrol(token, oslo, newKeys()).toString()) as Record<string, string>;
    const mine = JSON.parse(enrol(token, oslo, newKeys()).toString()) as Record<string, string>;
    for (const which of ['token', 'observation', 'nats']) {
      const answer = await post(JSON.stringify({ ...theirs, [which]: mine[which] }));
      expect(answer).toMatchObject({ status: 403, title: 'Not proven' });
    }
    expect(await enrolments.list()).toMatchObject([{ enrolment: null }]);
  });

  test('what is no enrolment, and what is too long', async () => {
    for (const body of ['', '{}', '[]', '"x"', '{"statement":1}', Buffer.from([0xff])]) {
      expect(await post(body)).toMatchObject({ status: 400, detail: expect.stringMatching(/^enrolment: /) });
    }
    expect(await post(Buffer.alloc(4_097, 0x20))).toMatchObject({ status: 413 });
    expect(await post('{}', { 'content-type': 'text/plain' })).toMatchObject({ status: 415 });
  });

  test('an invitation that is none, or twice', async () => {
    await expect(enrolments.invite(invitationOf(token))).rejects.toThrow('an invitation with this token');
    const document = Buffer.from('{}');
    await expect(enrolments.invite({ document, signature: document })).rejects.toThrow(
      'invitation: tokenKey',
    );
  });
});

test('who tries many tokens is told to wait', async () => {
  const enrolments = { enrol: () => Promise.resolve('unknown-token' as const) };
  const server = await startRoutes(enrolmentRoutes(enrolments, keptLog().log), { perMinute: 1, burst: 5 });
  const statuses: number[] = [];
  for (let i = 0; i < 8; i++) {
    const url = new URL('/enrolments', server.url).href;
    const headers = { 'content-type': 'application/json' };
    statuses.push((await call(url, { body: '{}', headers })).status);
  }
  await server.close(0);
  expect(statuses).toEqual([404, 404, 404, 404, 404, 429, 429, 429]);
});
