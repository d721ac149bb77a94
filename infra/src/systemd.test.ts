/** The units, judged by systemd; what they hand to the processes, judged by those. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@mecai/runtime';
import type * as z from 'zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infra, repository } from './testing/files.ts';
import { Unit, complaintsOf, exposure, readConfig, units } from './testing/unit.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-systemd-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Of `systemd-analyze security`: 0 best, 10 worst. What is left: sockets, and V8's machine code. */
const most: Readonly<Record<(typeof units)[number], number>> = {
  'probe-agent': 1.1,
  coordinator: 1.1,
  signer: 0.9,
  analytics: 1.3,
  campaigns: 1.1,
};

describe.each(units)('mecai-%s.service', (name) => {
  const unit = new Unit(`mecai-${name}`);

  it('is understood by systemd, and its program is where the archive brings it', () => {
    // As after an installation, in another place.
    const program = join(directory, name, `bin/mecai-${name}`);
    mkdirSync(join(directory, name, 'bin'), { recursive: true });
    cpSync('/bin/true', program);
    const file = join(directory, `mecai-${name}.service`);
    const [start] = unit.all('ExecStart');
    expect(start).toMatch(new RegExp(`^/opt/mecai/${name}/bin/mecai-${name} `));
    writeFileSync(file, unit.text.replaceAll('/opt/mecai', directory));
    expect(complaintsOf(file)).toBe('');
  });

  it(`is exposed at ${most[name]} of 10 at most`, () => {
    expect(exposure(join(infra, `systemd/mecai-${name}.service`))).toBeLessThanOrEqual(most[name]);
  });

  it('does not interrupt others at each message, if it answers requests', () => {
    const answers = ['probe-agent', 'coordinator', 'signer'].includes(name);
    expect(unit.all('CPUSchedulingPolicy')).toEqual(answers ? ['batch'] : []);
  });

  it('gains nothing, writes nowhere but in its own directory', () => {
    for (const [setting, value] of Object.entries({
      NoNewPrivileges: 'yes',
      CapabilityBoundingSet: '',
      ProtectSystem: 'strict',
      PrivateTmp: 'yes',
      User: `mecai-${name}`,
      StateDirectory: `mecai-${name}`,
    })) {
      expect([setting, unit.all(setting)]).toEqual([setting, [value]]);
    }
    expect(unit.all('ReadWritePaths')).toEqual([]);
    expect(unit.all('SystemCallFilter')[0]).toMatch(/^@system-service/);
  });

  it('gives the secrets to the options that take them, in a configuration that is the example', async () => {
    const config = JSON.stringify(
      await readConfig(name, join(infra, `examples/${name}.json`), '/run/credentials/x'),
    );
    const secrets = unit.all('LoadCredential').map((line) => line.split(':')[0]);
    expect(secrets.length).toBeGreaterThan(0);
    for (const secret of secrets) expect(config).toContain(`/run/credentials/x/${secret}`);
    expect(config).not.toContain('by the unit');
  });

  it('may bind the ports of the example and no other', () => {
    const example = readFileSync(join(infra, `examples/${name}.json`), 'utf8');
    const ports = [...example.matchAll(/"(?:listen|admin)": "[^"]*:(\d+)"/g)].map(
      ([, port]) => `tcp:${port}`,
    );
    expect(unit.all('SocketBindDeny')).toEqual(['any']);
    expect(unit.all('SocketBindAllow').toSorted()).toEqual(ports.toSorted());
  });

  it('is where the example of Prometheus looks for it', () => {
    const example = readFileSync(join(infra, `examples/${name}.json`), 'utf8');
    const [, port] = /"admin": "[^"]*:(\d+)"/.exec(example)!;
    const prometheus = readFileSync(join(infra, 'monitoring/prometheus.yaml'), 'utf8');
    const [, targets = ''] = new RegExp(`job_name: ${name}\n.*\n +- targets: (.*)`).exec(prometheus)!;
    const ports = [...targets.matchAll(/:(\d+)"/g)].map(([, found]) => found);
    expect(new Set(ports)).toEqual(new Set([port]));
  });

  it('user and directories are made as systemd reads it', () => {
    const root = join(directory, `root-${name}`);
    mkdirSync(join(root, 'etc'), { recursive: true });
    const conf = (kind: string) => join(infra, `systemd/mecai-${name}.${kind}.conf`);
    execFileSync('systemd-sysusers', [`--root=${root}`, conf('sysusers')], { stdio: 'pipe' });
    expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(
      new RegExp(`^mecai-${name}:x:\\d+:\\d+:.*:/var/lib/mecai-${name}:.*nologin$`, 'm'),
    );
    execFileSync('systemd-tmpfiles', [`--root=${root}`, '--create', conf('tmpfiles')], { stdio: 'pipe' });
    expect(existsSync(join(root, `var/lib/mecai-${name}`))).toBe(true);
    expect(statSync(join(root, 'etc/mecai/secrets')).mode & 0o777).toBe(0o700);
  });
});

describe('mecai-probe-agent-join.service', () => {
  const join_ = new Unit('mecai-probe-agent-join');
  const agent = new Unit('mecai-probe-agent');

  it('is understood by systemd, and exposed at 1.5 of 10 at most', () => {
    const program = join(directory, 'probe-agent-join/bin/mecai-probe-agent');
    mkdirSync(join(directory, 'probe-agent-join/bin'), { recursive: true });
    cpSync('/bin/true', program);
    // Both, as one starts the other.
    for (const unit of [join_, agent]) {
      writeFileSync(
        join(directory, unit === join_ ? 'mecai-probe-agent-join.service' : 'mecai-probe-agent.service'),
        unit.text.replaceAll('/opt/mecai/probe-agent/bin', join(directory, 'probe-agent-join/bin')),
      );
    }
    const file = join(directory, 'mecai-probe-agent-join.service');
    expect(complaintsOf(file)).toBe('');
    expect(exposure(file)).toBeLessThanOrEqual(1.5);
  });

  it('makes the secrets that the agent gets, and each runs only where the other does not', async () => {
    const made = join_.all('Environment').map((line) => line.split('=')[1]);
    const given = agent.all('LoadCredential').map((line) => line.split(':')[1]);
    expect(new Set(made)).toEqual(new Set(given));
    for (const secret of made)
      expect(secret).toMatch(new RegExp(`^${join_.all('ReadWritePaths')[0]}/[^/]+$`));
    const [token] = join_.all('ConditionPathExists');
    expect(agent.all('ConditionPathExists')).toEqual([`!${token}`]);
    const example = await readConfig('probe-agent', join(infra, 'examples/probe-agent.json'), '/run/x');
    expect(example).toHaveProperty('join.tokenFile', token);
    expect(join_.all('OnSuccess')).toEqual(['mecai-probe-agent.service']);
  });
});

describe('mecai-signer-backup', () => {
  const backup = new Unit('mecai-signer-backup');
  const signer = new Unit('mecai-signer');

  it('is understood by systemd, and exposed at 0.2 of 10 at most', () => {
    const folder = join(directory, 'signer-backup');
    mkdirSync(folder);
    for (const name of ['mecai-signer-backup.service', 'mecai-signer-backup.timer'])
      cpSync(join(infra, 'systemd', name), join(folder, name));
    const service = join(folder, 'mecai-signer-backup.service');
    expect(complaintsOf(service, join(folder, 'mecai-signer-backup.timer'))).toBe('');
    expect(exposure(service)).toBeLessThanOrEqual(0.2);
  });

  it('runs every night wherever the signer was started, also after a night without power', () => {
    expect(signer.all('Wants')).toContain('mecai-signer-backup.timer');
    const timer = readFileSync(join(infra, 'systemd/mecai-signer-backup.timer'), 'utf8');
    expect(timer).toMatch(/^Persistent=yes$/m);
    const [, when = ''] = /^OnCalendar=(.*)$/m.exec(timer)!;
    const said = execFileSync('systemd-analyze', ['calendar', '--iterations=2', when], { encoding: 'utf8' });
    const [next, following] = Array.from(said.matchAll(/ (\d{4}-\d\d-\d\d) (\S+) UTC/g), ([, day, time]) =>
      Date.parse(`${day}T${time}Z`),
    );
    expect(following! - next!).toBe(86_400_000);
  });

  it('saves the log of the example as its owner, to the one place that it may write', () => {
    const { auditLog } = JSON.parse(readFileSync(join(infra, 'examples/signer.json'), 'utf8')) as {
      auditLog: string;
    };
    const [, script, config, log, to] = backup.all('ExecStart')[0]!.split(' ');
    expect([script, config, log]).toEqual([
      '/opt/mecai/signer/operate/backup-audit-log.sh',
      signer.all('ExecStart')[0]!.split(' ').at(-1),
      auditLog,
    ]);
    expect(backup.all('User')).toEqual(signer.all('User'));
    const [writable] = backup.all('ReadWritePaths');
    expect(to).toMatch(new RegExp(`^${writable}/`));
    expect(readFileSync(join(infra, 'systemd/mecai-signer.tmpfiles.conf'), 'utf8')).toContain(
      `d ${writable} 0700 mecai-signer mecai-signer -\n`,
    );
    const runbook = readFileSync(join(repository, 'docs/operate/backup-and-restore.md'), 'utf8');
    expect(runbook.replaceAll(/ \\\n */g, ' ')).toContain([`sh ${script}`, config, log, to].join(' '));
  });
});

describe('drop-ins of the README', () => {
  const dropIns = new Map(
    Array.from(
      readFileSync(join(infra, 'README.md'), 'utf8').matchAll(/```ini\n# (\S+)\n([\s\S]*?)```/g),
      ([, path = '', text = '']) => [path.split('/').slice(-2).join('/'), text] as const,
    ),
  );
  const notice = {
    identity: { certificate: '/etc/mecai/notice.pem', key: 'x' },
    from: 'notices@va.example',
    bounces: 'bounces@va.example',
    secretFile: 'x',
    smtp: { server: 'mail.va.example:587', user: 'va', passwordFile: 'x' },
  };
  const sqlite = { engine: 'sqlite', file: '/var/lib/mecai-coordinator/coordinator.sqlite' };
  const embedded = { kind: 'embedded', directory: '/var/lib/mecai-analytics/store' };

  it('are those that are tried here, and the signer’s', () => {
    expect([...dropIns.keys()].map((path) => path.split('/')[1])).toEqual([
      'site.conf',
      'database.conf',
      'embedded.conf',
      'notices.conf',
    ]);
  });

  it.each([
    ['coordinator', 'database', { database: sqlite }],
    ['analytics', 'embedded', { store: embedded }],
    ['coordinator', 'notices', { notice }],
  ] as const)('mecai-%s, %s', async (name, kind, members) => {
    const place = `mecai-${name}.service.d/${kind}.conf`;
    const text = dropIns.get(place)!;
    const example = JSON.parse(readFileSync(join(infra, `examples/${name}.json`), 'utf8')) as object;
    const file = join(directory, `${kind}.json`);
    writeFileSync(file, JSON.stringify({ ...example, ...members }));
    if (kind !== 'notices')
      await expect(readConfig(name, file, '/run/credentials/x')).rejects.toThrow('passwordFile');
    const config = JSON.stringify(await readConfig(name, file, '/run/credentials/x', text));
    expect(config).not.toContain('by the unit');
    // An empty one takes back those before it.
    const given = new Unit(`mecai-${name}`, text).all('LoadCredential');
    const credentials = given.slice(given.lastIndexOf('') + 1).map((line) => line.split(':')[0]);
    const used = [...config.matchAll(/"\/run\/credentials\/x\/([^"]+)"/g)].map(
      ([, credential]) => credential,
    );
    expect(new Set(used)).toEqual(new Set(credentials));

    const root = join(directory, `drop-in-${kind}`);
    mkdirSync(join(root, `mecai-${name}.service.d`), { recursive: true });
    cpSync('/bin/true', join(root, name));
    const unit = new Unit(`mecai-${name}`).text.replaceAll(
      `/opt/mecai/${name}/bin/mecai-${name}`,
      join(root, name),
    );
    writeFileSync(join(root, `mecai-${name}.service`), unit);
    writeFileSync(join(root, place), text);
    expect(complaintsOf(join(root, `mecai-${name}.service`))).toBe('');
  });
});

it('commands of the key ceremony, which no unit starts, find the PIN where the unit has it from', () => {
  const [place] = new Unit('mecai-signer').all('LoadCredential').map((line) => line.replace(/^hsm-pin:/, ''));
  for (const file of ['examples/signer.json', 'terraform/modules/signer/main.tf'])
    expect(readFileSync(join(infra, file), 'utf8')).toMatch(new RegExp(`"?pinFile"?\\s*[:=] "${place}"`));
});

it('the signer reaches nobody unless a drop-in names them', () => {
  const unit = new Unit('mecai-signer');
  expect(unit.all('IPAddressDeny')).toEqual(['any']);
  expect(unit.all('IPAddressAllow')).toEqual(['localhost']);
});

it('the example of mecai-admin is one, and reaches every signer of the coordinator’s', async () => {
  const file = join(repository, 'admin/src/config.ts');
  const { adminConfig } = (await import(file)) as { adminConfig: z.ZodObject };
  const { signers } = loadConfig(adminConfig, join(infra, 'examples/admin.json'), {});
  const coordinator = await readConfig('coordinator', join(infra, 'examples/coordinator.json'), '/run/x');
  expect(signers).toEqual(coordinator['signers']);
});
