import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerOf, bearer } from '../testing/answers.ts';
import { type Served, seededAt, serve } from '../testing/served.ts';

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served.close());

const json = (path: string, options?: RequestInit) => answerOf(served.url + path, options);

describe('campaigns', () => {
  const order = (body: object, token = served.token('operate')) =>
    json('/api/v1/campaigns', {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'still served?', ...body }),
    });
  const issuer = 'CN=Other Trust Server CA,O=Other Trust,C=US';

  it('choose endpoints by list, certificate, issuer, and vouchers outstanding', async () => {
    const endpoints = [
      { address: '192.0.2.1', port: 443, serverName: 'a.example' },
      { address: '2001:db8::1', port: 25, startTls: 'smtp' },
    ];
    const byList = await order({ choice: { kind: 'endpoints', endpoints } });
    expect([byList.status, byList.body]).toMatchObject([
      201,
      { endpoints: 2, state: 'running', kind: 'endpoints' },
    ]);
    const byIssuer = await order({ choice: { kind: 'issuer', subject: issuer } });
    expect(byIssuer.body.endpoints).toBe(25);
    const vouchers = await order({ choice: { kind: 'vouchers' } });
    expect(vouchers.body.endpoints).toBe(100);
    const some = await order({ choice: { kind: 'vouchers', subject: issuer } });
    expect(some.body.endpoints).toBe(25);
    const { body: list } = await json('/api/v1/vouchers?limit=1');
    const one = await order({ choice: { kind: 'certificate', subject: list.items[0]!.leaf } });
    expect(one.body.endpoints).toBe(1);
    const targets = await json(`/api/v1/campaigns/${byList.body.id}/targets`, {
      headers: bearer(served.token('operate')),
    });
    expect(targets.body.items).toMatchObject([
      { number: 0, address: '2001:db8::1', port: 25, start_tls: 'smtp' },
      { number: 1, address: '192.0.2.1', port: 443, server_name: 'a.example' },
    ]);
  });

  it('show what is still served, what is not, and what nobody reached', async () => {
    const { body: made } = await order({ choice: { kind: 'issuer', subject: issuer } });
    const { body: before } = await json(`/api/v1/campaigns/${made.id}`);
    expect(before.summary).toEqual({ waiting: 25 });
    await served.store.command(
      `INSERT INTO observations (id, received_at, nonce, campaign, agent, address, port, server_name, start_tls, leaf)
        SETTINGS insert_deduplicate = 0
        SELECT concat('campaign ', toString(number)), fromUnixTimestamp64Milli({now:Int64}) + 1000, '', campaign, 'lima',
          address, port, server_name, start_tls, multiIf(number < 10, leaf, number < 15, 'other', '')
        FROM campaign_targets FINAL WHERE campaign = {id:String} AND number < 20`,
      { id: made.id, now: seededAt },
    );
    const { body: after } = await json(`/api/v1/campaigns/${made.id}`);
    expect(after.summary).toEqual({ served: 10, replaced: 5, unreachable: 5, waiting: 5 });
    expect(after.results[0]).toMatchObject({ number: 0, state: 'served', perspectives: 1 });
  });

  it('go on, end by themselves, and are stopped', async () => {
    const operate = { ...bearer(served.token('operate')), 'content-type': 'application/json' };
    const { body: made } = await order({ choice: { kind: 'issuer', subject: issuer }, rounds: 2 });
    const advance = (round: number, next: number) =>
      json(`/api/v1/campaigns/${made.id}/progress`, {
        method: 'POST',
        headers: operate,
        body: JSON.stringify({ round, next }),
      });
    expect((await advance(0, 20)).body).toMatchObject({ state: 'running', round: 0, next: 20 });
    expect((await advance(2, 0)).body).toMatchObject({ state: 'done' });
    expect((await advance(0, 0)).body).toMatchObject({ state: 'done', round: 2 });
    const { body: other } = await order({ choice: { kind: 'vouchers' } });
    const stopped = await json(`/api/v1/campaigns/${other.id}/stop`, { method: 'POST', headers: operate });
    expect(stopped.body.state).toBe('stopped');
    const running = await json('/api/v1/campaigns?state=running');
    expect(running.body.items.map(({ id }) => id)).not.toContain(other.id);
  });

  it('need scope operate', async () => {
    expect((await order({ choice: { kind: 'vouchers' } }, served.token('read', 'sql'))).status).toBe(403);
  });
});
