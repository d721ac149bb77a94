/**
 * CPU of one draw and one voucher without gRPC: SoftHSM, a real audit log, a chain of 3 KB, evidence of four agents.
 * `node signer/src/testing/issue-cost.ts [vouchers] [evidence]` prints figures one a line, microseconds.
 */
import { createPublicKey, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseRegistry } from '@mecai/corroboration';
import { SignedObservation } from '@mecai/proto';
import { oids, voucherLinter, voucherSigner } from '@mecai/voucher';
import { keyUsages, testCertificate, testExtension } from '@mecai/voucher/testing';
import { AuditLog } from '../audit-log.ts';
import { Hsm } from '../hsm.ts';
import { testCa } from './certificates.ts';
import { createSoftHsm } from './soft-hsm.ts';
import {
  agentKey,
  agentNames,
  coordinator,
  createWorld,
  leaf,
  observe,
  registryText,
  subjectOf,
  webIntermediate,
} from './world.ts';

const [vouchers = 5000, matching = 4] = process.argv.slice(2).map(Number);
const soft = createSoftHsm();
Object.assign(process.env, soft.environment);
const directory = mkdtempSync(join(tmpdir(), 'issue-cost-'));
const hsm = new Hsm({ module: soft.module, tokenLabel: 'test', keyLabel: 'va', pin: soft.pin });
hsm.generateKey();
const publicKey = createPublicKey({ key: Buffer.from(hsm.publicKey()), format: 'der', type: 'spki' });
const vaRoot = testCa('VA Root');
const { der: certificate } = testCertificate({
  subject: 'VA',
  issuer: vaRoot,
  key: { publicKey, privateKey: vaRoot.privateKey },
  keyUsage: keyUsages.digitalSignature,
  extendedKeyUsage: [oids.voucherSigning],
});
// A stray certificate brings the chain to the size that real ones have.
const stray = testCertificate({
  subject: 'Stray',
  extensions: [testExtension('2.25.1', false, new Uint8Array(1500))],
});
const chain = [leaf.der, webIntermediate.der, stray.der];
console.log(`chain of ${chain.reduce((sum, { length }) => sum + length, 0)} octets, evidence of ${matching}`);
const { log } = await AuditLog.open({
  path: join(directory, 'audit.jsonl'),
  now: () => new Date(),
  onTrouble: (error) => console.error(error),
});
const world = createWorld({
  limits: { perEndpoint: 1_000_000, open: 1_000_000 },
  voucherSigner: voucherSigner({ certificate, intermediates: [] }),
  lint: voucherLinter({ vaCertificate: certificate, intermediates: [] }),
  sign: (bytes) => hsm.sign(bytes),
  audit: (record) => log.append(record),
});
world.registry = parseRegistry(registryText(agentNames.slice(0, 6)));
const subject = subjectOf({ chain });

/** What the agents would do is made beforehand, outside of what is measured. */
async function round(count: number) {
  const begun = process.cpuUsage();
  const from = performance.now();
  const draws = Array.from({ length: count }, () => world.issuance.draw(subject, coordinator));
  const drawing = process.cpuUsage(begun);
  const drawingMs = performance.now() - from;
  const evidence = draws.map((draw) =>
    draw.agents.slice(0, matching).map((agent) =>
      // As it arrives: read from a message.
      SignedObservation.decode(SignedObservation.encode(observe(agent, draw, { chain })).finish()),
    ),
  );
  const issuing = process.cpuUsage();
  const middleMs = performance.now();
  const outstanding = 64;
  const judging: number[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: outstanding }, async () => {
      while (next < count) {
        const i = next++;
        const begin = performance.now();
        const issued = world.issuance.issue(draws[i]!.nonce, evidence[i]!, coordinator);
        judging.push((performance.now() - begin) * 1000);
        await issued;
      }
    }),
  );
  const { user, system } = process.cpuUsage(issuing);
  return {
    draw: (drawing.user + drawing.system) / count,
    drawWall: (drawingMs * 1000) / count,
    issue: (user + system) / count,
    judging: judging.toSorted((a, b) => a - b),
    issueWall: ((performance.now() - middleMs) * 1000) / count,
  };
}

/** What the cryptography alone costs here and now: the machine may be busy with other things. */
function floor(count: number): number {
  const [agent = ''] = agentNames;
  const data = new Uint8Array(2_800);
  const signature = sign('sha256', data, agentKey(agent));
  const key = world.registry.agents.get(agent)!.publicKey;
  const begun = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    // Each observation, and the voucher by the linter.
    for (let j = 0; j <= matching; j++) verify('sha256', data, key, signature);
    hsm.sign(data);
  }
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / count;
}

await round(1000);
floor(200);
const least = floor(1000);
const { draw, drawWall, issue, issueWall, judging } = await round(vouchers);
const figure = (name: string, value: number) => console.log(`${name}: ${value.toFixed(0)} µs`);
figure('draw, CPU', draw);
figure('issue, CPU', issue);
figure('draw and issue, CPU', draw + issue);
figure('of this signatures made and verified', least);
// Until the audit log; less disturbed by whatever else runs here.
figure('issue up to the audit log, fastest tenth', judging[Math.floor(judging.length / 10)] ?? 0);
figure('issue up to the audit log, median', judging[Math.floor(judging.length / 2)] ?? 0);
figure('draw, elapsed', drawWall);
figure('issue with 64 outstanding, elapsed', issueWall);
await log.close();
hsm.close();
soft.remove();
rmSync(directory, { recursive: true });
