import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyRegistrySignature } from '@mecai/corroboration';
import { subjects } from '@mecai/proto';
import { createUser } from '@nats-io/nkeys';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { eightCities, serverCertificate } from '../network/index.ts';
import { freePort } from '@mecai/addresses/testing';
import { Asker, serverName, until } from '../trust/asker.ts';
import { operator } from './operator.ts';

const patience = { timeout: 180_000 };
const script = join(import.meta.dirname, '../../../admin/src/main.ts');

describe('the registry of a running network', () => {
  let asker: Asker;
  let ask: Awaited<ReturnType<Asker['about']>>;
  const inDirectory = (name: string) => join(asker.network.directory, name);
  const admin = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, [script, 'agents', ...args, '--config', asker.network.files.admin], {
      encoding: 'utf8',
    });
  const why = ['--reason', 'test', '--author', 'Kim'];
  const signed = (...args: string[]) => admin(...args, '--key', asker.network.files.registryKey, ...why);
  const known = async () => {
    const status = await fetch(`${asker.network.coordinator.ready['admin']}/status`);
    const { perspectives } = (await status.json()) as { perspectives: { name: string }[] };
    return perspectives.map(({ name }) => name);
  };

  beforeAll(async () => {
    // Without one of them there are still as many as the policy asks for.
    asker = await Asker.start({
      cities: sevenCities,
      analytics: true,
      signer: { listen: `127.0.0.1:${await freePort()}` },
    });
    const { webIntermediate } = asker.network.pki;
    ask = await asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
    expect((await ask()).status).toBe('issued');
  });
  afterAll(() => asker.close());

  const gone = () => sevenCities[2]!;
  const places = (result: Awaited<ReturnType<typeof ask>>) => result.perspectives.map(({ asn }) => asn);

  test('an agent that is removed is out of every quorum in less than five seconds', async () => {
    const remove = ['agents', 'remove', gone().name, '--config', asker.network.files.admin];
    const { code, out, err, since } = await operator(
      ...remove,
      '--key',
      asker.network.files.registryKey,
      ...why,
    );
    const updated = performance.now() - since;
    expect(code, err).toBe(0);
    expect(out).toContain('registry 2 is in force at 1 of 1 signers');
    // One answer without it may be chance: not all are drawn.
    const isOut = (result: Awaited<ReturnType<typeof ask>>) => !places(result).includes(gone().asn);
    const { milliseconds } = await until(ask, isOut, 5_000, 10);
    console.log(
      `removed: at the signers after ${Math.round(updated)} ms, out ${Math.round(milliseconds)} ms later`,
    );
    expect(updated + milliseconds).toBeLessThan(5_000);
    for (let i = 0; i < 10; i++) {
      const result = await ask();
      expect(result.status).toBe('issued');
      expect(places(result)).not.toContain(gone().asn);
    }
    await expect.poll(known).not.toContain(gone().name);
  });

  test('sinks hear of it, and once more after a restart, though their file is the old one', async () => {
    const { analytics, token } = asker.network;
    const bySink = async () => {
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${analytics!.ready['api']}/api/v1/perspectives`, { headers });
      const { items } = (await response.json()) as { items: { agent: string }[] };
      return items.map(({ agent }) => agent).toSorted();
    };
    const theOthers = sevenCities.map(({ name }) => name).filter((name) => name !== gone().name);
    await expect.poll(bySink, patience).toEqual(theOthers.toSorted());
    await analytics!.restart();
    await expect.poll(bySink, patience).toEqual(theOthers.toSorted());
    expect(readFileSync(inDirectory('registry.json'), 'utf8')).toContain(gone().name);
  }, 400_000);

  test('and comes back without a restart', async () => {
    const { agents } = JSON.parse(readFileSync(inDirectory('registry.json'), 'utf8')) as {
      agents: { name: string }[];
    };
    const entry = inDirectory('entry.json');
    writeFileSync(entry, JSON.stringify(agents.find(({ name }) => name === gone().name)));
    const copy = inDirectory('copy.json');
    expect(signed('add', entry, '--copy', copy).stdout).toContain('registry 3 is in force');
    // As analytics reads it.
    const signature = Buffer.from(readFileSync(`${copy}.sig`, 'utf8'), 'base64');
    const key = createPublicKey(readFileSync(asker.network.files.registryKey));
    expect(verifyRegistrySignature(readFileSync(copy), signature, [key])).toBe(true);
    expect(JSON.parse(readFileSync(copy, 'utf8'))).toMatchObject({ version: 3 });
    await expect.poll(known).toContain(gone().name);
    await until(ask, (result) => places(result).includes(gone().asn), 20_000);
  });

  test.each([
    [
      'a key that is none of the registry keys',
      () => ['remove', gone().name, '--key', strangeKey(), ...why],
      'not signed by one of',
    ],
    [
      'a registry rolled back',
      () => ['replace', inDirectory('registry.json'), '--key', asker.network.files.registryKey, ...why],
      'version 1 is not above 3',
    ],
    [
      'an agent that is not there',
      () => ['remove', 'atlantis', '--key', asker.network.files.registryKey, ...why],
      'atlantis is not in the registry',
    ],
    [
      'no reason',
      () => ['remove', gone().name, '--key', asker.network.files.registryKey],
      '--reason and --author are needed',
    ],
    ['no key', () => ['remove', gone().name, ...why], '--key <file.pem> is missing'],
    [
      'an entry that is none',
      () => ['add', asker.network.files.admin, '--key', asker.network.files.registryKey, ...why],
      'agents[',
    ],
    ['no command', () => [], 'which command?'],
  ])('refused: %s', (_, args, message) => {
    const { status, stderr } = admin(...args());
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
  function strangeKey(): string {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const file = inDirectory('strange.key');
    writeFileSync(file, privateKey.export({ format: 'pem', type: 'pkcs8' }));
    return file;
  }

  test('agents are users of nats-server with their own subjects, and out when they are removed', async () => {
    const operator = createUser();
    const others = inDirectory('others.json');
    writeFileSync(
      others,
      JSON.stringify([{ name: 'operator', role: 'operator', natsKey: operator.getPublicKey() }]),
    );
    const users = inDirectory('users.conf');
    const write = () =>
      expect(admin('nats-users', '--others', others, '--out', users)).toMatchObject({ status: 0 });
    write();
    const port = await freePort();
    const config = inDirectory('second-nats.conf');
    writeFileSync(config, `listen: "127.0.0.1:${port}"\ninclude users.conf\n`);
    const server = spawn('nats-server', ['--config', config], { stdio: 'ignore' });
    const as = (seed: Uint8Array) =>
      connect({
        servers: `127.0.0.1:${port}`,
        authenticator: nkeyAuthenticator(seed),
        waitOnFirstConnect: true,
        maxReconnectAttempts: 50,
        reconnectTimeWait: 100,
      });
    try {
      const agent = await as(readFileSync(inDirectory(`${gone().name}.nk`)));
      const errors: string[] = [];
      void (async () => {
        for await (const status of agent.status())
          if (status.type === 'error') errors.push(status.error.message);
      })();
      const watcher = await as(operator.getSeed());
      const heard: string[] = [];
      watcher.subscribe('mecai.>', { callback: (_, { subject }) => void heard.push(subject) });
      await watcher.flush();
      agent.publish(subjects.agentStatus(gone().name));
      agent.publish(subjects.agentStatus('frankfurt'));
      agent.subscribe(subjects.task('frankfurt'));
      await agent.flush();
      await expect.poll(() => heard).toEqual([subjects.agentStatus(gone().name)]);
      await expect.poll(() => errors.length).toBe(2);
      expect(signed('remove', gone().name).status).toBe(0);
      write();
      const closed = agent.closed();
      const disconnected = (async () => {
        for await (const status of agent.status()) if (status.type === 'disconnect') return true;
        return false;
      })();
      server.kill('SIGHUP');
      expect(await Promise.race([disconnected, closed.then(() => true)])).toBe(true);
      await watcher.close();
      await agent.close();
    } finally {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
  });

  test('a signer that restarts knows the updates, whatever its file says', async () => {
    await asker.network.signer.restart();
    const { stdout } = admin('list', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ version: 4, behind: [] });
    expect(admin('list').stdout).toContain(`registry 4, ${sevenCities.length - 1} agents`);
  });
});

const sevenCities = eightCities.slice(0, 7);
