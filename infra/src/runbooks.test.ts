/** The commands of docs/operate, as they stand there, against a network of real parts. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { type PostgresServer, startPostgres } from '@mecai/database/postgres-server';
import {
  type Endpoint,
  type Network,
  eightCities,
  pem,
  serverCertificate,
  startNetwork,
  tlsServer,
  vaCertificate,
} from '@mecai/test/network';
import { createUser, fromSeed } from '@nats-io/nkeys';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { repository } from './testing/files.ts';
import { Runbooks } from './testing/runbooks.ts';

const cities = eightCities.slice(0, 7);
let directory: string;
let postgres: PostgresServer;
let network: Network;
let endpoint: Endpoint;
let database: string;
let ask: () => ReturnType<typeof requestVoucher>;
let runbooks: Runbooks;
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-runbooks-'));
  postgres = await startPostgres();
  const config = await postgres.fresh();
  if (config.engine !== 'postgres') throw new TypeError('not Postgres');
  database = config.url;
  network = await startNetwork({
    directory,
    cities,
    agentProcesses: 1,
    analytics: true,
    dashboard: true,
    coordinator: { database: config },
  });
  const { webIntermediate } = network.pki;
  const chain = [serverCertificate(webIntermediate, { dns: ['www.example.test'] }), webIntermediate] as const;
  endpoint = await tlsServer(chain, '127.0.0.80');
  ask = () =>
    requestVoucher(
      network.vrpUrl,
      {
        ipv4: Uint8Array.of(127, 0, 0, 80),
        port: endpoint.port,
        serverName: 'www.example.test',
        chains: [chain.map(({ der }) => der)],
      },
      { ca: readFileSync(network.files.httpsCa, 'utf8') },
    );
  runbooks = new Runbooks(
    network,
    { PGPASSWORD: readFileSync(config.passwordFile!, 'utf8').trim() },
    { '" 900': '" 1' },
  );
}, 120_000);
afterAll(async () => {
  await network.stop();
  await endpoint.close();
  await postgres.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const blocks = (runbook: string) => runbooks.blocks(runbook);
const run = (block: string | undefined, more?: Record<string, string>) => runbooks.run(block, more);
const configure = (name: string, changes: object) => runbooks.configure(name, changes);

it('the first time: keys, seeds and tokens', async () => {
  const [make] = blocks('first-time');
  const other = mkdtempSync(join(tmpdir(), 'mecai-first-'));
  const block = make!.replaceAll(network.files.registryKey, join(other, 'registry-key.pem'));
  const made = await run(block.replaceAll(`${directory}/`, `${other}/`));
  expect([made.code, made.err]).toEqual([0, '']);
  const of = (name: string) => readFileSync(join(other, name), 'utf8');
  const others = JSON.parse(of('nats-others.json')) as { name: string; role: string; natsKey: string }[];
  expect(others.map(({ name, role }) => `${name}:${role}`)).toEqual([
    'analytics:analytics',
    'campaigns:campaigns',
    'coordinator-1:coordinator',
    'coordinator-2:coordinator',
    'operator:operator',
  ]);
  const [seed = ''] = of('operator.seed').split('\n');
  expect(fromSeed(Buffer.from(seed)).getPublicKey()).toBe(others.at(-1)!.natsKey);
  const { api_tokens: tokens } = JSON.parse(of('tokens.auto.tfvars.json')) as {
    api_tokens: { name: string; sha256: string }[];
  };
  expect(tokens.map(({ name }) => name)).toEqual(['operator', 'campaigns']);
  const token = of('operator.token').trim();
  expect(createHash('sha256').update(token).digest('hex')).toBe(tokens[0]!.sha256);
  expect(statSync(join(other, 'registry-key.pem')).mode & 0o077).toBe(0);
  expect(createPublicKey(of('registry-key.pub')).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  rmSync(other, { recursive: true });
});

it('key ceremony: a second key, its certificate, a trial', async () => {
  const [request, install, verify] = blocks('key-ceremony');
  const second = { MECAI_HSM__KEY: 'va-2', MECAI_VA_CERTIFICATE: at('va-2-chain.pem') };
  const made = await run(request, second);
  expect([made.code, made.err]).toEqual([0, expect.stringMatching(/^$|verify OK/)]);
  expect(made.out).toContain('P-256 key va-2 generated in token mecai');
  writeFileSync(at('va-chain-2.pem'), vaCertificate(network.pki.vaRoot, at('va.csr')));
  const installed = await run(install?.replace('va-chain.pem', 'va-chain-2.pem'), second);
  expect([installed.code, installed.err]).toEqual([0, '']);
  expect(installed.out).toMatch(/^installed: SHA-256/);
  // Nothing is overwritten.
  expect((await run(request, second)).code).not.toBe(0);
  expect((await run(verify)).out).toMatch(/the chain holds; last line's SHA-256 [0-9a-f]{64}/);
});

it('an agent joins, with the place and the key that were announced', async () => {
  const [invite, approve, terraform] = blocks('agent-joins');
  const { name, city, country, latitude, longitude, rir, asn } = eightCities[7]!;
  const place = { city, country, latitude, longitude, rir, asn };
  writeFileSync(at('place.json'), JSON.stringify({ name, ...place }));
  const invited = await run(invite);
  expect([invited.code, invited.err]).toEqual([0, expect.stringContaining(`${name} is invited until`)]);
  const join_ = {
    url: new URL(network.vrpUrl).origin,
    ca: network.files.httpsCa,
    tokenFile: 'join-token',
    askEveryMs: 500,
  };
  const config = { name, admin: '127.0.0.1:0', nats: { servers: [network.nats.url], seedFile: 'new-seed' } };
  const own = { keyFile: 'new-key', location: place, join: join_ };
  writeFileSync(at('joining.json'), JSON.stringify({ ...config, ...own }));
  const program = join(repository, 'probe-agent/src/main.ts');
  const joining = execFile(process.execPath, [program, 'join', '--config', at('joining.json')]);
  let log = '';
  joining.stdout!.on('data', (text: string) => (log += text));
  const ended = new Promise((resolve) => joining.once('exit', resolve));
  await expect.poll(() => log, { timeout: 60_000 }).toContain('waits for the operator');
  writeFileSync(at('nats-others.json'), '[]');
  const key = /"key":"([0-9a-f]{64})"/.exec(log)![1]!;
  const approved = await run(approve, { AGENT: name, AGENT_KEY: key });
  expect([approved.code, approved.err]).toEqual([0, '']);
  expect(approved.out).toContain('is in force at 1 of 1 signers');
  expect(readFileSync(at('users.conf'), 'utf8')).toContain(`# ${name}\n`);
  expect(await ended).toBe(0);
  expect((await run(terraform)).err).toBe('');
  const joined = JSON.parse(readFileSync(at('joined.auto.tfvars.json'), 'utf8')) as {
    keys: Record<string, { public_key: string; nats_key: string }>;
  };
  const spki = Buffer.from(joined.keys[name]!.public_key, 'base64');
  expect(createHash('sha256').update(spki).digest('hex')).toBe(key);
  expect(joined.keys[name]!.nats_key).toMatch(/^U/);
  // The others go on with the registry that they know.
  const left = await run(
    'mecai-admin agents remove "$AGENT" --config "$CONFIG" --key "$KEY" --reason over --author Ada',
    { AGENT: name, CONFIG: network.files.admin, KEY: network.files.registryKey },
  );
  expect(left.code).toBe(0);
}, 120_000);

it('rollover: the next key and certificate, the switch, and no key destroyed too early', async () => {
  const [, , , request, install, destroy] = blocks('key-ceremony');
  const { hsm } = JSON.parse(readFileSync(at('signer.json'), 'utf8')) as { hsm: object };
  const certificate = at('va-3-chain.pem');
  configure('signer.json', { nextVa: { key: 'va-3', certificate } });
  const made = await run(request);
  expect([made.code, made.err]).toEqual([0, '']);
  expect(made.out).toContain('P-256 key va-3 generated in token mecai');
  writeFileSync(at('va-2-chain.pem'), vaCertificate(network.pki.vaRoot, at('va-2.csr')));
  const installed = await run(install);
  expect([installed.code, installed.err]).toEqual([0, '']);
  expect(installed.out).toContain('ok  next VA certificate: good until');
  expect(await network.signer.reload()).toMatchObject({ changed: ['nextVa'] });
  const switched = { hsm: { ...hsm, key: 'va-3' }, vaCertificate: certificate, nextVa: undefined };
  configure('signer.json', switched);
  expect(await network.signer.reload()).toMatchObject({ msg: 'configuration reloaded' });
  expect((await ask()).results[0]!.status).toBe('issued');
  const early = await run(destroy);
  expect([early.code, early.err]).toEqual([2, expect.stringMatching(/that key va signed may be good until/)]);
}, 120_000);

it('coordinator captured: cut off by a reload, without a restart', async () => {
  const { coordinators } = JSON.parse(readFileSync(at('signer.json'), 'utf8')) as { coordinators: string[] };
  configure('signer.json', { coordinators: ['spiffe://mecai.test/another'] });
  expect(await network.signer.reload()).toMatchObject({ changed: ['coordinators'] });
  await expect
    .poll(async () => (await ask()).results[0]!.status, { timeout: 30_000, interval: 200 })
    .not.toBe('issued');
  configure('signer.json', { coordinators });
  await network.signer.reload();
  await expect
    .poll(async () => (await ask()).results[0]!.status, { timeout: 60_000, interval: 200 })
    .toBe('issued');
}, 120_000);

it('agent captured: out of the registry, out of NATS', async () => {
  const [remove, users] = blocks('agent-captured');
  const agent = cities[2]!.name;
  const removed = await run(remove, { AGENT: agent });
  expect([removed.code, removed.err]).toEqual([0, '']);
  expect(removed.out).toContain('registry 4 is in force at 1 of 1 signers');
  writeFileSync(
    at('nats-others.json'),
    JSON.stringify([{ name: 'coordinator-1', role: 'coordinator', natsKey: createUser().getPublicKey() }]),
  );
  const written = await run(users);
  expect([written.code, written.err]).toEqual([0, '']);
  const conf = readFileSync(at('users.conf'), 'utf8');
  expect(conf).toContain('# coordinator-1\n');
  expect(conf).not.toContain(`# ${agent}\n`);
  const { status, stderr } = spawnSync('nats-server', ['-t', '-c', at('users.conf')], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, expect.stringContaining('is valid')]);
  expect((await ask()).results[0]!.status).toBe('issued');
});

it('backup and restore: what was in the database is there again, and the audit log holds', async () => {
  const [backup, backupAuditLog, drill, highest, putBack] = blocks('backup-and-restore');
  expect((await ask()).results[0]!.status).toBe('issued');
  for (const saved of [await run(backup, { DATABASE: database }), await run(backupAuditLog)])
    expect([saved.code, saved.err]).toEqual([0, '']);
  // As the operators' machine fetches it.
  cpSync(at('backups/audit-log'), at('backups/signer-1'), { recursive: true });
  const restored = await run(drill, { DRILL_SERVER: database });
  expect([restored.code, restored.err]).toEqual([0, '']);
  expect(restored.out).toMatch(/^certificate\S* [1-9]/m);
  expect(restored.out).toMatch(/the chain holds/);
  // The drill leaves nothing behind.
  const left = await run(
    `psql -tAc "select count(*) from pg_database where datname like 'mecai_drill%'" "${database}"`,
  );
  expect(left.out.trim()).toBe('0');
  // What decision records name is in the log; a log from before it is not the log.
  const older = at('older.jsonl');
  writeFileSync(older, readFileSync(at('audit.jsonl')));
  const again = await ask();
  expect(again.results[0]!.status).toBe('issued');
  const { signers } = JSON.parse(readFileSync(network.files.admin, 'utf8')) as { signers: { id: string }[] };
  const analytics = {
    ANALYTICS: network.analytics!.ready['api']!,
    TOKEN: at('operator.token'),
    SIGNER: signers[0]!.id,
  };
  const seen = async () => (await run(highest, analytics)).out.trim();
  expect((await run(putBack, { SEEN: await seen() })).code).toBe(0);
  await expect
    .poll(async () => run(putBack, { SEEN: await seen(), MECAI_AUDIT_LOG: older }), {
      timeout: 60_000,
      interval: 500,
    })
    .toMatchObject({ code: 1, err: expect.stringMatching(/it was cut, or put back/) });
  const another = await run(highest, { ...analytics, SIGNER: 'spiffe://mecai.test/another' });
  expect(another.out.trim()).toBe('0');
  // A backup that was changed is noticed before it is restored.
  const [newest = ''] = readdirSync(at('backups/signer-1'));
  writeFileSync(join(at('backups/signer-1'), newest, 'audit.jsonl'), '{}\n');
  expect((await run(drill, { DRILL_SERVER: database })).code).not.toBe(0);
}, 120_000);

it('clock off: each agent’s clock beside that of analytics', async () => {
  const [clocks] = blocks('clock-off');
  const analytics = { ANALYTICS: network.analytics!.ready['api']! };
  await expect
    .poll(() => run(clocks, analytics), { timeout: 60_000, interval: 500 })
    .toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^frankfurt\t\S+\t-?\d+$/m) });
});

it('CA compromised: distrusted, hinted, looked for, followed to zero', async () => {
  const [distrust, hint, order, follow] = blocks('ca-compromised');
  const issuer = { ISSUER: at('issuer.pem'), ISSUER_NAME: 'CN=Example Web Issuing CA' };
  writeFileSync(issuer.ISSUER, pem(network.pki.webIntermediate));
  const done = await run(distrust, issuer);
  expect([done.code, done.err]).toEqual([0, '']);
  expect((await ask()).results[0]).toMatchObject({ status: 'refused', reason: 'distrusted' });
  // The signer tells the coordinator within seconds.
  await expect
    .poll(async () => (await run(hint)).out, { timeout: 60_000, interval: 500 })
    .toContain('"producedBefore"');

  // What the agents saw is on its way to analytics.
  let id = '';
  const shown = async () =>
    (await run(`mecai-admin campaign show "$ID" --config "$ADMIN"`, { ID: id, ADMIN: network.files.admin }))
      .out;
  const ordered = async () => {
    const { out } = await run(order, issuer);
    [id = ''] = out.split(' ');
    return out;
  };
  await expect
    .poll(ordered, { timeout: 60_000, interval: 500 })
    .toMatch(/key on sale\n +1 endpoints by vouchers/);
  await expect.poll(shown, { timeout: 60_000, interval: 500 }).toMatch(/^ +1 served$/m);

  // Its owner takes it down.
  await endpoint.close();
  const { code, out, err } = await run(follow, issuer);
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/Z {2}1 unreachable\n$/);

  // What cannot be asked is not zero.
  writeFileSync(
    at('nowhere.json'),
    JSON.stringify({ analytics: { url: 'http://127.0.0.1:1', tokenFile: at('pin') } }),
  );
  const blind = await run(follow?.replace(network.files.admin, at('nowhere.json')), issuer);
  expect([blind.code, blind.out]).toEqual([1, '']);

  // Nor is what nobody looks at waited for for ever.
  await network.campaigns!.stop();
  const stuck = await run(follow?.replace('" 1', '" 1 3'), issuer);
  expect([stuck.code, stuck.out]).toEqual([1, '']);
  expect(stuck.err).toMatch(
    /^campaign \w+: 1 wait, and none was looked at for 3 s; does mecai-campaigns run\?/,
  );
}, 90_000);
