import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Postfix, startPostfix } from '../../test/src/parts/postfix.ts';
import { Alerts } from './alerts.ts';
import type { IncidentRow } from './rows.ts';
import { Store } from './store.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-alerts-'));
const log = createLogger('alerts', 'silent');
const secret = randomBytes(32);
const calls: { headers: IncomingMessage['headers']; body: string }[] = [];
const mails = () => postfix.mailbox('ops').map(String);
let refuse = 0;

const receiver = createServer((request, response) => {
  const take = async () => {
    calls.push({ headers: request.headers, body: await text(request) });
    response.writeHead(refuse-- > 0 ? 503 : 204).end();
  };
  void take();
});
let postfix: Postfix;
let store: Store;
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  postfix = await startPostfix({ domains: ['va.example'], mailboxes: ['ops'] });
  store = await Store.open(
    { store: { kind: 'embedded', directory: join(directory, 'store') }, retentionDays: 0, insertMs: 10_000 },
    log,
  );
}, 60_000);
afterAll(async () => {
  await store.close();
  receiver.close();
  await postfix?.stop();
  rmSync(directory, { recursive: true });
});

const hookPort = () => (receiver.address() as AddressInfo).port;
const started = () => {
  const alerts = new Alerts({
    config: {
      webhook: { url: `http://127.0.0.1:${hookPort()}/hook`, secretFile: '' },
      mail: {
        server: `smtp://127.0.0.1:${postfix.port}`,
        from: 'va@va.example',
        to: ['ops@va.example'],
      },
    },
    kinds: () => ['regional-interception'],
    secret,
    store: () => store,
    now: Date.now,
    log,
  });
  alerts.start();
  return alerts;
};

const incident = (id: string, changes: Partial<IncidentRow> = {}): IncidentRow => ({
  id,
  version: 1,
  rules_version: 1,
  kind: 'regional-interception',
  state: 'open',
  since: 0,
  opened_at: 0,
  last_evidence_at: 0,
  closed_at: null,
  updated_at: Date.now(),
  confidence: 0.97,
  summary: 'In KZ, www.example shows a certificate\r\nBcc: eve@example.com',
  reasons: ['unknown-issuer'],
  countries: ['KZ'],
  rirs: ['ripencc'],
  asns: [1],
  agents: ['almaty'],
  server_names: ['www.example'],
  endpoints: ['www.example:443'],
  names_affected: 1,
  leaves: [],
  leaf_spkis: [],
  issuers: [],
  genuine: [],
  observations: 2,
  ...changes,
});

const until = (holds: () => boolean) => vi.waitUntil(holds, { timeout: 60_000, interval: 50 });

it('tells once of each opening and end, signed, by webhook and mail; again where it was refused', {
  timeout: 120_000,
}, async () => {
  refuse = 2;
  const alerts = started();
  const opened = incident('a');
  alerts.tell(opened);
  await until(() => calls.length === 3 && mails().length === 1);
  // Grown, and another of a kind nobody asked to hear of.
  alerts.tell({ ...opened, version: 2 });
  alerts.tell(incident('b', { kind: 'faulty-agent' }));
  alerts.tell({ ...opened, version: 3, state: 'closed' });
  await until(() => calls.length === 4 && mails().length === 2);
  await alerts.stop();
  expect(alerts.pending).toBe(0);

  for (const { headers, body } of calls) {
    const id = headers['webhook-id'];
    const signed = `${String(id)}.${String(headers['webhook-timestamp'])}.${body}`;
    const expected = createHmac('sha256', secret).update(signed).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${expected}`);
  }
  expect(new Set(calls.slice(0, 3).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(calls.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual([
    'incident.open',
    'incident.open',
    'incident.open',
    'incident.closed',
  ]);
  const [mail] = mails();
  expect(mail).toContain('To: ops@va.example');
  expect(mail).toMatch(/^Message-ID: <a\.open@mecai\.invalid>\r?$/m);
  // What, where, how sure, by which rules; what servers send cannot add a header.
  for (const told of [
    'In KZ, www.example',
    'almaty',
    '97 % sure by rules 1',
    'unknown-issuer',
    'www.example:443',
  ])
    expect(mail).toContain(told);
  expect(mail).not.toMatch(/^Bcc:/m);

  const again = started();
  again.tell(opened);
  again.tell(incident('c'));
  await until(() => calls.length === 5 && mails().length === 3);
  await again.stop();
  expect(calls[4]!.headers['webhook-id']).toContain('msg_c');
  expect(again.pending).toBe(0);
});
