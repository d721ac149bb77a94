/** A typo in a configuration: each process says in which file and line, and what was expected. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { infra, repository } from './testing/files.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-typo-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Process, its program and what stands before `--config`; a member of the example, and what is made of it. */
const cases: readonly [string, string, readonly string[], RegExp, string, string][] = [
  [
    'coordinator',
    'coordinator',
    [],
    /"admin": .*/,
    '"admin": 9101,',
    'admin: Invalid input: expected string, received number',
  ],
  [
    'probe-agent',
    'probe-agent',
    [],
    /"asn": .*/,
    '"asn": "64496"',
    'location.asn: Invalid input: expected number, received string',
  ],
  [
    'probe-agent',
    'probe-agent',
    ['join'],
    /"admin": .*/,
    '"adminn": "0.0.0.0:9102",',
    '(top): Unrecognized key: "adminn"',
  ],
  ['signer', 'signer', ['serve'], /"pinFile": .*/, '"pinfile": "x"', 'hsm: Unrecognized key: "pinfile"'],
  ['signer', 'signer', ['keygen'], /"listen": .*/, '"listen": "everywhere",', 'listen: expected host:port'],
  [
    'analytics',
    'analytics',
    [],
    /"kind": .*/,
    '"kind": "disk",',
    "store.kind: Invalid discriminator value. Expected 'embedded' | 'server'",
  ],
  [
    'campaigns',
    'analytics',
    [],
    /"admin": .*/,
    '"admin": [],',
    'admin: Invalid input: expected string, received array',
  ],
  [
    'admin',
    'admin',
    ['agents', 'list'],
    /"ca": .*/,
    '"ca": false',
    'signers.0.tls.ca: Invalid input: expected string, received boolean',
  ],
];

it.each(cases)(
  '%s',
  (name, workspace, words, member, typo, expected) => {
    const example = readFileSync(join(infra, 'examples', `${name}.json`), 'utf8');
    const text = example.replace(member, typo);
    expect(text).not.toBe(example);
    const line = text.slice(0, text.indexOf(typo)).split('\n').length;
    const file = join(directory, `${name}.json`);
    writeFileSync(file, text);
    const main = join(repository, workspace, name === 'campaigns' ? 'src/campaigns/main.ts' : 'src/main.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words, '--config', file], {
      encoding: 'utf8',
    });
    const said = (stdout + stderr).replaceAll('\\n', '\n').replaceAll('\\"', '"');
    expect(said).toContain(`${file}:\n`);
    expect(said).toContain(`  ${expected}, in line ${line}`);
    expect(status).toBe(2);
  },
  60_000,
);
