/** A running network that tells domain owners: the mail in a mailbox, a bounce, an approval by telephone. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type TestCertificate, serverCertificate } from '../network/index.ts';
import { type Postfix, startPostfix } from '../parts/postfix.ts';
import { Asker, serverName } from '../trust/asker.ts';
import { identity, noticeOf, startRegistry } from './owners.ts';

const script = join(import.meta.dirname, '../../../admin/src/main.ts');
const domain = 'example.test';
let postfix: Postfix;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let asker: Asker;
let root: string;

beforeAll(async () => {
  postfix = await startPostfix({ domains: [domain, 'va.test'], mailboxes: ['owner', 'bounces'] });
  registry = await startRegistry(domain, [
    ['email', {}, 'text', `owner@${domain}`],
    ['email', {}, 'text', `left@${domain}`],
    ['tel', { type: 'voice' }, 'uri', 'tel:+49-30-123456'],
  ]);
  asker = await Asker.start(
    {
      coordinator: {
        publicUrl: 'https://va.test',
        certificateLog: {
          hold: { maxMs: 3_600_000 },
          waivers: { approvals: true },
          notices: { ofAddresses: true },
          lastSeenEveryMs: 100,
        },
        allowedTargets: ['127.0.0.0/8'],
        notice: noticeOf(postfix.port, registry.bootstrap),
        approval: {},
      },
    },
    identity,
  );
  root = join(asker.network.directory, 'mail.pem');
}, 120_000);
afterAll(async () => {
  await asker?.close();
  await postfix?.stop();
  registry?.close();
});

function admin(args: readonly string[], input: Uint8Array = new Uint8Array()): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      [script, ...args, '--config', asker.network.files.admin],
      { encoding: 'utf8' },
      (error, out, words) => (error ? reject(new Error(words)) : resolve(out)),
    );
    child.stdin!.end(input);
  });
}
const idOf = (leaf: TestCertificate) => createHash('sha256').update(leaf.der).digest('hex');
const waitFor = <T>(condition: () => T | Promise<T>) =>
  vi.waitUntil(condition, { timeout: 60_000, interval: 100 });
const file = (name: string, content: Uint8Array) => {
  writeFileSync(join(asker.network.directory, name), content);
  return join(asker.network.directory, name);
};
/** In the owner's mailbox, about this certificate, signed: the words of each, quoted-printable undone as far as it matters. */
const mailsAbout = (leaf: TestCertificate): string[] =>
  postfix
    .mailbox('owner')
    .filter((mail) =>
      mail
        .toString()
        .replace(/\r?\n[ \t]+/g, ' ')
        .includes(`: ${idOf(leaf)}`),
    )
    .map((mail) => {
      const args = ['cms', '-verify', '-in', file('mail', mail), '-CAfile', root];
      const entity = execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
      return entity.replace(/=\r?\n/g, '');
    });
const formPost = (path: string, body: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const ca = readFileSync(asker.network.files.httpsCa);
    const sent = request(new URL(path, asker.network.vrpUrl), { method: 'POST', headers, ca }, (response) => {
      let text = '';
      response.on('data', (part) => (text += String(part)));
      response.on('end', () => resolve(text));
    });
    sent.on('error', reject).end(body);
  });

describe('a running network', { timeout: 120_000 }, () => {
  it('tells the owner by signed mail, hears of a bounce, and issues once somebody who was called approves', async () => {
    const leaf = serverCertificate(asker.network.pki.webIntermediate, { dns: [serverName] }, 'ecdsa');
    const ask = await asker.about([leaf, asker.network.pki.webIntermediate]);
    expect((await ask()).status).toBe('on-hold');

    const [text] = await waitFor(() => {
      const mails = mailsAbout(leaf);
      return mails.length > 0 && mails;
    });
    const [mail] = postfix.mailbox('owner');
    const subject = /^Subject: (.*\r?\n[ \t].*)$/m.exec(mail!.toString())![1]!.replace(/\s+/g, ' ');
    expect(subject).toBe(`certificate for ${serverName}: ${idOf(leaf)}`);
    expect(text).toContain('endpoint     127.0.0.80 port');
    expect(text).toMatch(/(RIPE NCC|ARIN|APNIC), AS\d+: this certificate over IPv4/);
    expect(text).toContain(`https://va.test/certificates/${idOf(leaf)}`);

    // The other address does not exist: what Postfix sends back goes into the command as its pipe would do it.
    const report = await waitFor(() => postfix.mailbox('bounces')[0] ?? false);
    await admin(['outbox', 'bounce'], report || undefined);
    expect(await admin(['outbox', 'list', '--state', 'bounced'])).toContain(`to mailto:left@${domain}`);

    const sheet = await admin(['approval', 'open', file('leaf.der', leaf.der)]);
    expect(sheet).toContain('[ ] +4930123456');
    const [, number = '', code = ''] =
      /transaction number ([\d ]{14}) and the approval code ([\d ]{9})\./.exec(sheet) ?? [];
    expect((await ask()).status).toBe('on-hold');
    const page = await formPost('/approval', new URLSearchParams({ number, code }).toString());
    expect(page).toContain('This request is approved');
    expect((await ask()).status).toBe('issued');
    const out = join(asker.network.directory, 'approval.cms');
    expect(await admin(['approval', 'show', number, '--out', out])).toBe(`approved: ${serverName}\n`);
    execFileSync(
      'openssl',
      ['cms', '-verify', '-inform', 'DER', '-in', out, '-CAfile', root, '-purpose', 'any'],
      {
        stdio: 'pipe',
      },
    );
    const metrics = await (await fetch(`${asker.network.coordinator.ready['admin']}/metrics`)).text();
    const [, expiry] = /^mecai_notice_certificate_expiry_timestamp_seconds\S* (\S+)/m.exec(metrics) ?? [];
    expect(Number(expiry) * 1_000 - Date.now()).toBeGreaterThan(29 * 86_400_000);
    expect(metrics).toMatch(/mecai_outbox_tries_total\{.*outcome="sent".*\} \d/);
  });

  it('tells the owner once of each new address at which a known certificate appears', async () => {
    const chain = [
      serverCertificate(asker.network.pki.webIntermediate, { dns: [serverName] }, 'ecdsa'),
      asker.network.pki.webIntermediate,
    ] as const;
    const [leaf] = chain;
    const at = (address: string) => asker.about(chain, serverName, address);
    const [first, second, third] = [await at('127.0.0.80'), await at('127.0.0.81'), await at('127.0.0.82')];
    expect((await first()).status).toBe('on-hold');
    for (const ask of [second, first, second]) expect((await ask()).status).toBe('on-hold');
    await waitFor(() => mailsAbout(leaf).length === 2);
    // Asked about again and again, it is still one mail; the next address is another.
    for (const ask of [second, first, third]) await ask();
    await waitFor(() => mailsAbout(leaf).some((text) => text.includes('endpoint     127.0.0.82 port')));
    const mails = mailsAbout(leaf);
    expect(mails).toHaveLength(3);
    const known = mails.filter((text) => text.includes('where it has not seen it before.'));
    expect(known.map((text) => /endpoint +(127\.0\.0\.8\d) port/.exec(text)![1]!).toSorted()).toEqual([
      '127.0.0.81',
      '127.0.0.82',
    ]);
    for (const text of known) {
      expect(text).toContain('If this server is yours, nothing need be done.');
      expect(text).toMatch(/(RIPE NCC|ARIN|APNIC), AS\d+: this certificate over IPv4/);
    }
  });
});
