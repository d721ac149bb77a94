/** The configuration of NATS nodes and leaf nodes, as Terraform writes it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyPem, pem, rootCa, svid } from '@mecai/test/network';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { infra } from './testing/files.ts';
import { HclModule } from './testing/hcl-module.ts';

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
  writeFileSync(join(at, 'mecai.conf'), config!.replaceAll('/etc/nats/', `${at}/`));
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

it('needs a majority that survives', async () => {
  const { refused } = (await natsConfig()).plan({ name: 'n', nodes: nodes.slice(1), server });
  expect(refused).toEqual([expect.stringMatching(/^nodes: three or more/)]);
});
