/** `mecai-admin agents`: who is a perspective. Each change is a registry of its own, signed by the operator. */
import { type KeyObject, createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CorroborationError, parseRegistry, signRegistry } from '@mecai/corroboration';
import type { ListContradictionsResponse } from '@mecai/proto/coordinator';
import type { GetRegistryResponse, UpdateRegistryResponse } from '@mecai/proto/signer';
import { loadConfig } from '@mecai/runtime';
import type { Command } from './admin.ts';
import { adminConfig } from './config.ts';
import { printable } from './certificate-words.ts';
import { type Coordinator, ask, withCoordinator } from './coordinator.ts';
import { AdminError } from './error.ts';
import {
  type Joining,
  enrolled,
  invite,
  joining,
  joiningJson,
  joiningLine,
  withdraw,
} from './invitations.ts';
import { natsUsers } from './nats-users.ts';
import { type Signer, connectSigners, everySigner } from './signers.ts';

const usage = `usage: mecai-admin agents <command> --config <file.json> [--json]

  list                                      the registry in force, signers that have another one, and agents that join
  invite <file.json>                        an agent may join: an entry of the registry without its keys. Prints the
                                            token once, for /etc/mecai/secrets/join-token on its machine
       [--valid <hours>]                    how long; 24 by default
       [--new-keys]                         of an agent that is in the registry
  approve <name>                            the agent that answered, into the registry
       [--agent-key <hex>]                  only with this key, as its own log has it
  withdraw <name>                           its invitation counts no more
  add <file.json>                           one entry, as the registry file has it
  remove <name>                             its observations count no more when this returns
  replace <file.json>                       the whole registry; its version has to be above that in force
  nats-users                                the agents in force as users of nats-server, for its configuration
       --others <file.json>                 and these: [{ "name", "role": "coordinator" …, "natsKey" }],
                                            of leaf nodes { "name", "role": "leaf", "password": bcrypt, "agents" }
       [--out <file>]
       --key <file.pem>                     registry key of the operator, P-256 (invite and all that changes the registry)
       --reason <text> --author <name>      (all that changes the registry)
       [--copy <file>]                      the new registry also goes there, its signature to <file>.sig: analytics
                                            reads both

The signers take an update only with a signature by one of their \`registryKeys\`; each tells its coordinators.`;

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  key: { type: 'string' },
  reason: { type: 'string' },
  author: { type: 'string' },
  out: { type: 'string' },
  others: { type: 'string' },
  valid: { type: 'string' },
  'new-keys': { type: 'boolean' },
  'agent-key': { type: 'string' },
  copy: { type: 'string' },
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });
type Values = ReturnType<typeof parse>['values'];

interface RegistryFile {
  readonly version: number;
  readonly agents: readonly { readonly name: string }[];
}

/** What an operator gives, and what a command needs. */
interface Given {
  readonly signers: readonly Signer[];
  /** A file or a name. */
  readonly subject: string;
  readonly values: Values;
  readonly coordinator: (act: (coordinator: Coordinator) => Promise<void>) => Promise<void>;
  readonly now: () => number;
}

const withSubject: Readonly<Record<string, (given: Given) => Promise<void>>> = {
  invite: inviteAgent,
  approve: ({ coordinator, signers, subject, values }) =>
    coordinator(async ({ agents: service }) => {
      const key = readKey(values);
      const entry = (await enrolled(service, subject, key, values['agent-key'] ?? '')) as Entry;
      await change(signers, withEntry(await inForce(signers), entry), values);
    }),
  withdraw: ({ coordinator, subject }) =>
    coordinator(async ({ agents: service }) => {
      await withdraw(service, subject);
      console.log(`${subject} is not invited any more`);
    }),
  add: async ({ signers, subject, values }) =>
    change(signers, withEntry(await inForce(signers), readJson(subject) as Entry), values),
  async remove({ signers, subject, values }) {
    const { version, agents: known, old } = await inForce(signers);
    // A signer that was away may have it still: then once more, for all.
    if (![known, ...old].flat().some(({ name }) => name === subject))
      throw misused(`${subject} is not in the registry`);
    const others = known.filter(({ name }) => name !== subject);
    await change(signers, written({ version: version + 1, agents: others }), values);
  },
  replace: ({ signers, subject, values }) => change(signers, readFileSync(subject, 'utf8'), values),
};

export const agents: Command = {
  summary: 'which perspectives count: list, invite, approve, add, remove',
  usage,
  async run(args, environment, now) {
    const { values, positionals } = parse(args);
    const [verb = '', subject, ...rest] = positionals;
    const action = Object.hasOwn(withSubject, verb) ? withSubject[verb] : undefined;
    if (rest.length > 0 || (action !== undefined) !== (subject !== undefined)) {
      throw misused('agents list, nats-users, or one of the others with a file or a name');
    }
    if (values.config === undefined) throw misused('--config <file.json> is missing');
    const { config } = values;
    const signers = connectSigners(config, environment);
    const coordinator: Given['coordinator'] = (act) => withCoordinator(config, environment, act);
    try {
      if (action) await action({ signers, subject: subject!, values, coordinator, now });
      else if (verb === 'nats-users') await users(signers, values);
      else if (verb !== 'list') throw misused(verb === '' ? 'which command?' : `no command ${verb}`);
      else await list(signers, await seen(config, environment), values);
    } finally {
      for (const { client } of signers) client.close();
    }
  },
};

interface Seen {
  readonly joins: readonly Joining[];
  /** By agent. */
  readonly contradictions: ReadonlyMap<string, readonly string[]>;
}

/** What the coordinator knows; one that is away is no reason not to see the registry. */
async function seen(config: string, environment: NodeJS.ProcessEnv): Promise<Seen> {
  let found: Seen = { joins: [], contradictions: new Map() };
  if (!loadConfig(adminConfig, config, environment).coordinator) return found;
  try {
    await withCoordinator(config, environment, async ({ agents: service }) => {
      const { agents: doubtful } = await ask<ListContradictionsResponse>((...within) =>
        service.listContradictions({}, ...within),
      );
      found = {
        joins: await joining(service),
        contradictions: new Map(doubtful.map(({ agent, contradictions }) => [agent, contradictions])),
      };
    });
  } catch (error) {
    console.error(`who joins, and what contradicts places, is not known: ${(error as Error).message}`);
  }
  return found;
}

async function inviteAgent({ coordinator, signers, subject, values, now }: Given): Promise<void> {
  const { valid = '24' } = values;
  if (!/^[1-9]\d{0,3}$/.test(valid)) throw misused('--valid: 1 to 9999 hours');
  const expires = now() + Number(valid) * 3_600_000;
  const key = readKey(values);
  const entry = readJson(subject) as Entry;
  const known = (await inForce(signers)).agents.some(({ name }) => name === entry.name);
  if (known && values['new-keys'] !== true) {
    throw misused(`${entry.name} is in the registry; --new-keys invites it to join again, with others`);
  }
  await coordinator(async ({ agents: service }) => {
    const token = await invite(service, entry, expires, key);
    // Nothing else goes there, so that it can be piped to where secrets are kept.
    console.log(token);
    console.error(`${entry.name} is invited until ${new Date(expires).toISOString()}; this token works once`);
  });
}

async function change(signers: readonly Signer[], text: string, values: Values): Promise<void> {
  const { reason = '', author = '', json = false, copy } = values;
  if (reason === '' || author === '') throw misused('--reason and --author are needed');
  const privateKey = readKey(values);
  const registry = Buffer.from(text);
  read(registry);
  const signature = Buffer.from(signRegistry(registry, privateKey));
  const answers = await everySigner<UpdateRegistryResponse>(signers, (client, within) =>
    client.updateRegistry({ registry, signature, reason, author }, ...within),
  );
  const done = answers.flatMap((one) => ('response' in one ? [one.response] : []));
  const failed = answers.flatMap((one) => ('error' in one ? [`${one.address}: ${one.error.message}`] : []));
  const version = done[0]?.version;
  if (copy !== undefined && version !== undefined) {
    writeFileSync(`${copy}.sig`, `${signature.toString('base64')}\n`);
    writeFileSync(copy, registry);
  }
  const warnings = [...new Set(done.flatMap((one) => one.warnings))];
  if (json) console.log(JSON.stringify({ version, signers: done.length, warnings }));
  else if (version !== undefined) {
    console.log(`registry ${version} is in force at ${done.length} of ${answers.length} signers`);
    for (const warning of warnings) console.log(`warning: ${warning}`);
  }
  if (failed.length > 0)
    throw new AdminError('incomplete', `not everywhere, give the command again: ${failed.join('; ')}`);
}

type Entry = RegistryFile['agents'][number];

/** The next registry, with this entry in it once. */
const withEntry = ({ version, agents: known }: RegistryFile, entry: Entry): string =>
  written({ version: version + 1, agents: [...known.filter(({ name }) => name !== entry.name), entry] });

function readKey({ key }: Values): KeyObject {
  if (key === undefined) throw misused('--key <file.pem> is missing');
  const privateKey = createPrivateKey(readFileSync(key));
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw misused('--key: not P-256');
  return privateKey;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw misused(`${file}: ${cause.message}`);
    throw cause;
  }
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
 * The newest of the signers that answer, and the agents of those that have an older one. A signer that is away keeps nobody
 * from removing an agent; which one it is is said on standard error.
 *
 * @throws AdminError `incomplete` when none answers
 */
async function inForce(
  signers: readonly Signer[],
): Promise<RegistryFile & { old: readonly RegistryFile['agents'][] }> {
  const { all, newest, away } = await everyRegistry(signers);
  for (const one of away) console.error(`not asked, since it is away: ${one}`);
  const old = all.filter(({ file }) => file.version < newest.file.version);
  return { ...newest.file, old: old.map(({ file }) => file.agents) };
}

/** @throws AdminError `incomplete` when no signer answers */
async function everyRegistry(signers: readonly Signer[]) {
  const answers = await everySigner<GetRegistryResponse>(signers, (client, within) =>
    client.getRegistry({}, ...within),
  );
  const away = answers.flatMap((one) => ('error' in one ? [`${one.address}: ${one.error.message}`] : []));
  const all = answers.flatMap((one) => {
    if ('error' in one) return [];
    const { registry } = one.response;
    return [{ address: one.address, registry, file: read(registry) }];
  });
  const [first, ...others] = all;
  if (!first) throw new AdminError('incomplete', `no signer answers: ${away.join('; ')}`);
  const newest = others.reduce((a, b) => (b.file.version > a.file.version ? b : a), first);
  return { all, newest, away };
}

async function list(
  signers: readonly Signer[],
  { joins, contradictions }: Seen,
  { json = false }: Values,
): Promise<void> {
  const { all, newest, away } = await everyRegistry(signers);
  if (json) {
    console.log(
      JSON.stringify({
        ...newest.file,
        behind: behind(all, newest.file.version),
        away,
        joining: joins.map(joiningJson),
        contradictions: Object.fromEntries(contradictions),
      }),
    );
    return;
  }
  const { version, agents: known } = parseRegistry(newest.registry.toString());
  console.log(`registry ${version}, ${known.size} agents`);
  for (const { name, city, country, rir, asn, keyId } of known.values()) {
    console.log(
      `  ${name.padEnd(20)} ${`${city} ${country}`.padEnd(24)} ${rir.padEnd(8)} AS${asn}  key ${keyId.slice(0, 16)}`,
    );
    for (const one of contradictions.get(name) ?? []) console.log(`    ! ${printable(one)}`);
  }
  if (joins.length > 0) console.log('joining:');
  for (const one of joins) console.log(joiningLine(one));
  for (const { address, version: old } of behind(all, version))
    console.log(`  ${address} has registry ${old}`);
  for (const one of away) console.log(`  away: ${one}`);
}

const behind = (all: readonly { address: string; file: RegistryFile }[], newest: number) =>
  all.flatMap(({ address, file: { version } }) => (version < newest ? [{ address, version }] : []));

async function users(signers: readonly Signer[], { others, out }: Values): Promise<void> {
  if (others === undefined) throw misused('--others <file.json> is missing');
  const text = natsUsers(await inForce(signers), readFileSync(others, 'utf8'));
  if (out === undefined) process.stdout.write(text);
  else writeFileSync(out, text);
}

const misused = (why: string) => new AdminError('wrong-usage', why);
