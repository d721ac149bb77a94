import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@mecai/runtime';
import { testDatabases } from '@mecai/database/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { coordinatorConfig } from '../config.ts';
import { dnsClient } from '../dns/dns-client.ts';
import type { Route } from '../http-routes.ts';
import { approvalMigrations } from '../approval/schema.ts';
import { type TestDns, startDns } from '../../../test/src/parts/dns-server.ts';
import { identityPem } from '../testing/identity.ts';
import { keptLog } from '../testing/log.ts';
import { emptyTables } from '../testing/tables.ts';
import { telemetry } from '../testing/telemetry.ts';
import { noticeMigrations } from './schema.ts';
import { type RunningNotices, startNotices } from './start.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-notice-start-'));
const file = (name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return name;
};
const pem = identityPem('notices@va.test');
const tables = emptyTables(testDatabases('sqlite'), 'all', [...noticeMigrations, ...approvalMigrations], []);
let dns: TestDns;
let running: RunningNotices | undefined;

beforeAll(async () => void (dns = await startDns(() => 'nxdomain')));
afterAll(async () => {
  await dns?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});
afterEach(async () => {
  await running?.stop(0);
  running = undefined;
});

const notice = {
  identity: { certificate: file('mail.pem', pem.certificate), key: file('mail.key', pem.key) },
  from: 'notices@va.test',
  bounces: 'bounces@va.test',
  secretFile: file('secret', 'x'.repeat(32)),
  smtp: { server: '127.0.0.1:9', tls: 'none' },
  sources: ['caa'],
  pollMs: 3_600_000,
};
const mtls = { certificate: 'c', key: 'k', ca: 'a' };
/** The coordinator's configuration, as it is read from a file. */
function load(changes: Record<string, unknown>) {
  const name = join(
    directory,
    file(
      'coordinator.json',
      JSON.stringify({
        name: 'c1',
        listen: '127.0.0.1:0',
        tls: { certificate: 'c', key: 'k' },
        admin: '127.0.0.1:0',
        nats: { servers: ['nats://127.0.0.1:9'], seedFile: 's' },
        signers: [{ address: '127.0.0.1:9', id: 'spiffe://mecai.test/signer', tls: mtls }],
        registry: 'r',
        publicUrl: 'https://va.test/',
        ...changes,
      }),
    ),
  );
  return loadConfig(coordinatorConfig, name, {});
}
function start(changes: Record<string, unknown> = {}): RunningNotices {
  const config = load({ notice, ...changes });
  running = startNotices({
    config: config.notice!,
    approval: config.approval,
    publicUrl: config.publicUrl!,
    allowedTargets: [],
    dns: dnsClient(config.dns),
    telemetry,
    log: keptLog().log,
    now: Date.now,
    random: Math.random,
  });
  running.opened(tables.database);
  return running;
}
const paths = (routes: readonly Route[]) => routes.map(({ method, path }) => `${method} ${path}`);

describe('configuration of the coordinator', () => {
  it('notice: nobody is told without it; approval: nothing is approved without it, and openTo says who may ask', () => {
    expect(load({}).notice).toBeUndefined();
    expect(paths(start().routes).some((path) => path.includes('/approval'))).toBe(false);
    expect(running!.approvals()).toBeUndefined();
    expect(paths(start({ approval: {} }).routes)).not.toContain('POST /approval/requests');
    expect(running!.approvals()).toBeDefined();
    expect(paths(start({ approval: { openTo: 'everyone' } }).routes)).toContain('POST /approval/requests');
  });

  it('dns.resolvers, dns.timeoutMs: who is asked for proofs, and how long', async () => {
    const confirm = start({ dns: { resolvers: [dns.address], timeoutMs: 100 } }).routes.find(
      ({ path }) => path === '/subscriptions/confirm',
    )!;
    const asked = {
      domain: 'example.org',
      recipient: 'mailto:a@example.org',
      expires: new Date(Date.now() + 1_000).toISOString(),
    };
    const exchange = {
      requester: { address: new Uint8Array(4) },
      parameters: {},
      query: new URLSearchParams(),
      body: Buffer.from(JSON.stringify(asked)),
    };
    expect(await confirm.handle(exchange)).toMatchObject({ status: 403 });
    expect(dns.asked).toContain('TXT _mecai-notice.example.org');
    dns.zone = () => 'silence';
    const before = performance.now();
    await expect(Promise.resolve(confirm.handle(exchange))).rejects.toMatchObject({ code: 'dns-failed' });
    expect(performance.now() - before).toBeLessThan(2_500);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['notices without a public URL', { notice, publicUrl: undefined }, 'publicUrl'],
    ['approvals without notices', { approval: {} }, 'approval'],
    ['a public URL without TLS', { publicUrl: 'http://va.test' }, 'publicUrl'],
    ['a resolver by name', { dns: { resolvers: ['dns.example'] } }, 'dns.resolvers.0'],
    [
      'a telephony provider that is none',
      { notice, approval: { telephony: { url: 'tel:1' } } },
      'approval.telephony.url',
    ],
  ])('%s is named', (_, changes, member) => {
    expect(() => load(changes)).toThrow(member);
  });

  it('dns.resolvers takes addresses with and without a port', () => {
    const resolvers = ['192.0.2.1', '192.0.2.1:53', '2001:db8::1', '[2001:db8::1]:53'];
    expect(load({ dns: { resolvers } }).dns.resolvers).toEqual(resolvers);
    expect(() => dnsClient({ resolvers, timeoutMs: 1 })).not.toThrow();
  });
});
