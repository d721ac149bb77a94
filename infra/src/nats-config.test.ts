/** The configuration of NATS nodes and leaf nodes, as Terraform writes it. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyPem, pem, rootCa, svid } from '@mecai/test/network';
import { natsServerSyncs } from '@mecai/test/nats-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infra } from './testing/files.ts';
import { HclModule } from './testing/hcl-module.ts';
import { complaintsOf, exposure } from './testing/unit.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-nats-config-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const natsConfig = () => HclModule.read(join(infra, 'terraform/modules/nats-config'));
const nodes = ['nats-1.example', 'nats-2.example', 'nats-3.example'];
const serverOf = (version: string) => ({
  url: `https://releases.example/nats-server-v${version}-linux-amd64.tar.gz`,
  sha256: '0'.repeat(64),
});
const server = serverOf('2.15.1');

/** nats-server's own opinion, with the files that the configuration names put elsewhere. */
async function judge(name: string, leaf: boolean, leafFile = '') {
  const { outputs, refused } = (await natsConfig()).plan({ name, nodes, server, leaf });
  expect(refused).toEqual([]);
  const at = join(directory, name);
  mkdirSync(at);
  const ca = rootCa('Internal CA');
  const certificate = svid(ca, 'spiffe://mecai.example/nats');
  writeFileSync(join(at, 'ca.pem'), pem(ca));
  writeFileSync(join(at, 'tls.pem'), pem(certificate));
  writeFileSync(join(at, 'tls.key'), keyPem(certificate));
  writeFileSync(join(at, 'leaf.conf'), leafFile);
  writeFileSync(join(at, 'users.conf'), 'authorization { users: [{ user: nobody, password: none }] }\n');
  const { '/etc/nats/mecai.conf': config } = outputs['files'] as Record<string, string>;
  const known = natsServerSyncs() ? config! : config!.replace(/^ *sync_interval: .*\n/m, '');
  writeFileSync(join(at, 'mecai.conf'), known.replaceAll('/etc/nats/', `${at}/`));
  const { status, stderr } = spawnSync('nats-server', ['-t', '-c', join(at, 'mecai.conf')], {
    encoding: 'utf8',
  });
  return [status, stderr];
}

it('takes the configuration of a node, and that of a leaf', async () => {
  expect(await judge('nats-1', false)).toEqual([0, expect.stringContaining('is valid')]);
  const remote = 'urls: ["tls://leaf-tokyo:secret@nats-1.example:7422"]\n';
  expect(await judge('leaf-tokyo', true, remote)).toEqual([0, expect.stringContaining('is valid')]);
  expect((await judge('broken', true, 'erls: ["tls://nats-1.example:7422"]\n'))[0]).toBe(1);
});

describe('units', () => {
  /** As on a machine, but with programs that are here. */
  const install = async () => {
    const { outputs } = (await natsConfig()).plan({ name: 'nats-1', nodes, server, watch_looks: 18 });
    const files = outputs['files'] as Record<string, string>;
    const at = join(directory, 'units');
    mkdirSync(join(at, 'nats-server.service.d'), { recursive: true });
    cpSync('/usr/lib/systemd/system/nats-server.service', join(at, 'nats-server.service'));
    const dropIn = (outputs['drop_in'] as string).replace('/usr/local/bin/', '/usr/sbin/');
    writeFileSync(join(at, 'nats-server.service.d/site.conf'), dropIn);
    const script = join(at, 'mecai-nats-watch');
    writeFileSync(script, files['/usr/local/sbin/mecai-nats-watch']!, { mode: 0o755 });
    const unit = files['/etc/systemd/system/mecai-nats-watch.service']!;
    writeFileSync(
      join(at, 'mecai-nats-watch.service'),
      unit.replace('/usr/local/sbin/mecai-nats-watch', script),
    );
    return { at, unit, dropIn };
  };

  it('are understood by systemd, over that of Debian, and start again whatever ends', async () => {
    const { at, unit, dropIn } = await install();
    const both = ['nats-server.service', 'mecai-nats-watch.service'].map((name) => join(at, name));
    expect(complaintsOf(...both)).toBe('');
    for (const text of [unit, dropIn]) expect(text).toMatch(/^Restart=always$/m);
    // It ends the server as the server's user, and no other of its name.
    expect(unit).toMatch(/^ExecStart=\S+ http:\/\/127\.0\.0\.1:8222 pkill -KILL -u nats -x nats-server$/m);
    expect(unit).toMatch(/^User=nats$/m);
    expect(unit).toMatch(/^Environment=NATS_WATCH_LOOKS=18$/m);
  });

  it.each([
    ['nats-server', 1.7],
    ['mecai-nats-watch', 1.3],
  ])('%s is exposed at %f of 10 at most', async (name, most) => {
    const { at } = await install();
    expect(exposure(join(at, `${name}.service`))).toBeLessThanOrEqual(most);
  });

  it('of a node pull in its watch; a leaf node has none', async () => {
    const outputsOf = async (leaf: boolean) =>
      (await natsConfig()).plan({ name: 'n', nodes, server, leaf }).outputs;
    const node = await outputsOf(false);
    expect(node['enable']).toEqual([
      ['chmod', '0755', '/usr/local/sbin/mecai-nats-watch'],
      ['systemctl', 'enable', 'mecai-nats-watch'],
    ]);
    const leaf = await outputsOf(true);
    expect([leaf['enable'], Object.keys(leaf['files'] as object)]).toEqual([[], ['/etc/nats/mecai.conf']]);
    expect(leaf['drop_in']).toBe(node['drop_in']);
  });
});

it('of a node: what is acknowledged is on disk a second later', async () => {
  const { outputs } = (await natsConfig()).plan({ name: 'nats-1', nodes, server });
  const { '/etc/nats/mecai.conf': config } = outputs['files'] as Record<string, string>;
  expect(config).toMatch(/^jetstream: \{[^}]*^ {2}sync_interval: "1s"$/m);
});

it('takes no server that loses acknowledged records', async () => {
  const planned = async (version: string) =>
    (await natsConfig()).plan({ name: 'nats-1', nodes, server: serverOf(version) });
  for (const version of ['2.9.10', '2.14.3'])
    expect((await planned(version)).refused).toEqual([expect.stringContaining('2.15 or later')]);
  for (const version of ['2.15.1', '2.20.0', '3.0.1'])
    expect((await planned(version)).outputs['install']).toEqual([
      '/usr/local/sbin/mecai-install',
      serverOf(version).url,
      '0'.repeat(64),
      'nats-server',
    ]);
});

it('restarts no two nodes at once, and none before an election is over', async () => {
  const cluster = await HclModule.read(join(infra, 'terraform/modules/nats'));
  const looks = [0, 1, 2].map((index) =>
    cluster.argument('config', 'watch_looks', {}, { 'count.index': index }),
  );
  expect(looks).toEqual([12, 16, 20]);
  const planned = (await natsConfig()).plan({ name: 'n', nodes, server, watch_looks: 5 });
  expect(planned.refused).toEqual([expect.stringMatching(/^watch_looks: 12 to 720/)]);
});

it('needs a majority that survives', async () => {
  const { refused } = (await natsConfig()).plan({ name: 'n', nodes: nodes.slice(1), server });
  expect(refused).toEqual([expect.stringMatching(/^nodes: three or more/)]);
});
