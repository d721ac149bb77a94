/** What a machine does with its cloud-init configuration: the scripts in it are run here, their paths moved. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CloudConfig, cloudConfig, fileOf } from './testing/cloud-config.ts';
import { infra } from './testing/files.ts';
import { type Given, HclModule } from './testing/hcl-module.ts';
import { complaintsOf } from './testing/unit.ts';

let directory: string;
const at = (...path: string[]) => join(directory, ...path);
const read = (...path: string[]) => readFileSync(at(...path), 'utf8');
let server: Server | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-first-boot-'));
  // Waiting and syncing take no time here.
  program('sleep', 'exec /bin/sleep 0.02');
  program('sync', '');
  // Tells what it was given, a line for each word.
  program('record', 'printf "<%s>\\n" "$@" >>"$DIRECTORY/recorded"');
  program('apt-get', 'echo "$*" >>"$DIRECTORY/apt-get"');
  program('systemctl', 'echo "$*" >>"$DIRECTORY/systemctl"');
});
afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

function program(name: string, body: string): void {
  mkdirSync(at('bin'), { recursive: true });
  writeFileSync(at('bin', name), `#!/bin/sh\nset -eu\n${body}\n`, { mode: 0o755 });
}

/** As `terraform apply` renders it. */
async function rendered(given: Given): Promise<CloudConfig> {
  const module = await HclModule.read(join(infra, 'terraform/modules/machine'));
  const { outputs, refused } = module.plan({ process: 'nats-server', secret_store: 'host', ...given });
  expect(refused).toEqual([]);
  return cloudConfig(outputs['user_data']);
}

/** Writes what cloud-init would, below the directory, and with these addresses for those of the cloud. */
function install(config: CloudConfig, addresses: Readonly<Record<string, string>> = {}): void {
  for (const { path, permissions, content } of config.write_files) {
    let moved = content.replaceAll(/\/(?=usr\/local\/sbin|var\/lib|etc\/mecai)/g, `${directory}/`);
    for (const [from, to] of Object.entries(addresses)) {
      if (path.endsWith('mecai-read-secret')) expect(moved).toContain(from);
      moved = moved.replaceAll(from, to);
    }
    mkdirSync(at(dirname(path)), { recursive: true });
    writeFileSync(at(path), moved);
    chmodSync(at(path), Number.parseInt(permissions, 8));
  }
}

/** As systemd runs it. */
async function run(name: string, ...args: string[]) {
  const child = spawn(at('usr/local/sbin', name), args, {
    env: { PATH: `${at('bin')}:/usr/bin:/bin`, DIRECTORY: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const status = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await status, stdout, stderr };
}

describe('mecai-first-boot', () => {
  it('is started by cloud-init and waited for by nobody', async () => {
    const config = await rendered({});
    expect(config.runcmd).toEqual([
      ['rm', '-rf', '/var/lib/mecai-first-boot'],
      ['systemctl', 'daemon-reload'],
      ['systemctl', 'enable', 'mecai-first-boot'],
      ['systemctl', 'start', '--no-block', 'mecai-first-boot'],
    ]);
    const unit = fileOf(config, '/etc/systemd/system/mecai-first-boot.service');
    // A unit that multi-user.target wants and that is oneshot holds it up until secrets are there.
    expect(unit).toMatch(/^Type=exec$/m);
    expect(unit).toMatch(/^Restart=on-failure$/m);
    expect(fileOf(config, '/usr/local/sbin/mecai-first-boot')).toMatch(/^#!\/bin\/sh\n(#.*\n)+set -eu\n/);
  });

  it('hands every word over as it is', async () => {
    const words = [
      "it's",
      "'",
      'two  words',
      'a "quote" and $HOME, `id`, $(id), \\',
      'one line\nand another\n',
      '',
      '*',
      '${x}',
    ];
    install(await rendered({ commands: [['record', ...words]] }));
    expect(await run('mecai-first-boot')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(read('recorded')).toBe(words.map((word) => `<${word}>\n`).join(''));
  });

  it('installs packages first, and tries again until they are there', async () => {
    const working = read('bin', 'apt-get');
    install(await rendered({ packages: ['nats-server'], commands: [['record', 'then']] }));
    program('apt-get', 'test "$2" != update');
    expect((await run('mecai-first-boot')).status).toBe(1);
    expect(existsSync(at('recorded'))).toBe(false);
    writeFileSync(at('bin', 'apt-get'), working);
    expect((await run('mecai-first-boot')).status).toBe(0);
    expect(read('apt-get')).toMatch(
      /^-q update\n-q -y .*--force-confold install ca-certificates .* nats-server\n$/,
    );
    expect(read('recorded')).toBe('<then>\n');
  });

  it('stops at what fails, and run again goes on there until all is done', async () => {
    program('fails-once', 'record "$@"; test -e "$DIRECTORY/tried" || { : >"$DIRECTORY/tried"; exit 7; }');
    const config = await rendered({
      commands: [
        ['record', 'first'],
        ['fails-once', 'second'],
        ['record', 'third'],
      ],
    });
    install(config);
    const unit = read('etc/systemd/system/mecai-first-boot.service');
    const [, marker = ''] = /^ConditionPathExists=!(.*)$/m.exec(unit)!;

    expect((await run('mecai-first-boot')).status).toBe(7);
    expect(read('recorded')).toBe('<first>\n<second>\n');
    expect(existsSync(marker)).toBe(false);
    expect(existsSync(at('systemctl'))).toBe(false);

    expect((await run('mecai-first-boot')).status).toBe(0);
    expect(read('recorded')).toBe('<first>\n<second>\n<second>\n<third>\n');
    expect(existsSync(marker)).toBe(true);
    expect(read('systemctl')).toBe('daemon-reload\nenable nats-server\nrestart nats-server\n');

    // A copy of the disk in another machine begins anew.
    const [[, , marks = '']] = config.runcmd as [string[]];
    expect(dirname(marker)).toBe(at(marks));
  });
});

const secrets = {
  'tls.pem': 'arn:aws:secretsmanager:eu-north-1:1:secret:pem',
  'tls.key': 'arn:aws:secretsmanager:eu-north-1:1:secret:key',
};
const pem = secrets['tls.pem'];

/** A cloud: its metadata service and its store. */
class Cloud {
  readonly values = new Map<string, string>();
  /** Answers of the metadata service that fail before one does not. */
  failing = 0;
  refusedByStore = 0;

  async start(): Promise<string> {
    server = createServer((request, response) => void this.#serve(request, response));
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [status, answer] = this.#answer(request, await text(request));
    response.writeHead(status);
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  }

  #answer({ url = '', method, headers }: IncomingMessage, body: string): [number, object | string] {
    if (url.startsWith('/metadata/')) {
      if (this.failing > 0) return [503, String(this.failing--)];
      if (url === '/metadata/token')
        return headers['metadata-flavor'] === 'Google' ? [200, { access_token: 'of-google' }] : [403, ''];
      if (url === '/metadata/api/token') return method === 'PUT' ? [200, 'of-aws'] : [405, ''];
      if (headers['x-aws-ec2-metadata-token'] !== 'of-aws') return [401, ''];
      const roles = '/metadata/meta-data/iam/security-credentials/';
      if (url === roles) return [200, 'role'];
      if (url === `${roles}role`)
        return [200, { AccessKeyId: 'id', SecretAccessKey: 'secret', Token: 'session' }];
      return [404, ''];
    }
    const signed =
      headers['x-amz-security-token'] === 'session' &&
      / Credential=id\/\d+\/eu-north-1\/secretsmanager\//.test(headers.authorization ?? '');
    const [, google] =
      headers.authorization === 'Bearer of-google'
        ? (/^\/v1\/(.*)\/versions\/latest:access$/.exec(url) ?? [])
        : [];
    if (!signed && google === undefined) return [403, ''];
    const value = this.values.get(google ?? (JSON.parse(body) as { SecretId: string }).SecretId);
    if (value === undefined) {
      this.refusedByStore++;
      return [google === undefined ? 400 : 404, { message: 'no value' }];
    }
    return [
      200,
      google === undefined
        ? { SecretString: value }
        : { payload: { data: Buffer.from(value).toString('base64') } },
    ];
  }
}

/** A machine on it. */
async function machine(given: Given) {
  const cloud = new Cloud();
  const url = await cloud.start();
  const addresses = {
    aws: {
      'http://169.254.169.254/latest': `${url}/metadata`,
      'https://secretsmanager.$region.amazonaws.com': url,
    },
    google: {
      'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default': `${url}/metadata`,
      'https://secretmanager.googleapis.com': url,
    },
  };
  const store = given['secret_store'] as keyof typeof addresses;
  install(await rendered(given), store in addresses ? addresses[store] : {});
  return cloud;
}
const file = (name: string) => at('etc/mecai/secrets', name);

describe.each([
  ['aws', 'arn:aws:secretsmanager:eu-north-1:1:secret:token', 'mecai-join-x', 'mecai-join-x\n'],
  ['google', 'projects/p/secrets/token', 'octets\n\n', 'octets\n\n'],
])('mecai-fetch-secret of %s', (secret_store, id, value, written) => {
  it('waits for the metadata service, and until somebody has put a value there', async () => {
    const cloud = await machine({ secret_store });
    cloud.failing = 3;
    const done = run('mecai-fetch-secret', id, file('token'));
    await expect.poll(() => cloud.refusedByStore, { timeout: 20_000 }).toBeGreaterThan(1);
    expect(cloud.failing).toBe(0);
    expect(existsSync(file('token'))).toBe(false);
    cloud.values.set(id, value);
    expect((await done).status).toBe(0);
    expect(read('etc/mecai/secrets/token')).toBe(written);
    expect(statSync(file('token')).mode & 0o777).toBe(0o600);
    expect(readdirSync(at('etc/mecai/secrets'))).toEqual(['token']);
  });

  it('asked once it fails instead, and leaves what is there', async () => {
    const cloud = await machine({ secret_store });
    mkdirSync(at('etc/mecai/secrets'), { recursive: true });
    writeFileSync(file('token'), 'as it was');
    cloud.values.set(id, value);
    // A value of no octets is none.
    for (const trouble of [() => (cloud.failing = 1), () => cloud.values.set(id, '')]) {
      trouble();
      const { status, stderr } = await run('mecai-fetch-secret', '--once', id, file('token'));
      expect(status).toBe(1);
      expect(stderr).toContain(`mecai: no value of ${id} for ${file('token')}`);
      expect(read('etc/mecai/secrets/token')).toBe('as it was');
      expect(readdirSync(at('etc/mecai/secrets'))).toEqual(['token']);
    }
  });
});

it('mecai-fetch-secret of a host waits until somebody has put the file there', async () => {
  await machine({ secret_store: 'host' });
  const done = run('mecai-fetch-secret', 'token', file('token'));
  mkdirSync(at('etc/mecai/secrets'), { recursive: true });
  writeFileSync(file('token'), 'x', { mode: 0o644 });
  expect((await done).status).toBe(0);
  expect(statSync(file('token')).mode & 0o777).toBe(0o600);
});

describe('mecai-refresh-secrets', () => {
  /** After its first boot. */
  async function booted() {
    const cloud = await machine({ secret_store: 'aws', secrets, refreshed: [['record', 'told', "it's"]] });
    for (const [name, id] of Object.entries(secrets)) cloud.values.set(id, `${name} 1`);
    expect((await run('mecai-first-boot')).status).toBe(0);
    expect(read('systemctl')).toMatch(/^enable --now mecai-refresh-secrets\.timer\n/);
    return cloud;
  }
  const told = () => (existsSync(at('recorded')) ? read('recorded').split("<told>\n<it's>\n").length - 1 : 0);
  const values = () => Object.keys(secrets).map((name) => read('etc/mecai/secrets', name));
  const refresh = async () => (await run('mecai-refresh-secrets')).status;

  it('puts a new value in place and tells the process, once; an old one is left alone', async () => {
    const cloud = await booted();
    expect(await refresh()).toBe(0);
    expect(told()).toBe(0);
    cloud.values.set(pem, 'tls.pem 2');
    const { ino } = statSync(file('tls.key'));
    const { status, stderr, stdout } = await run('mecai-refresh-secrets');
    expect({ status, stderr, stdout }).toEqual({
      status: 0,
      stderr: '',
      stdout: `mecai: the store has a new value for ${file('tls.pem')}\n`,
    });
    expect(values()).toEqual(['tls.pem 2\n', 'tls.key 1\n']);
    expect(statSync(file('tls.pem')).mode & 0o777).toBe(0o600);
    expect(statSync(file('tls.key')).ino).toBe(ino);
    expect(told()).toBe(1);
    expect(await refresh()).toBe(0);
    expect(told()).toBe(1);
  });

  it('tells the process nothing while a secret cannot be asked for, and then it does', async () => {
    const cloud = await booted();
    cloud.values.set(pem, 'tls.pem 2');
    cloud.values.delete(secrets['tls.key']);
    const { status, stderr } = await run('mecai-refresh-secrets');
    expect(status).toBe(1);
    expect(stderr).toContain(`mecai: no value of ${secrets['tls.key']}`);
    expect(values()).toEqual(['tls.pem 2\n', 'tls.key 1\n']);
    expect(told()).toBe(0);
    cloud.values.set(secrets['tls.key'], 'tls.key 2');
    expect(await refresh()).toBe(0);
    expect(values()).toEqual(['tls.pem 2\n', 'tls.key 2\n']);
    expect(told()).toBe(1);
  });

  it('tells the process again what it did not take', async () => {
    const cloud = await booted();
    cloud.values.set(pem, 'tls.pem 2');
    const record = read('bin/record');
    program('record', 'exit 3');
    expect(await refresh()).toBe(3);
    writeFileSync(at('bin/record'), record);
    expect(await refresh()).toBe(0);
    expect(told()).toBe(1);
  });

  it('leaves what somebody put there by hand until the store has something new', async () => {
    const cloud = await booted();
    writeFileSync(file('tls.pem'), 'by hand');
    expect(await refresh()).toBe(0);
    expect(values()).toEqual(['by hand', 'tls.key 1\n']);
    cloud.values.set(pem, 'tls.pem 2');
    expect(await refresh()).toBe(0);
    expect(values()).toEqual(['tls.pem 2\n', 'tls.key 1\n']);
  });

  it('brings no join token back that is used up, and does not miss it in the store', async () => {
    const cloud = await booted();
    rmSync(file('tls.pem'));
    cloud.values.set(pem, 'tls.pem 2');
    expect(await refresh()).toBe(0);
    cloud.values.delete(pem);
    expect(await refresh()).toBe(0);
    expect(existsSync(file('tls.pem'))).toBe(false);
    expect(told()).toBe(0);
  });

  it('is not there where somebody puts files by hand, nor for a machine without secrets', async () => {
    const units = async (given: Given) =>
      (await rendered(given)).write_files
        .map(({ path }) => path)
        .filter((path) => path.startsWith('/etc/systemd'))
        .map((path) => basename(path));
    const alone = ['mecai-first-boot.service'];
    expect(await units({ secret_store: 'host', secrets })).toEqual(alone);
    expect(await units({ secret_store: 'aws' })).toEqual(alone);
    expect(await units({ secret_store: 'google', secrets })).toEqual([
      ...alone,
      'mecai-refresh-secrets.service',
      'mecai-refresh-secrets.timer',
    ]);
  });
});

it('systemd understands the units, and their programs are there', async () => {
  await machine({ secret_store: 'aws', secrets });
  const units = readdirSync(at('etc/systemd/system'));
  expect(units).toHaveLength(3);
  expect(complaintsOf(...units.map((unit) => at('etc/systemd/system', unit)))).toBe('');
});
