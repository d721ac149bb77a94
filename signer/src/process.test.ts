import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { verifyAuditLog } from './audit-chain.ts';
import { nameOf } from './testing/client.ts';
import { processBed } from './testing/process-bed.ts';
import type { RunningSigner } from './testing/signer-files.ts';

const bed = processBed();
const { serve, ask } = bed;
const readiness = async ({ admin }: RunningSigner) => (await fetch(`${admin}/readyz`)).status;

it('has open for writing nothing but the audit log and its lock, and no connection that it began', async () => {
  const signer = await serve();
  const client = ask(signer);
  expect(await client.voucher()).toBe('issued');
  const proc = `/proc/${signer.child.pid}`;
  const regular: string[] = [];
  const sockets: string[] = [];
  for (const fd of readdirSync(`${proc}/fd`)) {
    const target = readlinkSync(`${proc}/fd/${fd}`);
    const flags = Number.parseInt(
      /flags:\s+(\d+)/.exec(readFileSync(`${proc}/fdinfo/${fd}`, 'utf8'))![1]!,
      8,
    );
    const writable = (flags & 3) !== 0;
    if (target.startsWith('/') && !target.startsWith('/dev/') && writable) regular.push(target);
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) sockets.push(inode);
  }
  expect(regular.toSorted()).toEqual([bed.files.at('audit.jsonl'), bed.files.at('audit.jsonl.lock')]);

  const tcp = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`${proc}/net/${name}`, 'utf8').split('\n').slice(1),
  );
  const own = tcp
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => sockets.includes(fields[9] ?? ''))
    .map(([, local, , state]) => ({
      port: Number.parseInt(local!.split(':')[1]!, 16),
      listening: state === '0A',
    }));
  const portOf = (address: string) => Number(address.split(':').at(-1));
  const listening = own.filter((one) => one.listening).map(({ port }) => port);
  expect(new Set(listening)).toEqual(new Set([portOf(signer.grpc), portOf(signer.admin)]));
  expect(own.length).toBeGreaterThan(listening.length);
  expect(own.filter(({ port }) => !listening.includes(port))).toEqual([]);
  const udp = ['udp', 'udp6'].flatMap((name) =>
    readFileSync(`${proc}/net/${name}`, 'utf8').split('\n').slice(1),
  );
  expect(udp.filter((line) => sockets.includes(line.trim().split(/\s+/)[9] ?? ''))).toEqual([]);
});

it('stops with exit code 0 while a coordinator is connected', async () => {
  const signer = await serve();
  expect(await ask(signer).voucher()).toBe('issued');
  expect(await signer.stop()).toBe(0);
});

it('killed, has lost no voucher that it gave out', async () => {
  const signer = await serve();
  const client = ask(signer);
  const sequences: number[] = [];
  for (let i = 0; i < 5; i++) {
    const drawn = await client.draw({ port: 1000 + i });
    if (typeof drawn === 'string') throw new Error(drawn);
    const step = await client.prove(drawn, 4);
    if (step.$case !== 'issued') throw new Error(nameOf(step));
    sequences.push(step.issued.auditSequence);
  }
  signer.child.kill('SIGKILL');
  await once(signer.child, 'exit');
  const { sequence } = await verifyAuditLog(bed.files.at('audit.jsonl'));
  expect(sequence).toBe(sequences.at(-1));
  expect(await ask(await serve()).voucher()).toBe('issued');
  expect((await verifyAuditLog(bed.files.at('audit.jsonl'))).sequence).toBe(sequence + 1);
});

it('refuses while the audit log cannot be written, says so, and goes on when it can', async () => {
  const auditLog = bed.files.at('small.jsonl');
  const signer = await serve({
    config: bed.files.configure({ auditLog }),
    before: ['prlimit', '--fsize=10000:unlimited'],
  });
  const client = ask(signer);
  expect(await readiness(signer)).toBe(200);
  // At the start: the registry, the perspective directory, and which key signs.
  const published = 3;
  let issued = 0;
  while ((await client.voucher()) === 'issued') issued++;
  expect(issued).toBeGreaterThan(1);
  expect(await client.voucher()).toBe('internal');
  expect(await readiness(signer)).toBe(503);
  expect(await verifyAuditLog(auditLog)).toMatchObject({ sequence: published + issued, torn: 0 });
  execFileSync('prlimit', ['--pid', `${signer.child.pid}`, '--fsize=unlimited']);
  expect(await client.voucher()).toBe('issued');
  expect(await readiness(signer)).toBe(200);
  expect(await verifyAuditLog(auditLog)).toMatchObject({ sequence: published + issued + 1, torn: 0 });
});

it('refuses on a full disk, loses nothing of what it acknowledged, and goes on when there is room', async () => {
  const disk = bed.files.at('disk');
  mkdirSync(disk);
  // A disk of its own, in a mount namespace of its own.
  const mount = 'mount -t tmpfs -o size=128k tmpfs "$0" && exec "$@"';
  const signer = await serve({
    config: bed.files.configure({ auditLog: join(disk, 'audit.jsonl') }),
    before: ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, disk],
  });
  const seen = `/proc/${signer.child.pid}/root${disk}`;
  const client = ask(signer);
  expect(await client.voucher()).toBe('issued');
  expect(() => writeFileSync(join(seen, 'filler'), Buffer.alloc(128 * 1_024))).toThrow(/ENOSPC/);
  let issued = 1;
  while ((await client.voucher()) === 'issued') issued++;
  expect(await readiness(signer)).toBe(503);
  expect(await client.voucher()).toBe('internal');
  expect(await verifyAuditLog(join(seen, 'audit.jsonl'))).toMatchObject({ sequence: issued + 3, torn: 0 });
  rmSync(join(seen, 'filler'));
  expect(await client.voucher()).toBe('issued');
  expect(await readiness(signer)).toBe(200);
  expect(await verifyAuditLog(join(seen, 'audit.jsonl'))).toMatchObject({ sequence: issued + 4, torn: 0 });
});

it('is not ready while perspectives say that its clock is wrong, and is again by itself', async () => {
  const signer = await serve();
  const client = ask(signer);
  expect(await client.voucher()).toBe('issued');
  const hour = 3_600_000;
  expect(await client.voucher(4, { observedAt: Date.now() + hour })).toBe('clock');
  const answer = await fetch(`${signer.admin}/readyz`);
  expect(await answer.json()).toMatchObject({
    missing: [expect.stringMatching(/^the clock is 3[56]\d\d s behind the perspectives$/)],
  });
  const metrics = await (await fetch(`${signer.admin}/metrics`)).text();
  expect(metrics).toMatch(/^mecai_clock_offset_seconds -3[56]\d\d\./m);
  expect(metrics).toMatch(/mecai_signer_request_duration_seconds_count\{.*outcome="clock".*\} 1/);
  expect(await client.voucher()).toBe('issued');
  expect(await readiness(signer)).toBe(200);
});

it('does not start on an audit log that was tampered with', async () => {
  const auditLog = bed.files.write('tampered.jsonl', '{"sequence":2}\n');
  await expect(bed.files.serve({ config: bed.files.configure({ auditLog }) })).rejects.toThrow(
    /ended with 1[^]*line 1: sequence 2/,
  );
});

it('does not start misconfigured', async () => {
  await expect(bed.files.serve({ config: bed.files.configure({ listen: 1 }) })).rejects.toThrow(
    /ended with 2[^]*listen/,
  );
});

it('that the token refuses ends as misconfigured, so that nobody starts it until the PIN is locked', async () => {
  const pinFile = bed.files.write('wrong.pin', '0000');
  const hsm = { module: bed.files.soft.module, token: 'test', key: 'va', pinFile };
  const started = serve({ config: bed.files.configure({ hsm }) });
  await expect(started).rejects.toThrow(/^ended with 2:[^]*hsm\.pinFile: the PIN is wrong; not tried again/);
});
