/** The example as a whole, planned and applied by terraform itself, with stand-ins for the resources of clouds. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse } from '@cdktf/hcl2json';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infra } from './testing/files.ts';
import { stub } from './testing/stubbed.ts';

const program = ['terraform', 'tofu'].find((name) => spawnSync(name, ['version']).status === 0);
if (!program) console.warn('neither terraform nor tofu is here: the example is not planned');

describe.skipIf(!program)('the example', () => {
  let directory: string;
  let example: string;
  const terraform = (...args: string[]) => {
    const [verb, ...rest] = args;
    const env = { ...process.env, TF_IN_AUTOMATION: '1', TF_CLI_CONFIG_FILE: '/dev/null' };
    const { status, stdout, stderr } = spawnSync(program!, [verb!, '-no-color', ...rest], {
      cwd: example,
      encoding: 'utf8',
      env,
      maxBuffer: 1 << 26,
    });
    return { status, stdout, said: `${stdout.slice(-3_000)}${stderr}` };
  };
  /** With values of the example's own tests. */
  const planned = (verb: string, ...args: string[]) =>
    terraform(verb, '-input=false', '-var-file=values.tfvars.json', ...args);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mecai-planned-'));
    await stub(infra, directory);
    example = join(directory, 'terraform/live/example');
    const { status, said } = terraform('init', '-backend=false', '-input=false');
    expect([status, said]).toEqual([0, expect.anything()]);
    const test = 'tests/example.tftest.hcl';
    const { variables } = (await parse(test, readFileSync(join(example, test), 'utf8'))) as {
      variables: Record<string, unknown>[];
    };
    const { archives: _, ...values } = variables[0]!;
    const archive = { url: 'https://releases.example/mecai.tar.gz', sha256: '0'.repeat(64) };
    const names = ['probe-agent', 'coordinator', 'signer', 'analytics', 'campaigns'];
    const archives = Object.fromEntries(names.map((name) => [name, archive]));
    writeFileSync(join(example, 'values.tfvars.json'), JSON.stringify({ ...values, archives }));
  }, 60_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('passes its own tests', { timeout: 120_000 }, () => {
    const { status, stdout, said } = terraform('test');
    expect([status, said]).toEqual([0, expect.anything()]);
    expect(stdout).toContain('3 passed, 0 failed');
  });

  it('is applied, takes a second HSM, and has nothing to change then', { timeout: 180_000 }, () => {
    const first = planned('apply', '-auto-approve');
    expect([first.status, first.said]).toEqual([0, expect.anything()]);
    expect(JSON.parse(terraform('output', '-raw', 'registry').stdout)).toEqual({ version: 1, agents: [] });

    const second = planned('apply', '-auto-approve', '-var=hsms=2');
    expect([second.status, second.stdout]).toEqual([
      0,
      expect.stringContaining('1 added, 0 changed, 0 destroyed'),
    ]);
    const again = planned('plan', '-detailed-exitcode', '-var=hsms=2');
    expect([again.status, again.said]).toEqual([0, expect.anything()]);
  });

  it('gives no machine more user data than EC2 takes', { timeout: 60_000 }, () => {
    const { stdout } = terraform('show', '-json');
    const found = [...stdout.matchAll(/"user_data_base64":"([^"]+)"/g)].map(([, one]) => one!);
    expect(found.length).toBeGreaterThanOrEqual(14);
    const sizes = found.map((one) => Buffer.from(one, 'base64').length);
    console.log(`user data, octets compressed: ${Math.min(...sizes)} to ${Math.max(...sizes)} of 16384`);
    expect(Math.max(...sizes)).toBeLessThan(8_192);
    expect(gunzipSync(Buffer.from(found[0]!, 'base64')).toString()).toMatch(/^#cloud-config\n/);
  });

  it('refuses, with the reason, what is too large for a machine, and perspectives without geography', () => {
    const large = { database_ca: randomBytes(20_000).toString('base64') };
    writeFileSync(join(example, 'large.tfvars.json'), JSON.stringify(large));
    const refused = planned('plan', '-var-file=large.tfvars.json');
    expect([refused.status, refused.said]).toEqual([
      1,
      expect.stringMatching(/mecai-coordinator-1: EC2 takes 16,384 octets of\s+user data/),
    ]);
    const paris = {
      city: 'Paris',
      country: 'FR',
      latitude: 48.85,
      longitude: 2.35,
      rir: 'ripencc',
      asn: 3215,
    };
    const alone = planned('plan', `-var=host_places=${JSON.stringify({ paris })}`);
    expect([alone.status, alone.said]).toEqual([1, expect.stringMatching(/Nearer[^]*frankfurt[^]*paris/)]);
  });
});
