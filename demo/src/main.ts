#!/usr/bin/env node
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Network, startNetwork } from '@mecai/test/network';
import { type PostOffice, openPostOffice } from './post-office.ts';
import { type Printer, humanPrinter, jsonPrinter } from './printer.ts';
import {
  type Stage,
  sceneCapturedCoordinator,
  sceneRegionalAttack,
  sceneVoucher,
  sceneWideAttack,
  setStage,
} from './story.ts';
import { tellRegions } from './regions.ts';
import { certificateLog, sceneCertificateLog } from './scenes/certificate-log.ts';
import { sceneClientReport } from './scenes/client-report.ts';
import { sceneRevocationAndDistrust } from './scenes/revocation-and-distrust.ts';
import { summarize } from './summary.ts';
import { toTry } from './to-try.ts';
import { sceneCampaign } from './scenes/dashboard.ts';
import { sceneStapling } from './scenes/stapling.ts';

const usage = `usage: npm run demo [-- options]

Runs a whole MECAI network on this machine and tells its story in nine scenes. It stays up until Ctrl-C.

  --regions 3         three regions instead: NATS cluster and leaf nodes, two coordinators on one Postgres, two
                      signers, two sinks; and what happens when processes are killed, paused or cut off
    --faults <n>      only so many of these faults
    --seed <n>        which processes they happen to (default: 1)
    --small           the agents of a region in one process

  --exit              end after the story
  --json              one JSON object a step, on standard output
  --directory <dir>   keep keys, logs and stores there (default: a temporary directory, removed at the end)

Exit code 0 only if each step went as it should.`;

const { values } = parseArgs({
  options: {
    exit: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    directory: { type: 'string' },
    regions: { type: 'string' },
    faults: { type: 'string' },
    seed: { type: 'string', default: '1' },
    small: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const count = (text: string) => (/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN);
const faults = values.faults === undefined ? {} : { faults: count(values.faults) };
const seed = count(values.seed);
if ((values.regions ?? '3') !== '3' || Number.isNaN(seed) || Number.isNaN(faults.faults ?? 0)) {
  console.error(`demo: --regions takes 3, --faults and --seed a number\n\n${usage}`);
  process.exit(2);
}

const startedAt = performance.now();
const printer = values.json ? jsonPrinter() : humanPrinter(startedAt);
const directory = values.directory ?? mkdtempSync(join(tmpdir(), 'mecai-demo-'));
let network: Network | undefined;
let stage: Stage | undefined;
let post: PostOffice | undefined;
let closeRegions: (() => Promise<void>) | undefined;
const interrupted = new Promise<'interrupted'>((resolve) => {
  process.once('SIGINT', () => resolve('interrupted'));
  process.once('SIGTERM', () => resolve('interrupted'));
});

async function end(): Promise<void> {
  await closeRegions?.();
  await stage?.close();
  await network?.stop();
  await post?.close();
  if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

try {
  process.exitCode = (await Promise.race([tell(printer), interrupted])) === true ? 0 : 1;
  if (!values.exit && (network ?? closeRegions)) {
    printer.line();
    const commands = stage ? toTry(stage) : [];
    if (commands.length > 0) {
      printer.line('To try in another terminal, in this folder:');
      for (const command of commands) printer.line(`  ${command}`);
      printer.line();
    }
    printer.line('Everything stays up until Ctrl-C.');
    printer.note({ step: 'up', ok: true, commands });
    await interrupted;
  }
} catch (error) {
  console.error(`demo: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await end();
}
process.exit();

async function tell(print: Printer): Promise<boolean> {
  if (values.regions !== undefined) {
    return tellRegions(
      print,
      { directory, seed, small: values.small, ...faults },
      (close) => (closeRegions = close),
    );
  }
  print.scene(
    'A MECAI network on this machine',
    'Every part is real: NATS, an HSM (SoftHSM2), TLS, ClickHouse. Only the distances are made up.',
  );
  post = await openPostOffice(join(directory, 'post-office'));
  network = await startNetwork({
    directory,
    // So that an incident opens within the scene it belongs to.
    analytics: { detection: { everySeconds: 0.5 } },
    dashboard: true,
    // So that the story need not wait an hour for a CRL.
    coordinator: { revocation: { maxAgeMs: 300, refreshEveryMs: 100 }, certificateLog, ...post.coordinator },
    progress: (what) => print.step({ step: 'start', ok: true, what }, what),
  });
  stage = await setStage(network, print);
  const storyAt = performance.now();
  const { ok, seen } = await sceneVoucher(stage);
  const outcomes = [
    ok,
    await sceneRegionalAttack(stage),
    await sceneWideAttack(stage),
    await sceneCapturedCoordinator(stage, seen),
    await sceneRevocationAndDistrust(stage),
    await sceneCampaign(stage),
    await sceneStapling(stage),
    await sceneCertificateLog(stage, post),
    await sceneClientReport(stage),
  ];
  const good = outcomes.every(Boolean) && (await summarize(print, network, stage.expected, storyAt));
  return good;
}
