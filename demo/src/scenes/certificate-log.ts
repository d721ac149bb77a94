import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { parseAddress } from '@mecai/addresses';
import { requestVoucher } from '@mecai/client';
import { type TestCertificate, intermediateCa, serverCertificate, tlsServer } from '@mecai/test/network';
import type { ChainResult } from '@mecai/voucher';
import type { PostOffice } from '../post-office.ts';
import { type Stage, serverName } from '../story.ts';

const host = '127.20.0.3';
const admin = join(import.meta.dirname, '../../../admin/src/main.ts');

/** Whose certificates are held in this story, and for how long; everybody else's pass at once. */
const heldCa = 'Example New Issuing CA';
const heldMs = 3_000;
export const certificateLog = {
  hold: { maxMs: 0, rules: [{ ca: heldCa, maxMs: heldMs, lifetimeShare: 1 }] },
  sweepEveryMs: 500,
};

/** A new certificate is held and its owner told; a renewal passes; the owner objects to another; the operator clears. */
export async function sceneCertificateLog(stage: Stage, post: PostOffice): Promise<boolean> {
  const { printer, network } = stage;
  printer.scene(
    '(h) A certificate that was never seen before',
    `A new CA, whose certificates wait ${heldMs / 1000} s here (72 h by default), issues for ${serverName}: one for the shop, one for somebody else.`,
  );
  const issuer = intermediateCa(heldCa, network.pki.webRoot, { crlUrl: network.crls.url('new') });
  network.crls.publish(issuer);
  const first = serverCertificate(issuer, { dns: [serverName] });
  const renewed = serverCertificate(issuer, { dns: [serverName] }, first);
  const rogue = serverCertificate(issuer, { dns: [serverName] });
  const ask = (leaf: TestCertificate) => voucherFor(stage, [leaf, issuer]);

  const held = await ask(first);
  const isHeld = held.status === 'on-hold';
  printer.step(
    { step: 'on-hold', ok: isHeld, status: held.status, retryAfter: held.retryAfter },
    `the shop's new certificate: ${held.status}, come back in ${held.retryAfter} s`,
  );
  const told = await mailArrived(stage, post, first);
  const { result, milliseconds } = await untilIssued(() => ask(first));
  const cleared = result.status === 'issued';
  printer.step(
    { step: 'hold-ended', ok: cleared, status: result.status, milliseconds },
    `nobody objected; ${result.status} ${(milliseconds / 1000).toFixed(1)} s later`,
  );
  const renewal = await ask(renewed);
  const passed = renewal.status === 'issued';
  printer.step(
    { step: 'renewal', ok: passed, status: renewal.status },
    `its renewal, same key, same name, same CA: ${renewal.status} at once`,
  );
  return isHeld && told && cleared && passed && (await objection(stage, post, rogue, ask));
}

async function objection(
  stage: Stage,
  post: PostOffice,
  rogue: TestCertificate,
  ask: (leaf: TestCertificate) => Promise<ChainResult>,
): Promise<boolean> {
  const { printer } = stage;
  const fingerprint = idOf(rogue);
  await ask(rogue);
  await mailArrived(stage, post, rogue);
  const name = `_mecai-objection.${serverName}`;
  post.records.set(name, `sha256=${fingerprint}`);
  const answer = await object(stage, fingerprint);
  const refused = await ask(rogue);
  const objected = answer === 'objected' && refused.reason === 'objected';
  printer.step(
    { step: 'objection', ok: objected, status: refused.status, reason: refused.reason },
    `the owner publishes ${name} and objects: ${refused.status}, ${refused.reason}, however long it waits`,
  );
  const decision = ['--reason', 'the owner had forgotten a load balancer', '--author', 'Ada'];
  await operator(stage, 'clear', fingerprint, ...decision);
  const after = await ask(rogue);
  const cleared = after.status === 'issued';
  printer.step(
    { step: 'cleared', ok: cleared, status: after.status },
    `mecai-admin clear, once they have talked: ${after.status}. Its history:`,
  );
  for (const line of (await operator(stage, 'certificate', fingerprint)).split('\n')) {
    const [, at, kind] = /^ {4}(\S+Z) ([a-z-]+) \{/.exec(line) ?? [];
    if (at !== undefined) printer.line(`${at} ${kind}`);
  }
  return objected && cleared;
}

/** The mail about this certificate, in the owner's mailbox, with a signature that OpenSSL verifies. */
async function mailArrived({ printer }: Stage, post: PostOffice, leaf: TestCertificate): Promise<boolean> {
  const mail = await post.mailAbout(idOf(leaf));
  const [, subject = ''] = /^Subject: (.*)$/m.exec(mail.replace(/\r\n[ \t]+/g, ' ')) ?? [];
  const verify = ['cms', '-verify', '-inform', 'SMIME', '-CAfile', post.mailCertificate];
  const text = execFileSync('openssl', verify, { input: mail, stdio: ['pipe', 'pipe', 'pipe'] }).toString();
  const ok =
    subject.trim() === `certificate for ${serverName}: ${idOf(leaf)}` && text.includes('BEGIN CERTIFICATE');
  printer.step(
    { step: 'mail', ok, subject },
    `in the owner's mailbox, S/MIME verified by openssl: ${subject}`,
  );
  return ok;
}

const idOf = ({ der }: TestCertificate): string => createHash('sha256').update(der).digest('hex');

async function object({ network }: Stage, fingerprint: string): Promise<string> {
  const url = new URL(`/certificates/${fingerprint}/objection`, network.vrpUrl);
  const headers = { 'content-type': 'application/json' };
  const ca = readFileSync(network.files.httpsCa);
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, ca }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => (body += part));
      response.on('end', () => resolve((JSON.parse(body) as { outcome?: string }).outcome ?? body));
    });
    sent.on('error', reject).end(JSON.stringify({ domain: serverName }));
  });
}

const operator = ({ network }: Stage, ...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [admin, ...args, '--config', network.files.admin], (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    );
  });

async function voucherFor(
  { network, tally }: Stage,
  chain: readonly [TestCertificate, TestCertificate],
): Promise<ChainResult> {
  const server = await tlsServer(chain, host);
  try {
    const { results } = await requestVoucher(
      network.vrpUrl,
      {
        ipv4: parseAddress(host),
        port: server.port,
        serverName,
        chains: [chain.map(({ der }) => der)],
      },
      { ca: readFileSync(network.files.httpsCa, 'utf8'), keys: [chain[0].privateKey] },
    );
    tally(network.cities.length, 0);
    return results[0]!;
  } finally {
    await server.close();
  }
}

async function untilIssued(
  ask: () => Promise<ChainResult>,
): Promise<{ result: ChainResult; milliseconds: number }> {
  const since = performance.now();
  for (let tries = 20; ; tries--) {
    const result = await ask();
    const milliseconds = Math.round(performance.now() - since);
    if (result.status !== 'on-hold' || tries === 0) return { result, milliseconds };
    await new Promise((resolve) => setTimeout(resolve, (result.retryAfter ?? 1) * 1_000));
  }
}
