/** `mecai-admin agents`: who is a perspective. Each change is a registry of its own, signed by the operator. */
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CorroborationError, parseRegistry, signRegistry } from '@mecai/corroboration';
import type { GetRegistryResponse, UpdateRegistryResponse } from '@mecai/proto/signer';
import type { Command } from './admin.ts';
import { AdminError } from './error.ts';
import { natsUsers } from './nats-users.ts';
import { type Signer, connectSigners, everySigner } from './signers.ts';

const usage = `usage: mecai-admin agents <command> --config <file.json> [--json]

  list                                      the registry in force, and signers that have another one
  add <file.json>                           one entry, as \`probe-agent join\` and the registry file have it
  remove <name>                             its observations count no more when this returns
  replace <file.json>                       the whole registry; its version has to be above that in force
  nats-users                                the agents in force as users of nats-server, for its configuration
       --others <file.json>                 and these: [{ "name", "role": "coordinator" …, "natsKey" }]
       [--out <file>]
       --key <file.pem>                     registry key of the operator, P-256 (add, remove, replace)
       --reason <text> --author <name>

The signers take an update only with a signature by one of their \`registryKeys\`; each tells its coordinators.`;

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  key: { type: 'string' },
  reason: { type: 'string' },
  author: { type: 'string' },
  out: { type: 'string' },
  others: { type: 'string' },
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });
type Values = ReturnType<typeof parse>['values'];

interface RegistryFile {
  readonly version: number;
  readonly agents: readonly { readonly name: string }[];
}

export const agents: Command = {
  usage,
  async run(args, environment) {
    const { values, positionals } = parse(args);
    const [verb, subject, ...rest] = positionals;
    const takesSubject = verb === 'add' || verb === 'remove' || verb === 'replace';
    if (rest.length > 0 || takesSubject !== (subject !== undefined)) {
      throw misused('agents list, nats-users, add <file>, remove <name> or replace <file>');
    }
    if (values.config === undefined) throw misused('--config <file.json> is missing');
    const signers = connectSigners(values.config, environment);
    try {
      if (verb === 'list') await list(signers, values);
      else if (verb === 'nats-users') await users(signers, values);
      else if (takesSubject) await change(signers, verb, subject!, values);
      else throw misused(verb === undefined ? 'which command?' : `no command ${verb}`);
    } finally {
      for (const { client } of signers) client.close();
    }
  },
};

async function change(
  signers: readonly Signer[],
  verb: string,
  subject: string,
  values: Values,
): Promise<void> {
  const { key, reason = '', author = '', json = false } = values;
  if (reason === '' || author === '') throw misused('--reason and --author are needed');
  if (key === undefined) throw misused('--key <file.pem> is missing');
  const privateKey = createPrivateKey(readFileSync(key));
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw misused('--key: not P-256');
  const registry = Buffer.from(
    changed(verb, subject, verb === 'replace' ? undefined : await inForce(signers)),
  );
  read(registry);
  const signature = Buffer.from(signRegistry(registry, privateKey));
  const answers = await everySigner<UpdateRegistryResponse>(signers, (client, within) =>
    client.updateRegistry({ registry, signature, reason, author }, ...within),
  );
  const done = answers.flatMap((one) => ('response' in one ? [one.response] : []));
  const failed = answers.flatMap((one) => ('error' in one ? [`${one.address}: ${one.error.message}`] : []));
  const version = done[0]?.version;
  const warnings = [...new Set(done.flatMap((one) => one.warnings))];
  if (json) console.log(JSON.stringify({ version, signers: done.length, warnings }));
  else if (version !== undefined) {
    console.log(`registry ${version} is in force at ${done.length} of ${answers.length} signers`);
    for (const warning of warnings) console.log(`warning: ${warning}`);
  }
  if (failed.length > 0)
    throw new AdminError('incomplete', `not everywhere, give the command again: ${failed.join('; ')}`);
}

function changed(verb: string, subject: string, current: Uint8Array | undefined): string {
  if (current === undefined) return readFileSync(subject, 'utf8');
  const { version, agents: known } = read(current);
  if (verb === 'remove') {
    if (!known.some(({ name }) => name === subject)) throw misused(`${subject} is not in the registry`);
    return written({ version: version + 1, agents: known.filter(({ name }) => name !== subject) });
  }
  const entry = JSON.parse(readFileSync(subject, 'utf8')) as { readonly name: string };
  return written({
    version: version + 1,
    agents: [...known.filter(({ name }) => name !== entry.name), entry],
  });
}

const written = (file: RegistryFile) => `${JSON.stringify(file, undefined, 2)}\n`;

/** @throws AdminError for what is no registry */
function read(bytes: Uint8Array): RegistryFile {
  const text = Buffer.from(bytes).toString();
  try {
    parseRegistry(text);
  } catch (error) {
    if (!(error instanceof CorroborationError)) throw error;
    throw misused(error.message);
  }
  return JSON.parse(text) as RegistryFile;
}

/**
 * The newest of all signers': one that was away for a change comes up with an older one.
 *
 * @throws AdminError `incomplete` unless every signer answers
 */
async function inForce(signers: readonly Signer[]): Promise<Uint8Array> {
  return (await everyRegistry(signers)).reduce((a, b) => (b.file.version > a.file.version ? b : a)).registry;
}

async function everyRegistry(signers: readonly Signer[]) {
  const answers = await everySigner<GetRegistryResponse>(signers, (client, within) =>
    client.getRegistry({}, ...within),
  );
  return answers.map((one) => {
    if ('error' in one) throw new AdminError('incomplete', `${one.address}: ${one.error.message}`);
    const { registry } = one.response;
    return { address: one.address, registry, file: read(registry) };
  });
}

async function list(signers: readonly Signer[], { json = false }: Values): Promise<void> {
  const all = await everyRegistry(signers);
  const newest = all.reduce((a, b) => (b.file.version > a.file.version ? b : a));
  if (json) {
    console.log(JSON.stringify({ ...newest.file, behind: behind(all, newest.file.version) }));
    return;
  }
  const { version, agents: known } = parseRegistry(newest.registry.toString());
  console.log(`registry ${version}, ${known.size} agents`);
  for (const { name, city, country, rir, asn, keyId } of known.values()) {
    console.log(
      `  ${name.padEnd(20)} ${`${city} ${country}`.padEnd(24)} ${rir.padEnd(8)} AS${asn}  key ${keyId.slice(0, 16)}`,
    );
  }
  for (const { address, version: old } of behind(all, version))
    console.log(`  ${address} has registry ${old}`);
}

const behind = (all: readonly { address: string; file: RegistryFile }[], newest: number) =>
  all.flatMap(({ address, file: { version } }) => (version < newest ? [{ address, version }] : []));

async function users(signers: readonly Signer[], { others, out }: Values): Promise<void> {
  if (others === undefined) throw misused('--others <file.json> is missing');
  const text = natsUsers(read(await inForce(signers)), readFileSync(others, 'utf8'));
  if (out === undefined) process.stdout.write(text);
  else writeFileSync(out, text);
}

const misused = (why: string) => new AdminError('wrong-usage', why);
