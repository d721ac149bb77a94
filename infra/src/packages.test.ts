/** Archives as they are made for machines: unpacked, installed, run. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { natsPermissions } from '@mecai/proto';
import { type NatsServer, startNatsServer } from '@mecai/test/nats-server';
import { softHsmModule, startProcess } from '@mecai/test/network';
import { createUser } from '@nats-io/nkeys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filesBelow, infra, repository } from './testing/files.ts';
import { Unit } from './testing/unit.ts';

let directory: string;
let nats: NatsServer;
const agentUser = createUser();
const name = 'frankfurt';
const at = (...parts: string[]) => join(directory, ...parts);

/** One archive, quickly; its path and hash as the command prints them. */
function pack(process_: string, out: string): { file: string; sha256: string } {
  const [sha256 = '', file = ''] = execFileSync(
    process.execPath,
    [join(repository, 'scripts/package.mjs'), '--level', '1', '--out', at(out), process_],
    { encoding: 'utf8' },
  )
    .trim()
    .split(/\s+/);
  return { file, sha256 };
}
const unpack = (file: string, to: string) => {
  mkdirSync(at(to), { recursive: true });
  execFileSync('tar', ['-xzf', file, '--strip-components=1', '-C', at(to)]);
  return at(to);
};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-packages-'));
  nats = await startNatsServer({
    directory: at('nats'),
    users: [{ name, publicNkey: agentUser.getPublicKey(), ...natsPermissions.agent(name) }],
  });
}, 120_000);
afterAll(async () => {
  await nats.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('probe agent', () => {
  it('the same sources make the same octets; installed, it runs with what its unit gives it', async () => {
    const { file, sha256 } = pack('probe-agent', 'out');
    expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(sha256);
    expect(pack('probe-agent', 'again').sha256).toBe(sha256);

    const here = unpack(file, 'unpacked');
    expect(readFileSync(join(here, 'THIRD-PARTY-LICENSES'), 'utf8')).toMatch(
      /^== @nats-io\/nats-core .*Apache-2\.0$/m,
    );
    const install = (from: string) =>
      execFileSync('sh', [join(from, 'install.sh')], { env: { ...process.env, DESTDIR: at('root') } });
    install(here);
    install(here);
    const installed = at('root/opt/mecai/probe-agent');
    const unit = at('root/etc/systemd/system/mecai-probe-agent.service');
    const expectCurrent = () => {
      expect(readlinkSync(installed)).toBe('probe-agent-0.1.0');
      expect(readFileSync(unit, 'utf8')).toBe(new Unit('mecai-probe-agent').text);
    };
    expectCurrent();
    // A newer one, and the way back from it.
    rmSync(installed);
    symlinkSync('probe-agent-0.2.0', installed);
    writeFileSync(unit, 'newer');
    install(at('root/opt/mecai/probe-agent-0.1.0'));
    expectCurrent();

    mkdirSync(at('credentials'), { recursive: true });
    writeFileSync(at('credentials/nats-seed'), agentUser.getSeed(), { mode: 0o600 });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(at('credentials/observation-key'), privateKey.export({ format: 'pem', type: 'pkcs8' }), {
      mode: 0o600,
    });
    const agent = await startProcess({
      name,
      script: join(installed, 'lib/main.js'),
      args: ['--config', join(infra, 'examples/probe-agent.json')],
      logFile: at('agent.log'),
      environment: {
        ...new Unit('mecai-probe-agent').environment(at('credentials')),
        MECAI_ADMIN: '127.0.0.1:0',
        MECAI_NATS__SERVERS: JSON.stringify([nats.url]),
      },
    });
    try {
      const ready = async () => (await fetch(`${agent.ready['admin']}/readyz`)).status;
      await expect.poll(ready, { timeout: 60_000 }).toBe(200);
    } finally {
      expect(await agent.stop()).toBe(0);
    }
    // By its own Node, through a link, from anywhere.
    const help = execFileSync(join(installed, 'bin/mecai-probe-agent'), ['--help'], {
      encoding: 'utf8',
      cwd: '/',
    });
    expect(help).toMatch(/^usage: probe-agent --config/);
    const join_ = execFileSync(join(installed, 'bin/mecai-probe-agent'), ['join', '--help'], {
      encoding: 'utf8',
    });
    expect(join_).toMatch(/^usage: probe-agent join --config/);
    expect(readFileSync(at('root/etc/systemd/system/mecai-probe-agent-join.service'), 'utf8')).toBe(
      new Unit('mecai-probe-agent-join').text,
    );

    // Where Node does not run, nothing is changed.
    const node = join(here, 'runtime/node');
    renameSync(node, `${node}.aside`);
    writeFileSync(node, '#!/bin/sh\nexit 127\n', { mode: 0o755 });
    const refused = spawnSync('sh', [join(here, 'install.sh')], {
      encoding: 'utf8',
      env: { ...process.env, DESTDIR: at('elsewhere') },
    });
    renameSync(`${node}.aside`, node);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('libatomic1')]);
    expect(existsSync(at('elsewhere'))).toBe(false);

    // As the image has it: nobody's user, its entry point in the archive's folder.
    const image = readFileSync(join(infra, 'container/Containerfile'), 'utf8').replaceAll('\\\n', ' ');
    const said = (word: string) => image.match(new RegExp(`(?<=^${word} ).*`, 'gm')) ?? [];
    const words = [...image.matchAll(/^([A-Z]+) /gm)].map(([, word]) => word!);
    const known = ['ARG', 'FROM', 'COPY', 'RUN', 'USER', 'WORKDIR', 'ENV', 'STOPSIGNAL', 'ENTRYPOINT'];
    expect(words.filter((word) => !known.includes(word))).toEqual([]);
    const user = Number(/^(\d+):\1$/.exec(said('USER')[0]!)![1]);
    const [program, ...args] = (JSON.parse(said('ENTRYPOINT')[0]!) as string[]).map((one) =>
      one.replace(/^\/mecai\//, `${here}/`),
    );
    chmodSync(directory, 0o755);
    const inImage = spawnSync(program!, [...args, '--help'], {
      encoding: 'utf8',
      ...(process.getuid?.() === 0 && { uid: user, gid: user }),
      cwd: '/',
    });
    expect([inImage.status, inImage.stdout]).toEqual([0, expect.stringMatching(/^usage: probe-agent/)]);
  }, 120_000);
});

describe('signer', () => {
  it('reaches an HSM through the PKCS #11 binding beside it', () => {
    const here = unpack(pack('signer', 'out').file, 'signer');
    mkdirSync(at('tokens'), { recursive: true });
    const hsm = { ...process.env, SOFTHSM2_CONF: at('softhsm2.conf') };
    writeFileSync(hsm.SOFTHSM2_CONF, `directories.tokendir = ${at('tokens')}\nlog.level = ERROR\n`);
    execFileSync(
      'softhsm2-util',
      ['--init-token', '--free', '--label', 'mecai', '--pin', '1234', '--so-pin', '123456'],
      { env: hsm, stdio: 'pipe' },
    );
    mkdirSync(at('signer-credentials'), { recursive: true });
    writeFileSync(at('signer-credentials/hsm-pin'), '1234', { mode: 0o600 });
    const { status, stdout, stderr } = spawnSync(
      join(here, 'bin/mecai-signer'),
      ['keygen', '--config', join(here, 'examples/signer.json')],
      {
        encoding: 'utf8',
        env: {
          ...hsm,
          ...new Unit('mecai-signer').environment(at('signer-credentials')),
          MECAI_HSM__MODULE: softHsmModule(),
          MECAI_HSM__TOKEN: 'mecai',
        },
      },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('va');
  }, 120_000);

  it('saves its audit log as the unit says that comes with it', () => {
    const root = at('signer-root');
    execFileSync('sh', [join(at('signer'), 'install.sh')], { env: { ...process.env, DESTDIR: root } });
    const units = join(root, 'etc/systemd/system');
    expect(existsSync(join(units, 'mecai-signer-backup.timer'))).toBe(true);
    copyFileSync(join(infra, 'examples/signer.json'), join(root, 'etc/mecai/signer.json'));
    mkdirSync(join(root, 'var/lib/mecai-signer'), { recursive: true });
    mkdirSync(join(root, 'var/backups/mecai'), { recursive: true });
    const record = {
      sequence: 1,
      previous: '0'.repeat(64),
      time: '2026-11-22T10:00:00.000Z',
      event: 'tried',
    };
    writeFileSync(join(root, 'var/lib/mecai-signer/audit.jsonl'), `${JSON.stringify(record)}\n`);
    const unit = readFileSync(join(units, 'mecai-signer-backup.service'), 'utf8');
    const [program = '', ...args] = /^ExecStart=(.*)$/m
      .exec(unit)![1]!
      .replaceAll(/ \/(?=opt|etc|var)/g, ` ${root}/`)
      .split(' ');
    const { status, stdout, stderr } = spawnSync(program, args, {
      encoding: 'utf8',
      env: { PATH: `${join(root, 'opt/mecai/signer/bin')}:/usr/bin:/bin` },
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(readFileSync(join(stdout.trim(), 'audit.txt'), 'utf8')).toMatch(/^1 records, the chain holds/);
  }, 120_000);
});

it('what archives take from the system is glibc, libstdc++ and libatomic, and who makes machines and images knows', () => {
  const native = [process.execPath, join(repository, 'node_modules/pkcs11js/build/Release/pkcs11.node')];
  const wanted = native.flatMap((file) => [
    ...execFileSync('ldd', [file], { encoding: 'utf8' }).matchAll(/^\t(?:\S*\/)?([a-z_+-]+)\S* /gm),
  ]);
  const ofGlibc = [
    'linux-vdso',
    'ld-linux-x',
    'ld-linux-aarch',
    'libc',
    'libm',
    'libdl',
    'libpthread',
    'librt',
  ];
  const others = new Set(wanted.map(([, name]) => name!).filter((name) => !ofGlibc.includes(name)));
  expect([...others].toSorted()).toEqual(['libatomic', 'libgcc_s', 'libstdc++']);
  for (const file of ['container/Containerfile', 'systemd/install.sh', 'terraform/modules/machine/main.tf'])
    expect(readFileSync(join(infra, file), 'utf8')).toMatch(/[ "]libatomic1[ ";]/);
});

it('modules with native parts have beside them whatever they depend on, but for what builds them', async () => {
  const contents = join(repository, 'scripts/package-contents.mjs');
  const { processes } = (await import(contents)) as { processes: Record<string, { native?: string[] }> };
  for (const { native = [] } of Object.values(processes)) {
    for (const name of native) {
      const { dependencies = {} } = JSON.parse(
        readFileSync(join(repository, 'node_modules', name, 'package.json'), 'utf8'),
      ) as { dependencies?: Record<string, string> };
      const needed = Object.keys(dependencies).filter((one) => !one.startsWith('node-'));
      expect(native).toEqual(expect.arrayContaining(needed));
    }
  }
});

it('scripts that runbooks call are in the archive that they name', async () => {
  const contents = join(repository, 'scripts/package-contents.mjs');
  const { processes } = (await import(contents)) as {
    processes: Record<string, { files?: [from: string, to: string][] }>;
  };
  const runbooks = filesBelow('docs/operate', /\.md$/).map((file) =>
    readFileSync(join(repository, file), 'utf8'),
  );
  const called = runbooks.flatMap((text) => [...text.matchAll(/\bsh \/opt\/mecai\/(\w+)\/(operate\/\S+)/g)]);
  expect(called.length).toBeGreaterThan(4);
  for (const [, name, script] of called) {
    const [from] = processes[name!]!.files!.find(([, to]) => to === script)!;
    expect(existsSync(join(repository, from))).toBe(true);
  }
  // From a checkout none is.
  expect(runbooks.filter((text) => /\bsh (?!\/)\S+\.sh/.test(text))).toEqual([]);
});

it('a process that there is not is named', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(repository, 'scripts/package.mjs'), 'probe-agents'],
    { encoding: 'utf8' },
  );
  expect([status, stderr]).toEqual([2, 'no process probe-agents\n']);
});
