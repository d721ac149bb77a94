import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '@mecai/addresses';
import { requestVoucher } from '@mecai/client';
import { type Endpoint, type TestCertificate, serverCertificate, tlsServer } from '@mecai/test/network';
import type { ChainResult } from '@mecai/voucher';
import { type Stage, serverName } from '../story.ts';

const host = '127.20.0.2';
const admin = join(import.meta.dirname, '../../../admin/src/main.ts');
/** Answers until the network has taken note. */
const patience = 100;

/** A CA revokes a certificate; the operator distrusts a CA, and lifts that again. */
export async function sceneRevocationAndDistrust(stage: Stage): Promise<boolean> {
  const { printer, network } = stage;
  printer.scene(
    '(e) A certificate is revoked, a CA is distrusted',
    'Another shop’s key was stolen, and its CA revokes the certificate. Then the CA itself is broken into.',
  );
  const { webIntermediate } = network.pki;
  const leaf = serverCertificate(webIntermediate, { dns: [serverName] });
  const chain = [leaf, webIntermediate] as const;
  const shop = await tlsServer(chain, host);
  const ask = () => voucherFor(stage, shop, chain);
  try {
    const revoked = await revoke(stage, leaf, ask);
    const next = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
    const successor = await tlsServer(next, host);
    try {
      return (await distrust(stage, () => voucherFor(stage, successor, next))) && revoked;
    } finally {
      await successor.close();
    }
  } finally {
    await shop.close();
  }
}

async function revoke(
  { printer, network }: Stage,
  leaf: TestCertificate,
  ask: () => Promise<ChainResult>,
): Promise<boolean> {
  const before = await ask();
  network.crls.publish(network.pki.webIntermediate, { revoked: [{ certificate: leaf, reason: 1 }] });
  const { result, milliseconds } = await until(ask, ({ status }) => status === 'refused');
  const ok = before.status === 'issued' && result.reason === 'revoked';
  printer.step(
    {
      step: 'revoked',
      ok,
      status: result.status,
      reason: result.reason,
      detail: result.detail,
      milliseconds,
    },
    `its voucher ${milliseconds} ms after the CA put out the CRL: ${result.status}, ${result.reason}`,
  );
  return ok;
}

async function distrust(stage: Stage, ask: () => Promise<ChainResult>): Promise<boolean> {
  const { printer, network } = stage;
  const before = await ask();
  const key = join(network.directory, 'trust/CHROME/roots.pem');
  const since = performance.now();
  const adding = operator(stage, 'add', '--spki', key, '--reason', 'its key is on sale', '--author', 'Ada');
  let last = 0;
  const watching = until(
    async () => {
      const result = await ask();
      if (result.status === 'issued') last = Math.round(performance.now() - since);
      return result;
    },
    ({ status }) => status === 'refused',
  );
  const id = await adding;
  const took = Math.round(performance.now() - since);
  const { result } = await watching;
  const ok = before.status === 'issued' && result.reason === 'distrusted' && last < took + 1_000;
  printer.step(
    { step: 'distrusted', ok, status: result.status, detail: result.detail, milliseconds: took, last },
    `mecai-admin distrust add: in force when the command returned, after ${took} ms; the last voucher came after ${last} ms`,
  );
  printer.line(`${result.status}, ${result.reason}: ${result.detail}`);
  await operator(stage, 'lift', id, '--reason', 'it was another key', '--author', 'Ada');
  const { result: again } = await until(ask, ({ status }) => status === 'issued');
  const lifted = again.status === 'issued';
  printer.step(
    { step: 'lifted', ok: lifted, status: again.status },
    `mecai-admin distrust lift: ${again.status} again`,
  );
  return ok && lifted;
}

/** @returns the entry's id */
async function operator({ network }: Stage, ...args: string[]): Promise<string> {
  const command = [admin, 'distrust', ...args, '--config', network.files.admin, '--json'];
  const out = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, command, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
  return (JSON.parse(out) as { id: string }).id;
}

async function voucherFor(
  { network, tally }: Stage,
  { port }: Endpoint,
  chain: readonly TestCertificate[],
): Promise<ChainResult> {
  const { results } = await requestVoucher(
    network.vrpUrl,
    { ipv4: parseAddress(host), port, serverName, chains: [chain.map(({ der }) => der)] },
    { ca: readFileSync(network.files.httpsCa, 'utf8'), keys: [chain[0]!.privateKey] },
  );
  const result = results[0]!;
  // What is refused at once is not looked at.
  if (result.perspectives.length > 0) tally(network.cities.length, 0);
  return result;
}

async function until(
  ask: () => Promise<ChainResult>,
  wanted: (result: ChainResult) => boolean,
): Promise<{ result: ChainResult; milliseconds: number }> {
  const since = performance.now();
  for (let tries = patience; ; tries--) {
    const result = await ask();
    if (wanted(result) || tries === 0) return { result, milliseconds: Math.round(performance.now() - since) };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
