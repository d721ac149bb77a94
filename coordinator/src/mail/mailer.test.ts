import { once } from 'node:events';
import { type Server, type Socket, createServer as createTcpServer } from 'node:net';
import { testCertificate } from '@mecai/voucher/testing';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { keyPemOf, pemOf } from '../testing/chains.ts';
import { type Mailer, type SmtpOptions, mailer } from './mailer.ts';

const closing: (() => void)[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const certificate = testCertificate({ subject: 'mail.test', dnsNames: ['localhost'] });
const message = Buffer.from('Subject: x\r\n\r\nhi\r\n');
const envelope = { from: 'bounces+1@va.example', to: 'owner@example.org' };
const refusal = (code: number) =>
  Object.assign(new Error(`no\u0007 ${'x'.repeat(500)}`), { responseCode: code });

async function smtp(options: SMTPServerOptions): Promise<number> {
  const server = new SMTPServer({
    key: keyPemOf(certificate).toString(),
    cert: pemOf(certificate),
    authOptional: true,
    onData: (stream, _, done) => void stream.resume().on('end', () => done()),
    ...options,
  });
  server.on('error', () => undefined);
  const { server: listener } = server;
  server.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  closing.push(() => server.close());
  servers.push(listener);
  return (listener.address() as { port: number }).port;
}

function open(port: number, options: Partial<SmtpOptions> = {}): Mailer {
  const opened = mailer({ host: 'localhost', port, tls: 'none', timeoutMs: 2_000, ...options });
  closing.push(() => opened.close());
  return opened;
}
const send = (port: number, options: Partial<SmtpOptions> = {}, signal = AbortSignal.timeout(5_000)) =>
  open(port, options).send(message, envelope, signal);

describe('a mail server that', () => {
  it('takes the mail has its envelope and its octets', async () => {
    const got: string[] = [];
    const port = await smtp({
      onData(stream, { envelope: { mailFrom, rcptTo } }, done) {
        stream.on('data', (data) => got.push(String(data)));
        stream.on('end', () => {
          got.push(mailFrom === false ? '' : mailFrom.address, ...rcptTo.map(({ address }) => address));
          done();
        });
      },
    });
    expect(await send(port)).toMatchObject({ outcome: 'sent', detail: expect.stringMatching(/^250 /) });
    expect(got).toEqual([message.toString(), envelope.from, envelope.to]);
  });

  it.each<[string, SMTPServerOptions, string]>([
    ['does not know the recipient', { onRcptTo: (_, __, done) => done(refusal(550)) }, 'refused'],
    [
      'refuses the mail',
      { onData: (s, _, done) => void s.resume().on('end', () => done(refusal(554))) },
      'refused',
    ],
    ['has no room yet', { onRcptTo: (_, __, done) => done(refusal(452)) }, 'failed'],
    [
      'takes the mail later',
      { onData: (s, _, done) => void s.resume().on('end', () => done(refusal(451))) },
      'failed',
    ],
    // Not the recipient's fault: the operator may put it right.
    ['does not like the sender', { onMailFrom: (_, __, done) => done(refusal(550)) }, 'failed'],
    ['does not like us', { onConnect: (_, done) => done(refusal(554)) }, 'failed'],
    ['never answers to RCPT', { onRcptTo: () => undefined }, 'failed'],
    ['never answers to the mail', { onData: (stream) => void stream.resume() }, 'failed'],
  ])('%s', async (_, options, outcome) => {
    const { outcome: actual, detail } = await send(await smtp(options), {
      timeoutMs: outcome === 'refused' ? 5_000 : 500,
    });
    expect(actual).toBe(outcome);
    expect(detail).toMatch(/^[\x20-\x7e]{1,300}$/);
  });

  it('has one mail after the other gets them over one connection', async () => {
    let connections = 0;
    let closed = 0;
    const mails: string[] = [];
    const port = await smtp({
      onConnect: (_, done) => (connections++, done()),
      onClose: () => closed++,
      onRcptTo: ({ address }, _, done) => (mails.push(address), done()),
    });
    const { send: sendMail, close } = open(port, { timeoutMs: 20_000 });
    const to = Array.from({ length: 5 }, (_, i) => `owner-${i}@example.org`);
    for (const address of to) {
      const attempt = await sendMail(message, { ...envelope, to: address }, AbortSignal.timeout(20_000));
      expect(attempt.outcome).toBe('sent');
    }
    expect([connections, closed]).toEqual([1, 0]);
    expect(mails).toEqual(to);
    close();
    await vi.waitUntil(() => closed === 1, { timeout: 60_000 });
  });

  it('refuses one recipient gets the next mail all the same', async () => {
    const port = await smtp({
      onRcptTo: ({ address }, _, done) => done(address.startsWith('no') ? refusal(550) : null),
    });
    const { send: sendMail } = open(port, { timeoutMs: 20_000 });
    const outcomes: string[] = [];
    for (const to of ['a@example.org', 'no@example.org', 'b@example.org']) {
      outcomes.push((await sendMail(message, { ...envelope, to }, AbortSignal.timeout(20_000))).outcome);
    }
    expect(outcomes).toEqual(['sent', 'refused', 'sent']);
  });

  it('hangs up between two mails gets the second over a new connection, and each once', async () => {
    const sockets: Socket[] = [];
    let mails = 0;
    const port = await smtp({
      onData: (stream, _, done) => void stream.resume().on('end', () => (mails++, done())),
    });
    servers.at(-1)!.on('connection', (socket: Socket) => sockets.push(socket));
    const { send: sendMail } = open(port, { timeoutMs: 20_000 });
    const sendNext = async () => (await sendMail(message, envelope, AbortSignal.timeout(20_000))).outcome;
    expect(await sendNext()).toBe('sent');
    // At the moment of the next mail: it is written into a connection that the server has left.
    sockets[0]!.destroy();
    expect(await sendNext()).toBe('sent');
    expect([sockets.length, mails]).toEqual([2, 2]);
  });

  it('is not there, or hangs up, or speaks something else', async () => {
    const server = createTcpServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    expect((await send(port)).outcome).toBe('failed');
    server.close();
    await once(server, 'close');
    expect((await send(port)).outcome).toBe('failed');
  });

  it('is silent loses its try when the time is up', async () => {
    const port = await smtp({ onData: (stream) => void stream.resume() });
    const outcome = await send(port, { timeoutMs: 60_000 }, AbortSignal.timeout(200));
    expect(outcome.outcome).toBe('failed');
  });

  it('is spoken to over TLS if told so, with a certificate of a root that is trusted', async () => {
    const seen: boolean[] = [];
    const onMailFrom: SMTPServerOptions['onMailFrom'] = (_, session, done) => {
      seen.push(session.secure);
      done();
    };
    const port = await smtp({ onMailFrom });
    const ca = pemOf(certificate);
    expect((await send(port, { tls: 'starttls', ca })).outcome).toBe('sent');
    expect((await send(port, { tls: 'starttls' })).outcome).toBe('failed');
    expect((await send(await smtp({ onMailFrom, secure: true }), { tls: 'implicit', ca })).outcome).toBe(
      'sent',
    );
    const plain = await smtp({ onMailFrom, disabledCommands: ['STARTTLS'] });
    expect((await send(plain, { tls: 'starttls', ca })).outcome).toBe('failed');
    expect((await send(plain)).outcome).toBe('sent');
    expect(seen).toEqual([true, true, false]);
  });

  it('wants a password gets it', async () => {
    const port = await smtp({
      authOptional: false,
      onAuth: ({ username, password }, _, done) =>
        done(username === 'va' && password === 'secret' ? null : refusal(535), { user: 'va' }),
    });
    const over = { tls: 'starttls', ca: pemOf(certificate) } as const;
    expect((await send(port, { ...over, user: 'va', password: 'secret' })).outcome).toBe('sent');
    expect((await send(port, { ...over, user: 'va', password: 'wrong' })).outcome).toBe('failed');
    expect((await send(port, over)).outcome).toBe('failed');
  });
});
