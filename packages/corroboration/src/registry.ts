import { type KeyObject, createHash, createPublicKey } from 'node:crypto';
import { isName } from '@mecai/proto';
import { CorroborationError } from './error.ts';
import { type Perspective, type Rir, rirs } from './quorum.ts';

/** Where an agent is said to be, and in whose network. */
export interface Declared extends Omit<Perspective, 'keyId'> {
  readonly city: string;
  /** ISO 3166-2 subdivision; empty where the registry has none. */
  readonly region: string;
}

export interface Agent extends Declared, Perspective {
  readonly publicKey: KeyObject;
  /** Public nkey of its NATS user; where users are kept elsewhere, none. */
  readonly natsKey?: string;
}

export interface Registry {
  /** Rises with every change; vouchers name it. */
  readonly version: number;
  readonly agents: ReadonlyMap<string, Agent>;
}

/**
 * Registry file: `{"version": 1, "agents": [{"name", "publicKey", "city", "country", "latitude", "longitude",
 * "rir", "asn"}]}`, and `region` (ISO 3166-2) where it is known. `publicKey` is a P-256
 * SubjectPublicKeyInfo, DER in base64; `natsKey`, where it is kept here, the public nkey of the agent's NATS user.
 *
 * @throws CorroborationError `bad-registry`, naming the entry and the member
 */
export function parseRegistry(text: string): Registry {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw bad('not JSON', cause);
  }
  const root = record(json, 'registry', ['version', 'agents']);
  const version = root['version'];
  if (!Number.isSafeInteger(version) || (version as number) < 1) throw bad('version: a positive integer');
  if (!Array.isArray(root['agents'])) throw bad('agents: a list');
  const agents = new Map<string, Agent>();
  const keys = new Set<string>();
  for (const [index, entry] of root['agents'].entries()) {
    const agent = parseAgent(entry, `agents[${index}]`);
    if (agents.has(agent.name)) throw bad(`agents[${index}]: name ${agent.name} twice`);
    agents.set(agent.name, agent);
    for (const key of [agent.keyId, ...(agent.natsKey === undefined ? [] : [agent.natsKey])]) {
      if (keys.has(key)) throw bad(`agents[${index}]: key of ${agent.name} twice`);
      keys.add(key);
    }
  }
  return { version: version as number, agents };
}

const declared = ['name', 'city', 'region', 'country', 'latitude', 'longitude', 'rir', 'asn'] as const;

/**
 * An entry as the registry has it, but for its keys.
 *
 * @param where what an error calls it
 * @throws CorroborationError `bad-registry`
 */
export function parseDeclared(value: unknown, where: string): Declared {
  const { text, number } = entryOf(value, where, declared);
  const asn = number('asn', 1, 0xffff_ffff);
  if (!Number.isInteger(asn)) throw bad(`${where}.asn: an integer`);
  return {
    name: text('name', isName, 'lower-case letters, digits and hyphens'),
    city: text('city', (found) => found.length > 0 && found.length <= 64, 'a city name'),
    region:
      (value as { region?: unknown }).region === undefined
        ? ''
        : text('region', (found) => /^[A-Z]{2}-[A-Z0-9]{1,3}$/.test(found), 'ISO 3166-2'),
    country: text('country', (found) => /^[A-Z]{2}$/.test(found), 'ISO 3166-1 alpha-2'),
    latitude: number('latitude', -90, 90),
    longitude: number('longitude', -180, 180),
    rir: text(
      'rir',
      (found) => (rirs as readonly string[]).includes(found),
      `one of ${rirs.join(', ')}`,
    ) as Rir,
    asn,
  };
}

/**
 * An entry of the registry.
 *
 * @param where what an error calls it
 * @throws CorroborationError `bad-registry`
 */
export function parseAgent(value: unknown, where: string): Agent {
  const { text } = entryOf(value, where, [...declared, 'publicKey', 'natsKey']);
  const { publicKey: _, natsKey, ...place } = value as Record<string, unknown>;
  const spki = Buffer.from(
    text('publicKey', (found) => /^[A-Za-z0-9+/]+={0,2}$/.test(found), 'SPKI in base64'),
    'base64',
  );
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw bad(`${where}.publicKey: not a public key`, cause);
  }
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw bad(`${where}.publicKey: not P-256`);
  return {
    ...parseDeclared(place, where),
    keyId: createHash('sha256')
      .update(publicKey.export({ format: 'der', type: 'spki' }))
      .digest('hex'),
    publicKey,
    ...(natsKey !== undefined && {
      natsKey: text('natsKey', (found) => /^U[A-Z2-7]{55}$/.test(found), 'a public nkey of a user'),
    }),
  };
}

function entryOf(value: unknown, where: string, members: readonly string[]) {
  const entry = record(value, where, members);
  const text = (member: string, valid: (text: string) => boolean, expected: string): string => {
    const found = entry[member];
    if (typeof found !== 'string' || !valid(found)) throw bad(`${where}.${member}: ${expected}`);
    return found;
  };
  const number = (member: string, min: number, max: number): number => {
    const found = entry[member];
    if (typeof found !== 'number' || !(found >= min && found <= max)) {
      throw bad(`${where}.${member}: a number from ${min} to ${max}`);
    }
    return found;
  };
  return { text, number };
}

function record(value: unknown, where: string, allowed: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(`${where}: an object`);
  const unknown = Object.keys(value).find((key) => !allowed.includes(key));
  if (unknown !== undefined) throw bad(`${where}: unknown member ${JSON.stringify(unknown)}`);
  return value as Record<string, unknown>;
}

const bad = (what: string, cause?: unknown) =>
  new CorroborationError('bad-registry', `registry: ${what}`, { cause });
