/**
 * kill -9 at random moments: what was answered is in the log, and its notice was sent, once each but for the one that
 * was in flight at a kill. 10,000 requests with MECAI_KILL_REQUESTS=10000; fewer by default.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engines, testDatabases } from '@mecai/database/testing';
import { migrate } from '@mecai/database';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { noticeMigrations } from '../notice/schema.ts';
import { webServer } from '../testing/certificate-log.ts';
import { identityPem } from '../testing/identity.ts';
import type { LogProcessOptions } from '../testing/log-process.ts';
import { hex, sha256 } from './certificate-facts.ts';

const requests = Number(process.env['MECAI_KILL_REQUESTS'] ?? 120);
/** Every other request is about a certificate that was asked about before. */
const leaves = Array.from({ length: requests / 2 }, (_, i) => webServer([`host-${i}.example.org`]));
const outstanding = 16;
const from = 'notice@va.test';
const script = join(import.meta.dirname, '../testing/log-process.ts');
const directory = mkdtempSync(join(tmpdir(), 'mecai-kill-'));
const file = (name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
const pem = identityPem(from);

/** Message-IDs by subject of what the mail server has taken, each as often as it came. */
let mails: Map<string, string[]>;
const mailServer = new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS'],
  onData(stream, _, done) {
    let text = '';
    stream.on('data', (part: Buffer) => (text += part.toString('latin1')));
    stream.on('end', () => {
      const headers = text.slice(0, text.indexOf('\r\n\r\n')).replace(/\r\n[ \t]+/g, ' ');
      const [, subject = ''] = /^Subject: (.*)$/m.exec(headers) ?? [];
      const [, id = ''] = /^Message-ID: (.*)$/im.exec(headers) ?? [];
      mails.set(subject, [...(mails.get(subject) ?? []), id]);
      done();
    });
  },
});
mailServer.on('error', () => undefined);

beforeAll(async () => {
  mailServer.listen(0, '127.0.0.1');
  await once(mailServer.server, 'listening');
});
afterAll(async () => {
  await new Promise<void>((resolve) => mailServer.close(resolve));
  rmSync(directory, { recursive: true });
});

describe.each(engines)('killed at random moments, on %s', (engine) => {
  const databases = testDatabases(engine);

  it('loses no first sight, and sends no notice twice but for those in flight', {
    timeout: 60_000 + requests * 1_000,
  }, async () => {
    mails = new Map();
    const config = await databases.config();
    const database = await databases.open(config);
    await migrate(database, 'notice', noticeMigrations, 0);
    await database.query(
      `insert into subscription (id, domain, recipient, confirmed_at)
       values ($1, 'example.org', 'mailto:owner@example.org', 0)`,
      ['ab'.repeat(16)],
    );
    const { port } = mailServer.server.address() as AddressInfo;
    const options: LogProcessOptions = {
      database: config,
      notice: {
        identity: { certificate: file('mail.pem', pem.certificate), key: file('mail.key', pem.key) },
        from,
        bounces: 'bounces@va.test',
        secretFile: file('secret', randomBytes(32).toString('hex')),
        smtp: { server: `127.0.0.1:${port}`, tls: 'none', timeoutMs: 60_000 },
        sources: ['subscription'],
        rdap: { bootstrap: 'http://127.0.0.1:9/' },
        retry: { firstMs: 50, maxMs: 200 },
        leaseMs: 1_000,
        pollMs: 50,
      },
    };

    const answered = new Set<number>();
    const acknowledged = new Set<number>();
    const leafOf = (number: number) => (number % 2 === 0 ? number / 2 : randomInt(number / 2 + 0.5));
    const asked = Array.from({ length: requests }, (_, number) => leafOf(number));
    const known = async () => {
      const rows = await database.query<{ sha256: Uint8Array }>(
        `select sha256 from certificate_event where kind = 'first-sight'`,
      );
      return rows.map((row) => hex(row.sha256));
    };
    /** By lease: the delivery that a process had in flight when it was killed. */
    const inFlight = new Map<string, string>();
    let kills = 0;
    while (answered.size < requests) {
      const child = fork(script, [JSON.stringify(options)], {
        execArgv: ['--disable-warning=ExperimentalWarning'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const after = randomInt(1, Math.max(30, requests / 20));
      await serve(child, asked, answered, acknowledged, after);
      kills++;
      const leased = await database.query<{ lease: string; id: string }>(
        `select lease, id from delivery where lease <> ''`,
      );
      for (const { lease, id } of leased) inFlight.set(lease, id);
      expect(inFlight.size).toBeLessThanOrEqual(kills);
      const there = new Set(await known());
      for (const index of acknowledged) expect(there.has(hex(sha256(leaves[index]!.der)))).toBe(true);
    }

    // One more, left alone until all notices are out.
    const last = fork(script, [JSON.stringify(options)], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const sent = async () => {
      const [row] = await database.query<{ n: number }>(
        `select count(*) as n from delivery where state = 'sent'`,
      );
      return row!.n;
    };
    const seen = new Set(asked).size;
    await vi.waitUntil(async () => (await sent()) === seen, {
      timeout: 60_000 + requests * 400,
      interval: 100,
    });
    last.kill('SIGKILL');

    const history = await known();
    expect(history).toHaveLength(seen);
    expect(new Set(history).size).toBe(seen);
    let twice = 0;
    for (const index of new Set(asked)) {
      const id = hex(sha256(leaves[index]!.der));
      const came = mails.get(`certificate for host-${index}.example.org: ${id}`) ?? [];
      expect(came.length).toBeGreaterThan(0);
      // The same Message-ID: the recipient can tell.
      expect(new Set(came).size).toBe(1);
      if (came.length === 1) continue;
      twice += came.length - 1;
      const [, delivery = ''] = /^<([0-9a-f]{32})@/.exec(came[0]!) ?? [];
      const kept = [...inFlight.values()].filter((one) => one === delivery);
      expect(came.length - 1).toBeLessThanOrEqual(kept.length);
    }
    console.log(
      `${engine}: ${requests} requests, ${seen} first sights, ${kills} kills, ${inFlight.size} mails in flight at ` +
        `one, ${twice} of them sent twice`,
    );
    expect(kills).toBeGreaterThan(2);
  });
});

/** Asks until so many have been answered, or all; then kills. */
async function serve(
  child: ChildProcess,
  asked: readonly number[],
  answered: Set<number>,
  acknowledged: Set<number>,
  after: number,
): Promise<void> {
  const exited = once(child, 'exit');
  const waiting = asked.map((_, number) => number).filter((number) => !answered.has(number));
  let left = Math.min(after, waiting.length);
  const [ready] = (await Promise.race([once(child, 'message'), exited])) as [unknown];
  if (ready !== 'ready') throw new Error(`it did not come up: ${String(ready)}`);
  const next = () => {
    const number = waiting.shift();
    if (number === undefined) return;
    child.send(
      { number, leaf: Buffer.from(leaves[asked[number]!]!.der).toString('base64') },
      () => undefined,
    );
  };
  child.on('message', ({ number }: { number: number }) => {
    answered.add(number);
    acknowledged.add(asked[number]!);
    // A little later: in the middle of something.
    if (--left === 0) setTimeout(() => child.kill('SIGKILL'), randomInt(20));
    next();
  });
  for (let i = 0; i < outstanding; i++) next();
  await exited;
}
