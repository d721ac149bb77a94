/** What can be said of the Terraform files without Terraform; and what Terraform says, where it is. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { format } from '@cdktf/hcl-tools';
import { parse } from '@cdktf/hcl2json';
import { signRegistry, updatedRegistry } from '@mecai/corroboration';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloudConfig, fileOf } from './testing/cloud-config.ts';
import { filesBelow, infra, repository } from './testing/files.ts';
import { HclModule } from './testing/hcl-module.ts';
import { complaints } from './testing/provider-schema.ts';
import { readConfig, type units } from './testing/unit.ts';

const files = filesBelow('infra/terraform', /\.(tf|tftest\.hcl)$/);
const read = (file: string) => readFileSync(join(repository, file), 'utf8');
const modules = [...new Set(files.filter((file) => file.endsWith('.tf')).map((file) => dirname(file)))];
const module = (name: string) => HclModule.read(join(infra, 'terraform/modules', name));

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-terraform-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('files', () => {
  it.each(files)('%s is HCL, formatted as terraform fmt does', async (file) => {
    await parse(basename(file), read(file));
    expect(await format(read(file))).toBe(read(file));
  });

  interface Block {
    readonly source?: string;
    readonly default?: unknown;
  }
  /** Names of one kind of block in a module, and what the first of each says. */
  async function blocks(where: string, kind: string): Promise<Map<string, Block>> {
    const found = new Map<string, Block>();
    for (const file of files.filter((one) => one.endsWith('.tf') && dirname(one) === where)) {
      const parsed = (await parse(basename(file), read(file))) as Record<string, Record<string, [Block]>>;
      for (const [name, [block]] of Object.entries(parsed[kind] ?? {})) found.set(name, block);
    }
    return found;
  }

  it.each(modules)(
    '%s refers to nothing that there is not, and gives others all that they need',
    async (where) => {
      const variables = await blocks(where, 'variable');
      const calls = await blocks(where, 'module');
      const text = files
        .filter((file) => file.endsWith('.tf') && dirname(file) === where)
        .map(read)
        .join('\n');
      for (const [, name = ''] of text.matchAll(/\bvar\.(\w+)/g))
        expect([...variables.keys()]).toContain(name);
      for (const name of variables.keys()) expect(text).toMatch(new RegExp(`\\bvar\\.${name}\\b`));
      for (const [name, { source = '', ...given }] of calls) {
        const called = await blocks(join(where, source), 'variable');
        const meta = ['count', 'for_each', 'providers', 'depends_on'];
        const args = Object.keys(given).filter((one) => !meta.includes(one));
        expect([...called.keys()]).toEqual(expect.arrayContaining(args));
        const needed = [...called].filter(([, block]) => !('default' in block)).map(([one]) => one);
        expect(args, `${where}: module ${name}`).toEqual(expect.arrayContaining(needed));
        const outputs = await blocks(join(where, source), 'output');
        for (const [, output = ''] of text.matchAll(
          new RegExp(`\\bmodule\\.${name}(?:\\[[^\\]]*\\])?\\.(\\w+)`, 'g'),
        )) {
          expect([...outputs.keys()], `${where}: module.${name}`).toContain(output);
        }
      }
    },
  );

  it.each(files.filter((file) => file.endsWith('.tf')))(
    '%s says nothing that a provider does not know',
    async (file) => {
      expect(await complaints(basename(file), read(file))).toEqual([]);
    },
  );

  it('would be found to be misspelt', async () => {
    const file = 'infra/terraform/modules/instance-aws/main.tf';
    const said = (from: string, to: string) => {
      expect(read(file)).toContain(from);
      return complaints('main.tf', read(file).replaceAll(from, to));
    };
    expect(await said('http_tokens', 'http_token')).toEqual([
      expect.stringMatching(/metadata_options: http_token is not known$/),
    ]);
    expect(await said('assume_role_policy', 'assume_policy')).toEqual([
      'aws_iam_role.own: assume_policy is not known',
      'aws_iam_role.own: assume_role_policy is missing',
    ]);
    expect(await said('aws_iam_role.own.id', 'aws_iam_role.own.identity')).toEqual([
      'aws_iam_role.own.identity: there is no such attribute',
    ]);
  });

  // Arguments that are secrets, and resources that make them.
  const values =
    /\b(password|auth_token|secret_string|secret_binary|secret_data|private_key)\b *=|"(random_\w+|tls_private_key|aws_ssm_parameter)"/;
  it('hold no secret: names of secrets only, and no value in the state', () => {
    for (const file of files) {
      expect([file, read(file)]).not.toEqual([file, expect.stringMatching(values)]);
    }
    for (const told of [
      'password = "x"',
      'auth_token= var.x',
      'secret_string = "x"',
      'resource "random_string" "x" {',
    ])
      expect(told).toMatch(values);
  });
});

describe('scripts for machines', () => {
  it.each(filesBelow('infra', /\.sh$/))('%s is a POSIX shell script that stops at errors', (file) => {
    execFileSync('sh', ['-n', join(repository, file)]);
    expect(read(file)).toMatch(/^#!\/bin\/sh\n(#.*\n)+set -eu\n/);
  });
});

const archive = { url: 'https://releases.example/a.tar.gz', sha256: '0'.repeat(64) };

const adminSays = (...args: string[]) =>
  execFileSync(process.execPath, [join(repository, 'admin/src/main.ts'), ...args], { encoding: 'utf8' });

/** As the process reads it on the machine. */
function configOf(name: (typeof units)[number], text: string): Promise<Record<string, unknown>> {
  const file = join(directory, `${name}.json`);
  writeFileSync(file, text);
  return readConfig(name, file, '/run/credentials/x');
}

describe('cloud-init', () => {
  it('of a perspective installs the archive by its hash, joins, starts, with a configuration the agent takes', async () => {
    const place = {
      city: 'Sydney',
      region: null,
      country: 'AU',
      latitude: -33.87,
      longitude: 151.21,
      rir: 'apnic',
      asn: 64496,
    };
    const { outputs, refused } = (await module('perspective-host')).plan({
      name: 'sydney',
      place,
      nats_servers: ['nats://leaf:4222', 'nats://nats-1:4222'],
      archive,
      coordinator_url: 'https://va.example',
      nats_ca: 'it\'s a "certificate"\n${not} a template',
    });
    expect(refused).toEqual([]);
    expect(outputs['perspective']).toEqual({ sydney: place });
    const config = cloudConfig(outputs['user_data']);
    expect(config.runcmd).toEqual([
      ['rm', '-rf', '/var/lib/mecai-first-boot'],
      ['systemctl', 'daemon-reload'],
      ['systemctl', 'enable', 'mecai-first-boot'],
      ['systemctl', 'start', '--no-block', 'mecai-first-boot'],
    ]);
    expect(fileOf(config, '/usr/local/sbin/mecai-first-boot').match(/^step .*$/gm)).toEqual([
      expect.stringMatching(/^step 1 'sh' .* 'chrony' 'curl' 'jq' 'libatomic1' 'libbpf1'$/),
      `step 2 '/usr/local/sbin/mecai-install' '${archive.url}' '${archive.sha256}'`,
      "step 3 '/usr/local/sbin/mecai-fetch-secret' 'join-token' '/etc/mecai/secrets/join-token'",
      "step 4 'systemctl' 'enable' 'mecai-probe-agent-join'",
      "step 5 'systemctl' 'start' '--no-block' 'mecai-probe-agent-join'",
      "step 6 'systemctl' 'daemon-reload'",
      "step 7 'systemctl' 'enable' 'mecai-probe-agent'",
      "step 8 'systemctl' 'restart' 'mecai-probe-agent'",
    ]);
    expect(fileOf(config, '/etc/mecai/nats-ca.pem')).toBe('it\'s a "certificate"\n${not} a template');
    const agent = await configOf('probe-agent', fileOf(config, '/etc/mecai/probe-agent.json'));
    expect(agent).toMatchObject({
      name: 'sydney',
      location: { asn: 64496, rir: 'apnic' },
      keyFile: '/run/credentials/x/observation-key',
      nats: { ca: '/etc/mecai/nats-ca.pem' },
      join: { url: 'https://va.example', tokenFile: '/etc/mecai/secrets/join-token' },
    });
  });

  it('refuses a private key among the files, and an archive without a hash', async () => {
    const plan = async (more: object) =>
      (await module('machine')).plan({ process: 'signer', archive, secret_store: 'aws', config: {}, ...more })
        .refused;
    expect(await plan({})).toEqual([]);
    expect(await plan({ files: { '/x': '-----BEGIN PRIVATE KEY-----' } })).toEqual([
      expect.stringMatching(/private key/),
    ]);
    expect(await plan({ archive: { ...archive, sha256: '' } })).toEqual([expect.stringMatching(/^archive/)]);
    expect(await plan({ archive: { ...archive, url: 'http://releases.example/a' } })).toEqual([
      expect.stringMatching(/^archive/),
    ]);
  });

  const names = { 'count.index': 0 };
  const common = { archive, registry: '{}', vpc_id: 'vpc', subnet_ids: ['a', 'b'] };

  const coordinator = async (machines: number) => {
    const config = (await module('coordinator')).argument(
      'machine',
      'config',
      {
        ...common,
        machines,
        public_url: 'https://va.example',
        operators: ['spiffe://mecai.example/operator'],
        operator_cidrs: ['10.20.0.0/16'],
        database_url: 'postgres://mecai@db.example:5432/mecai?sslmode=verify-full',
        database_ca: '-----BEGIN CERTIFICATE-----',
        nats_servers: ['nats://nats-1:4222'],
        signers: [1, 2].map((i) => ({
          address: `10.0.0.${i}:7443`,
          id: `spiffe://mecai.example/signer-${i}`,
        })),
        telemetry: {},
      },
      names,
    );
    return configOf('coordinator', JSON.stringify(config));
  };

  it('of a coordinator has a configuration that it takes', async () => {
    expect(await coordinator(2)).toMatchObject({
      name: 'coordinator-1',
      signers: [{ address: '10.0.0.1:7443' }, { address: '10.0.0.2:7443' }],
      nats: { streamReplicas: 3 },
      database: { passwordFile: '/run/credentials/x/database-password' },
      operators: { listen: '0.0.0.0:7444', identities: ['spiffe://mecai.example/operator'] },
    });
  });

  it('of several coordinators gives each its share of the limits, which are those of one that is alone', async () => {
    const alone = await configOf(
      'coordinator',
      readFileSync(join(infra, 'examples/coordinator.json'), 'utf8'),
    );
    expect((await coordinator(1))['limits']).toEqual(alone['limits']);
    expect((await coordinator(3))['limits']).toMatchObject({
      authenticated: { perMinute: 200, burst: 67 },
      target: { perMinute: 40, burst: 14 },
      global: { perMinute: 20_000, burst: 667 },
      inFlight: 2_000,
    });
  });

  it('of a sink has a configuration that it takes: one consumer of all, tokens by their hashes', async () => {
    const given = {
      ...common,
      nats_servers: ['nats://nats-1:4222'],
      clickhouse_url: 'https://clickhouse-1.example:8443',
      clickhouse_ca: 'the CA',
      api_tokens: [{ name: 'operator', sha256: '0'.repeat(64), scopes: ['read', 'sql', 'operate'] }],
    };
    const analytics = await module('analytics');
    const [first, second] = [0, 1].map((index) =>
      analytics.argument('machine', 'config', given, { 'count.index': index }),
    );
    expect(first).toEqual(second);
    const config = await configOf('analytics', JSON.stringify(first));
    expect(config).toMatchObject({
      nats: { name: 'analytics', seedFile: '/run/credentials/x/nats-seed' },
      store: { kind: 'server', ca: '/etc/mecai/clickhouse-ca.pem', cluster: { name: 'mecai' } },
      api: { tokens: '/etc/mecai/tokens.json' },
    });
    const files = analytics.argument('machine', 'files', { ...given, nats_ca: 'pem' }, names);
    expect(files).toHaveProperty(['/etc/mecai/clickhouse-ca.pem'], 'the CA');
    // As `mecai-admin token` prints entries, in the file that analytics reads.
    const [, entry = ''] = adminSays('token', '--name', 'operator', '--scopes', 'read,sql,operate').split(
      '\n',
    );
    const tokens = JSON.parse((files as Record<string, string>)['/etc/mecai/tokens.json']!) as object[];
    expect(tokens.map((one) => Object.keys(one))).toEqual([Object.keys(JSON.parse(entry) as object)]);
    expect(
      analytics.plan({ ...given, api_tokens: [{ name: 'x', sha256: 'the token', scopes: [] }] }).refused,
    ).toContainEqual(expect.stringMatching(/^api_tokens: .* and not the token/));
  });

  it('of a sink begins with the signed registry, or with none, and takes no other', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = publicKey.export({ format: 'pem', type: 'spki' });
    const text = '{ "version": 2, "agents": [] }\n';
    const signed = (signature: string, more: object = {}) => ({
      ...common,
      nats_servers: ['nats://nats-1:4222'],
      nats_ca: 'pem',
      clickhouse_url: 'https://clickhouse-1.example:8443',
      clickhouse_ca: 'the CA',
      api_tokens: [],
      registry_key: key,
      signed_registry: { registry: text, signature, ...more },
    });
    // As `mecai-admin agents … --copy` writes it.
    const signature = `${Buffer.from(signRegistry(Buffer.from(text), privateKey)).toString('base64')}\n`;
    const analytics = await module('analytics');
    const config = analytics.argument('machine', 'config', signed(signature), names);
    const taken = await configOf('analytics', JSON.stringify(config));
    const files = analytics.argument('machine', 'files', signed(signature), names) as Record<string, string>;
    const [keyFile = ''] = taken['registryKeys'] as string[];
    const file = taken['registry'] as string;
    const update = {
      registry: Buffer.from(files[file]!),
      signature: Buffer.from(files[`${file}.sig`]!, 'base64'),
    };
    expect(updatedRegistry(update, [createPublicKey(files[keyFile]!)]).version).toBe(2);
    const before = { ...signed(signature), signed_registry: null };
    const none = analytics.argument('machine', 'files', before, names) as Record<string, string>;
    expect(JSON.parse(none[file]!)).toEqual({ version: 1, agents: [] });
    expect([none[`${file}.sig`], none[keyFile]]).toEqual([undefined, key]);

    // One machine is refused anyway: what is not has outputs of resources.
    const refused = (given: ReturnType<typeof signed>) => analytics.plan({ ...given, machines: 1 }).refused;
    const alone = expect.stringMatching(/^machines/);
    expect(refused(signed(signature))).toEqual([alone]);
    for (const wrong of [signed('no signature'), signed(signature, { registry: '' })])
      expect(refused(wrong)).toEqual([alone, expect.stringMatching(/^signed_registry: .*--copy/)]);
  });

  it('of campaigns has a configuration that they take', async () => {
    const example = await HclModule.read(join(infra, 'terraform/live/example'));
    const config = example.argument(
      'campaigns_machine',
      'config',
      {},
      {
        'module.nats': { servers: ['nats://nats-1:4222'] },
        'module.analytics': { url: 'http://analytics.example:7481' },
      },
    );
    expect(await configOf('campaigns', JSON.stringify(config))).toMatchObject({
      analytics: { url: 'http://analytics.example:7481', tokenFile: '/run/credentials/x/analytics-token' },
    });
  });

  it('of a signer has a configuration that it takes, with the quorum that was judged', async () => {
    const config = (await module('signer')).argument(
      'machine',
      'config',
      {
        ...common,
        coordinators: ['spiffe://mecai.example/coordinator-1'],
        operators: ['spiffe://mecai.example/operator'],
        quorum: { perspectives: 7, minRegions: 3, minNetworks: 2, minDistanceKm: 600 },
      },
      names,
    );
    expect(await configOf('signer', JSON.stringify(config))).toMatchObject({
      quorum: { perspectives: 7, minRegions: 3, minDistanceKm: 600 },
      hsm: { token: 'hsm1', pinFile: '/run/credentials/x/hsm-pin' },
    });
  });
});

it('terraform or tofu, where one is, agrees: fmt, and validate and test of the modules without providers', () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(repository, 'scripts/terraform.mjs'), '--pure'],
    {
      encoding: 'utf8',
    },
  );
  console.log(stdout.trim());
  expect(status).toBe(0);
});
