/** An agent joins a running network: invited, enrolled, approved, heard; and out again. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runAdmin } from '@mecai/admin';
import { enrol, newToken, readToken, signInvitation } from '@mecai/corroboration';
import { AgentServiceClient } from '@mecai/proto/coordinator';
import { Svid, createLogger } from '@mecai/runtime';
import { createUser, fromSeed } from '@nats-io/nkeys';
import {
  type ManagedProcess,
  eightCities,
  serverCertificate,
  startProcess,
  testNetworks,
} from '../network/index.ts';
import { freePort } from '@mecai/addresses/testing';
import { Asker, serverName, until } from '../trust/asker.ts';
import { operator } from './operator.ts';

const script = (path: string) => join(import.meta.dirname, '../../..', path);
const patience = { timeout: 60_000 };
const { name, city, country, latitude, longitude, rir, asn, address } = eightCities[6]!;
const place = { city, country, latitude, longitude, rir, asn };

let asker: Asker;
let ask: Awaited<ReturnType<Asker['about']>>;
let agent: ManagedProcess | undefined;
const inDirectory = (...parts: string[]) => join(asker.network.directory, ...parts);
const admin = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(
    process.execPath,
    [script('admin/src/main.ts'), 'agents', ...args, '--config', asker.network.files.admin],
    { encoding: 'utf8' },
  );
const done = ({ status, stdout, stderr }: SpawnSyncReturns<string>) => {
  expect(status, stderr).toBe(0);
  return stdout;
};
const signed = (...args: string[]) =>
  admin(...args, '--key', asker.network.files.registryKey, '--reason', 'test', '--author', 'Kim');
const placeFile = (of: object = { name, ...place }) => {
  writeFileSync(inDirectory('place.json'), JSON.stringify(of));
  return inDirectory('place.json');
};
const whoJoins = () => {
  const { joining } = JSON.parse(done(admin('list', '--json'))) as {
    joining: { name: string; state: string; key?: string }[];
  };
  return joining;
};
const inQuorum = async () => (await ask()).perspectives.some((one) => one.asn === asn);

/** The machine of an agent, with this token on it. */
function machine(folder: string, token: string): string {
  mkdirSync(inDirectory(folder));
  writeFileSync(inDirectory(folder, 'join-token'), token);
  const config = inDirectory(folder, 'agent.json');
  writeFileSync(
    config,
    JSON.stringify({
      name,
      admin: '127.0.0.1:0',
      nats: { servers: [asker.network.nats.url], seedFile: 'nats-seed' },
      keyFile: 'observation-key',
      location: place,
      probe: { bindIpv4: address },
      allowedTargets: testNetworks,
      join: {
        url: new URL(asker.network.vrpUrl).origin,
        ca: asker.network.files.httpsCa,
        tokenFile: 'join-token',
        askEveryMs: 1_000,
      },
    }),
  );
  return config;
}

function startJoin(config: string) {
  const child = spawn(process.execPath, [script('probe-agent/src/main.ts'), 'join', '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let log = '';
  child.stdout.on('data', (text: Buffer) => (log += text.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, ended, log: () => log };
}

/** Users of nats-server by the registry in force, as the runbook has it. */
function reloadNats(): void {
  const others = (['coordinator-1', 'analytics-1', 'campaigns', 'operator'] as const).map((user) => ({
    name: user,
    role: user.replace(/-1$/, ''),
    natsKey: fromSeed(readFileSync(inDirectory(`${user}.nk`))).getPublicKey(),
  }));
  writeFileSync(inDirectory('others.json'), JSON.stringify(others));
  done(
    admin('nats-users', '--others', inDirectory('others.json'), '--out', inDirectory('nats', 'users.conf')),
  );
  const file = inDirectory('nats', 'nats-server.conf');
  const text = readFileSync(file, 'utf8');
  if (!text.includes('include')) {
    const { authorization: _, ...rest } = JSON.parse(text) as Record<string, unknown>;
    writeFileSync(file, `${JSON.stringify(rest).slice(1, -1)}\ninclude users.conf\n`);
  }
  process.kill(asker.network.nats.pid, 'SIGHUP');
}

beforeAll(async () => {
  // Six of seven are drawn for each voucher, or six of six.
  asker = await Asker.start({ signer: { listen: `127.0.0.1:${await freePort()}` } });
  const { webIntermediate } = asker.network.pki;
  ask = await asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
  expect((await ask()).status).toBe('issued');
}, 120_000);
afterAll(async () => {
  await agent?.stop();
  await asker.close();
});

test('invited, enrolled, approved, in the quorum; removed, out of every quorum in less than five seconds', async () => {
  const token = done(admin('invite', placeFile(), '--key', asker.network.files.registryKey)).trim();
  expect(token).toMatch(/^mecai-join-[\w-]{43}$/);
  expect(whoJoins()).toMatchObject([{ name, state: 'invited' }]);
  expect(signed('approve', name).stderr).toContain(`${name} is invited and has not enrolled yet`);

  // Killed on the way: the next one is the same agent.
  const config = machine('agent', token);
  const first = startJoin(config);
  await expect.poll(first.log, patience).toContain('waits for the operator');
  first.child.kill('SIGKILL');
  await first.ended;
  const second = startJoin(config);
  await expect.poll(second.log, patience).toContain('waits for the operator');
  const key = /"key":"([0-9a-f]{64})"/.exec(second.log())![1]!;
  expect(first.log()).toContain(key);
  expect(whoJoins()).toMatchObject([{ name, state: 'pending', key }]);
  expect(done(admin('list'))).toContain(`key ${key.slice(0, 16)}, waits for approval since`);

  // Somebody with a copy of the token comes too late.
  const thief = startJoin(machine('thief', token));
  expect(await thief.ended).toBe(1);
  expect(thief.log()).toContain('Token used');

  expect(signed('approve', name, '--agent-key', '00').stderr).toContain(
    `the key of ${name} is ${key}, not 00`,
  );
  expect(await inQuorum()).toBe(false);
  const since = performance.now();
  expect(done(signed('approve', name, '--agent-key', key.slice(0, 16)))).toContain(
    'registry 2 is in force at 1 of 1',
  );
  reloadNats();
  expect(await second.ended).toBe(0);
  expect(existsSync(inDirectory('agent', 'join-token'))).toBe(false);
  expect(whoJoins()).toEqual([]);

  const args = ['--config', config];
  agent = await startProcess({
    name,
    script: script('probe-agent/src/main.ts'),
    args,
    logFile: inDirectory('logs', `${name}.log`),
  });
  await expect.poll(inQuorum, patience).toBe(true);
  const joined = Math.round(performance.now() - since);

  const milliseconds = await removed();
  console.log(
    `approved to in a quorum: ${joined} ms; removed to out of every quorum: ${Math.round(milliseconds)} ms`,
  );
  expect(milliseconds).toBeLessThan(5_000);
  for (let i = 0; i < 5; i++) expect(await inQuorum()).toBe(false);
  reloadNats();
  await expect.poll(() => agent!.log(), patience).toMatch(/NATS lost|Authorization|closed the connection/i);
}, 480_000);

/** How long it took, from the operator's command on. */
async function removed(): Promise<number> {
  const remove = ['agents', 'remove', name, '--config', asker.network.files.admin];
  const signature = ['--key', asker.network.files.registryKey, '--reason', 'test', '--author', 'Kim'];
  const { code, err, since } = await operator(...remove, ...signature);
  const updated = performance.now() - since;
  expect(code, err).toBe(0);
  const isOut = (result: Awaited<ReturnType<typeof ask>>) =>
    result.perspectives.every((one) => one.asn !== asn);
  return updated + (await until(ask, isOut, 5_000, 10)).milliseconds;
}

test('an invitation that is not the operator’s: a captured coordinator brings in nobody', async () => {
  const strange = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const token = newToken(randomBytes(32));
  const { publicKey: tokenKey } = readToken(token);
  const own = { name: 'atlantis', ...place };
  const invitation = signInvitation({ tokenKey, expires: Date.now() + 3_600_000, agent: own }, strange);
  const { certificate, key, ca } = operatorSvid();
  const client = new AgentServiceClient(
    asker.network.coordinator.ready['operators']!,
    Svid.of({ certificate, key, ca }, createLogger('test', 'silent')).clientCredentials(
      'spiffe://mecai.test/coordinator',
    ),
    { 'grpc.ssl_target_name_override': 'coordinator' },
  );
  await new Promise<void>((resolve, reject) => {
    client.inviteAgent(invitation, (error) => (error ? reject(error) : resolve()));
  });
  client.close();
  const keys = {
    observation: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    natsSeed: createUser().getSeed(),
  };
  writeFileSync(inDirectory('enrolment.json'), enrol(token, own, keys));
  const posted = spawnSync('curl', [
    '-sS',
    '--cacert',
    asker.network.files.httpsCa,
    '-H',
    'content-type: application/json',
    '--data-binary',
    `@${inDirectory('enrolment.json')}`,
    new URL('/enrolments', asker.network.vrpUrl).href,
  ]);
  expect(posted.stdout.toString()).toContain('pending');
  expect(whoJoins()).toMatchObject([{ name: 'atlantis', state: 'pending' }]);
  const { status, stderr } = signed('approve', 'atlantis');
  expect(stderr).toContain('was not invited with this key');
  expect(status).toBe(2);
  expect(done(admin('withdraw', 'atlantis'))).toContain('not invited any more');
  expect(whoJoins()).toEqual([]);
});
const operatorSvid = () => ({
  certificate: inDirectory('operator.pem'),
  key: inDirectory('operator.key'),
  ca: inDirectory('internal-ca.pem'),
});

test.each([
  ['a place without a region', () => invite({ name: 'x', ...place, rir: 'moon' }), 'agent.rir: one of'],
  ['for ever', () => invite({ name: 'x', ...place }, '--valid', '0'), '--valid: 1 to 9999 hours'],
  [
    'an agent of the registry',
    () => invite({ ...eightCities[0], address: undefined }),
    '--new-keys invites it',
  ],
  ['nobody to approve', () => signed('approve', 'nobody'), 'nobody has no invitation'],
])('refused: %s', (_, command, message) => {
  const { status, stderr } = command();
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});
const invite = (of: object, ...more: string[]) =>
  admin('invite', placeFile(of), '--key', asker.network.files.registryKey, ...more);

test('an invitation ends at the hour that was said', async () => {
  const said: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const error = vi.spyOn(console, 'error').mockImplementation((text: string) => said.push(text));
  const key = ['--key', asker.network.files.registryKey];
  const args = [
    'agents',
    'invite',
    placeFile(),
    '--valid',
    '3',
    ...key,
    '--config',
    asker.network.files.admin,
  ];
  const inviteAt = (time: number) => runAdmin(args, {}, () => time);
  const now = Date.now();
  try {
    expect(await inviteAt(now)).toBe(0);
    expect(said).toEqual([
      expect.stringContaining(`${name} is invited until ${new Date(now + 3 * 3_600_000).toISOString()}`),
    ]);
    expect(await inviteAt(now - 4 * 3_600_000)).toBe(2);
  } finally {
    log.mockRestore();
    error.mockRestore();
  }
  expect(admin('withdraw', name).status).toBe(0);
}, 60_000);

test('a member of the registry may join again with other keys, if the operator says so', () => {
  const { address: _, ...frankfurt } = eightCities[0]!;
  expect(invite(frankfurt, '--new-keys').stdout).toMatch(/^mecai-join-/);
  expect(admin('withdraw', frankfurt.name).status).toBe(0);
});
