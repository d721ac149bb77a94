import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type Server, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { newToken, openEnrolment, readToken } from '@mecai/corroboration';
import { testCertificate } from '@mecai/voucher/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { joinNetwork } from './join.ts';
import { keptLog } from './testing/log.ts';
import { oslo } from './testing/oslo.ts';
import { key, pem } from './testing/servers.ts';

const certificate = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
const token = newToken(randomBytes(32));

const patience = { timeout: 20_000 };

/** What the coordinator answers next; the last again and again. */
let answers: [status: number, body: object | string][];
let received: Buffer[];
let server: Server;
let port: number;
let directory: string;
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  server = createServer({ cert: pem(certificate), key: key(certificate) }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push(Buffer.concat(chunks));
      const [status, body] = answers.length > 1 ? answers.shift()! : answers[0]!;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

beforeEach(() => {
  received = [];
  directory = mkdtempSync(join(tmpdir(), 'mecai-join-'));
  writeFileSync(at('join-token'), `${token}\n`);
  writeFileSync(at('ca.pem'), pem(certificate));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function fileOf(more: object): string {
  const file = at('agent.json');
  writeFileSync(
    file,
    JSON.stringify({
      name: 'oslo',
      admin: '127.0.0.1:0',
      nats: { servers: ['nats://127.0.0.1:1'], seedFile: 'nats-seed' },
      keyFile: 'observation-key',
      location: oslo,
      join: { url: `https://localhost:${port}`, ca: 'ca.pem', tokenFile: 'join-token', askEveryMs: 100 },
      ...more,
    }),
  );
  return file;
}
function run(more: object = {}, signal = new AbortController().signal) {
  const { log, lines } = keptLog();
  return { lines, done: joinNetwork({ log, config: fileOf(more), environment: {}, signal }) };
}
const approved: [number, object] = [200, { state: 'approved' }];
const pending: [number, object] = [200, { state: 'pending' }];

describe('join', () => {
  it('makes keys, waits for the operator, and uses the token up', async () => {
    answers = [pending, pending, approved];
    const { done, lines } = run();
    await done;
    const [first, ...others] = received.map((body) => openEnrolment(body));
    expect(others).toHaveLength(2);
    expect(first).toMatchObject({
      tokenKey: readToken(token).publicKey,
      agent: { name: 'oslo', asn: 64496 },
    });
    for (const file of ['observation-key', 'nats-seed']) expect(statSync(at(file)).mode & 0o777).toBe(0o600);
    expect(existsSync(at('join-token'))).toBe(false);
    expect(lines.map(({ message }) => message)).toEqual([
      'keys are here; the operator sees the same',
      'enrolled; waits for the operator: mecai-admin agents approve',
      'approved: this agent is a perspective',
    ]);
    expect(lines[0]!.members).toEqual({
      agent: 'oslo',
      key: first!.agent.keyId,
      natsKey: first!.agent.natsKey,
    });
  });

  it('neither sends nor logs a private key or the token', async () => {
    answers = [pending, approved];
    const { done, lines } = run();
    await done;
    const told = JSON.stringify(lines) + Buffer.concat(received).toString();
    const statement = openEnrolment(received[0]!).statement.toString();
    const pkcs8 = readFileSync(at('observation-key'), 'utf8').split('\n').slice(1, -2).join('');
    for (const secret of [token.slice('mecai-join-'.length), readFileSync(at('nats-seed'), 'utf8'), pkcs8]) {
      expect(told + statement).not.toContain(secret.trim());
    }
  });

  it('interrupted and started again, it is the same agent', async () => {
    answers = [pending];
    const ending = new AbortController();
    const { done } = run({}, ending.signal);
    await expect.poll(() => received.length, patience).toBeGreaterThan(0);
    ending.abort(new Error('ended by SIGTERM'));
    await expect(done).rejects.toThrow(/ended by SIGTERM|aborted/);
    answers = [approved];
    await run().done;
    const statements = received.map((body) => openEnrolment(body).statement.toString());
    expect(new Set(statements).size).toBe(1);
  });

  it.each([
    [403, { title: 'Not as invited', detail: 'asn: …' }, 'Not as invited: asn: …'],
    [404, { title: 'No such invitation', detail: 'nobody' }, 'No such invitation: nobody'],
    [409, { title: 'Token used', detail: 'another agent' }, 'Token used: another agent'],
    [410, { title: 'Token expired', detail: 'ask' }, 'Token expired: ask'],
    [413, '<html>', 'an unknown answer'],
  ])('%i ends it, in the authority’s words', async (status, body, words) => {
    answers = [[status, body]];
    await expect(run().done).rejects.toMatchObject({ code: 'join-refused', message: words });
    expect(received).toHaveLength(1);
    expect(existsSync(at('join-token'))).toBe(true);
  });

  it.each([
    ['too many requests', 429, { title: 'Too many requests' }],
    ['a part away', 503, { title: 'Unavailable' }],
    ['no JSON', 500, 'x'.repeat(100)],
    ['an unknown state', 200, { state: 'maybe' }],
    ['an endless answer', 200, 'x'.repeat(70_000)],
  ])('%s: it asks again, and says once that it waits', async (_, status, body) => {
    answers = [[status, body], [status, body], [status, body], approved];
    const { done, lines } = run();
    await done;
    expect(received).toHaveLength(4);
    expect(lines.filter(({ message }) => message.startsWith('not enrolled yet: localhost'))).toHaveLength(1);
  });

  it('waits for a coordinator that is not there', async () => {
    answers = [approved];
    const ending = new AbortController();
    const { done, lines } = run(
      { join: { url: 'https://localhost:1', tokenFile: 'join-token', askEveryMs: 100 } },
      ending.signal,
    );
    await expect
      .poll(() => lines.map(({ message }) => message), patience)
      .toContainEqual(expect.stringMatching(/^not enrolled yet: localhost:1: .*ECONNREFUSED/));
    ending.abort(new Error('enough'));
    await expect(done).rejects.toThrow();
  });

  it('tells nobody that shows a certificate of another CA', async () => {
    answers = [approved];
    const ending = new AbortController();
    const join_ = { url: `https://localhost:${port}`, tokenFile: 'join-token', askEveryMs: 100 };
    const { done, lines } = run({ join: join_ }, ending.signal);
    await expect.poll(() => lines.length, patience).toBeGreaterThan(1);
    expect(lines[1]!.message).toMatch(/self-signed certificate/);
    ending.abort(new Error('enough'));
    await expect(done).rejects.toThrow();
    expect(received).toEqual([]);
  });

  it('on a full disk it ends with the reason and leaves no half a key; with room it joins', async () => {
    answers = [approved];
    const config = fileOf({ keyFile: 'disk/observation-key' });
    mkdirSync(at('disk'));
    // A disk of its own, in a mount namespace of its own.
    const script = `mount -t tmpfs -o size=16k tmpfs disk
      head -c 100000 /dev/zero >disk/filler 2>/dev/null || true
      "$@" || echo "ended with $?"
      ls disk
      rm disk/filler
      "$@" && ls disk`;
    const words = ['--map-root-user', '--mount', 'sh', '-c', script, 'join'];
    const main = join(import.meta.dirname, 'main.ts');
    const child = spawn('unshare', [...words, process.execPath, main, 'join', '--config', config], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const told = await text(child.stdout);
    const [full, room] = told.split(/^filler$/m);
    expect(full).toMatch(/ENOSPC[^]*ended with 1\n$/);
    expect(room).toMatch(/this agent is a perspective[^]*\nobservation-key\n$/);
    expect(existsSync(at('join-token'))).toBe(false);
  }, 120_000);

  it.each([
    ['no member `join`', { join: undefined }, /join: expected/],
    ['http', { join: { url: 'http://localhost' } }, /join\.url/],
    ['no token', { join: { url: 'https://localhost', tokenFile: 'none' } }, /cannot read .*none/],
    ['a token that is none', { join: { url: 'https://localhost', tokenFile: 'ca.pem' } }, /a join token is/],
    ['an observation key that is none', { keyFile: 'ca.pem' }, /ca\.pem: /],
    ['an nkey that is none', { nats: { servers: ['x'], seedFile: 'ca.pem' } }, /ca\.pem: /],
  ])('%s: says so and leaves things as they are', async (_, more, message) => {
    answers = [approved];
    const before = readdirSync(directory).length;
    await expect(run(more).done).rejects.toThrow(message);
    expect(received).toEqual([]);
    expect(readdirSync(directory).length).toBeLessThanOrEqual(before + 3);
    expect(existsSync(at('join-token'))).toBe(true);
  });
});
