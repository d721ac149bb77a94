/** Options of what the process tells and is asked: alerts, and SQL of researchers. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { Bed } from './testing/bed.ts';
import { type AnalyticsProcess, startClickHouse } from './testing/process.ts';
import { TlsFront, issueTls, makeCa } from './testing/tls.ts';

const bed = new Bed();
const patience = { timeout: 100_000, interval: 50 };

describe('alerts', () => {
  const calls: { headers: IncomingMessage['headers']; body: string }[] = [];
  const mails: { from: string; to: string[]; message: string }[] = [];
  const hook = createServer((request, response) => {
    const take = async () => {
      calls.push({ headers: request.headers, body: await text(request) });
      response.writeHead(204).end();
    };
    void take();
  });
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, { envelope: { mailFrom, rcptTo } }, done) {
      const take = async () => {
        const message = await text(stream);
        mails.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          message,
        });
        done();
      };
      void take();
    },
  });
  afterAll(() => {
    hook.close();
    smtp.close();
  });

  const channels = async () => {
    for (const server of [hook, smtp.server]) {
      if (server.listening) continue;
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const [web, mail] = [hook, smtp.server].map((server) => (server.address() as AddressInfo).port);
    const secretFile = join(bed.directory, 'webhook.key');
    const secret = randomBytes(32);
    writeFileSync(secretFile, secret.toString('base64'));
    const options = {
      webhook: { url: `http://127.0.0.1:${web}/incidents`, secretFile },
      mail: {
        server: `smtp://127.0.0.1:${mail}`,
        from: 'va@va.example',
        to: ['a@va.example', 'b@va.example'],
      },
    };
    return { options, secret };
  };
  const open = (analytics: AnalyticsProcess) =>
    analytics.until<{ detection: { openIncidents: number } }>(
      '/status',
      ({ detection }) => detection.openIncidents === 1,
    );

  it('kinds, webhook and mail: who is told, and how it is signed', async () => {
    const { options, secret } = await channels();
    const analytics = await bed.start({
      detection: { everySeconds: 0.2 },
      alerts: { kinds: ['faulty-agent'], ...options },
    });
    await bed.publishSkewed();
    await vi.waitUntil(() => calls.length > 0 && mails.length > 0, patience);
    await analytics.stop();
    const [{ headers, body }, mail] = [calls[0]!, mails[0]!];
    expect(JSON.parse(body)).toMatchObject({ type: 'incident.open', data: { kind: 'faulty-agent' } });
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    expect(headers['webhook-signature']).toBe(
      `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`,
    );
    expect(mail).toMatchObject({ from: 'va@va.example', to: ['a@va.example', 'b@va.example'] });
    expect(mail.message).toContain('faulty-agent open');
  });

  it('kinds: by default nobody is told of a faulty agent', async () => {
    const { options } = await channels();
    const [called, mailed] = [calls.length, mails.length];
    const analytics = await bed.start({ detection: { everySeconds: 0.2 }, alerts: options });
    await bed.publishSkewed();
    await open(analytics);
    // Which writes the incident and waits for what is to be told of it.
    await analytics.stop();
    expect([calls.length, mails.length]).toEqual([called, mailed]);
  });
});

interface Login {
  readonly user: string;
  readonly passwordFile: string;
}

describe('api.sql', () => {
  const token = 'researcher';
  const sha256 = createHash('sha256').update(token).digest('hex');
  const start = async (sql: object, more: object = {}) => {
    const tokens = join(bed.directory, 'tokens.json');
    writeFileSync(tokens, JSON.stringify([{ name: 'r', sha256, scopes: ['sql'] }]));
    const analytics = await bed.start({ api: { listen: '127.0.0.1:0', tokens, sql }, ...more });
    await analytics.until('/readyz', (_, code) => code === 200);
    const ask = async (query: string): Promise<string> => {
      const response = await fetch(`${analytics.api}/api/v1/sql`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ query }),
      });
      const body = await response.text();
      return response.ok ? 'answered' : `${response.status} ${body}`;
    };
    return { analytics, ask };
  };
  const expensive = {
    rows: 'SELECT number FROM numbers(20000)',
    resultBytes: 'SELECT repeat(toString(number), 100) FROM numbers(9000)',
    memoryBytes: 'SELECT length(groupArray(number)) FROM numbers(5000000)',
  };
  const tight = { rows: 10_000, resultBytes: 500_000, memoryBytes: 2 ** 25 };
  const told = { rows: /rows/, resultBytes: /bytes|size/i, memoryBytes: /memory/i };

  it('seconds: how long a query may take', async () => {
    const { analytics, ask } = await start({ seconds: 1 });
    // On a machine that is busy not even the engine may start in a second.
    const asked = () => ask('SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1');
    await expect.poll(asked, { timeout: 100_000 }).toMatch(/^422 .*maximum: 1000 ms/s);
    await analytics.stop();
  });

  it.each(Object.keys(tight) as (keyof typeof tight)[])('%s: what a query may take', async (limit) => {
    const { analytics, ask } = await start({ [limit]: tight[limit], seconds: 60 });
    const others = (Object.keys(tight) as (keyof typeof tight)[]).filter((one) => one !== limit);
    for (const one of [limit, ...others, limit])
      expect(await ask(expensive[one])).toMatch(one === limit ? told[limit] : /^answered$/);
    await analytics.stop();
  });

  it('user and passwordFile, of the store and of queries: as whom a server is asked', async () => {
    const passwords = { writer: 'open sesame', researcher: 'let me look' };
    const logins = Object.entries(passwords).map((login) => login.join(':'));
    const { child, port } = await startClickHouse(join(bed.directory, 'server'), 0, ...logins);
    const [writer, researcher] = Object.entries(passwords).map(([user, password]) => {
      const passwordFile = join(bed.directory, user);
      writeFileSync(passwordFile, password);
      return { user, passwordFile };
    }) as [Login, Login];
    const store = { kind: 'server', url: `http://127.0.0.1:${port}`, ...writer };
    for (const [sql, answer] of [
      [{}, /no user for queries/],
      [researcher, /^answered$/],
      [{ ...researcher, user: 'writer' }, /Authentication failed/],
    ] as const) {
      const { analytics, ask } = await start(sql, { store });
      expect(await ask('SELECT count() FROM observations')).toMatch(answer);
      await analytics.stop();
    }
    child.kill('SIGKILL');
  });

  it('ca, of the store: whose server is written and asked', async () => {
    const { child, port } = await startClickHouse(join(bed.directory, 'server'));
    const [ca, other] = [makeCa(bed.directory, 'ca'), makeCa(bed.directory, 'other')];
    const front = new TlsFront(port, issueTls(bed.directory, 'server-tls', ca));
    const store = { kind: 'server', url: await front.open() };
    const { analytics, ask } = await start({ user: 'default' }, { store: { ...store, ca: ca.certificate } });
    expect(await ask('SELECT count() FROM observations')).toBe('answered');
    await analytics.stop();
    for (const [trusted, told] of [
      [{ ca: other.certificate }, 'is by no CA in'],
      [{}, 'is by no public CA, and there is no store.ca'],
    ] as const) {
      const wary = await bed.start({ store: { ...store, ...trusted } });
      await vi.waitUntil(() => wary.log().includes(told), patience);
      expect(await wary.get('/readyz')).toMatchObject({
        missing: expect.arrayContaining(['store']) as string[],
      });
      await wary.kill();
    }
    front.close();
    child.kill('SIGKILL');
  });
});
