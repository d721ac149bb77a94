/**
 * What an invited agent answers. Its keys are made on its own machine; it shows that it holds them, and the token, by a
 * signature with each over the same statement. The token's key is in the statement, and no two invitations have the
 * same one: so a statement proves possession since the invitation, and is of no use for another.
 *
 * Enrolment: `{"statement", "token", "observation", "nats"}`, each octets in base64; the last three are signatures by the token (Ed25519),
 * the observation key (ECDSA P-256 with SHA-256, DER) and the nkey (Ed25519) over the domain separator and the
 * statement. Statement: `{"tokenKey": as in the invitation; "agent": an entry of the registry, without `region`}`.
 */
import { type KeyObject, createPublicKey, sign, verify } from 'node:crypto';
import { fromPublic, fromSeed } from '@nats-io/nkeys';
import { CorroborationError } from './error.ts';
import { type Invitation, ed25519PublicKey, isTokenKey, readToken } from './invitation.ts';
import { type Agent, type Declared, parseAgent } from './registry.ts';

export interface Enrolment {
  readonly tokenKey: string;
  /** What it says of itself. */
  readonly agent: Agent & { readonly natsKey: string };
  /** Two enrolments are the same if their statements are: signatures differ each time. */
  readonly statement: Uint8Array;
}

/** Three signatures and a statement whose only long member is a city take half of it. */
export const maxEnrolmentOctets = 4_096;

/** RFC 4648 section 6. */
const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

// Keeps these signatures from being ones of anything else.
const domain = Buffer.from('MECAI-enrolment-v1\0', 'latin1');

/** The same statement for the same agent, keys and token. */
export function enrol(
  token: string,
  place: Omit<Declared, 'region'>,
  keys: { readonly observation: KeyObject; readonly natsSeed: Uint8Array },
): Uint8Array {
  const { privateKey, publicKey: tokenKey } = readToken(token);
  const user = fromSeed(keys.natsSeed);
  const publicKey = createPublicKey(keys.observation)
    .export({ format: 'der', type: 'spki' })
    .toString('base64');
  const { name, city, country, latitude, longitude, rir, asn } = place;
  const said = { name, city, country, latitude, longitude, rir, asn };
  const agent = { ...said, publicKey, natsKey: user.getPublicKey() };
  const statement = Buffer.from(JSON.stringify({ tokenKey, agent }));
  const signed = Buffer.concat([domain, statement]);
  return Buffer.from(
    JSON.stringify({
      statement: statement.toString('base64'),
      token: sign(null, signed, privateKey).toString('base64'),
      observation: sign('sha256', signed, keys.observation).toString('base64'),
      nats: Buffer.from(user.sign(signed)).toString('base64'),
    }),
  );
}

/**
 * Reads an enrolment and verifies all its signatures.
 *
 * @throws CorroborationError `bad-enrolment`, `not-proven`
 */
export function openEnrolment(bytes: Uint8Array): Enrolment {
  if (bytes.length > maxEnrolmentOctets) throw bad(`more than ${maxEnrolmentOctets} octets`);
  const [statement, token, observation, nats] = octets(
    json(bytes, ['statement', 'token', 'observation', 'nats']),
  );
  const { tokenKey, agent: entry } = json(statement!, ['tokenKey', 'agent']);
  if (!isTokenKey(tokenKey)) throw bad('tokenKey: 32 octets in base64');
  const agent = agentOf(entry);
  const signed = Buffer.concat([domain, statement!]);
  if (!verify(null, signed, ed25519PublicKey(Buffer.from(tokenKey, 'base64')), token!))
    throw unproven('the join token');
  if (observation!.length > 72 || !verify('sha256', signed, agent.publicKey, observation!)) {
    throw unproven('the observation key');
  }
  if (!byNkey(agent.natsKey, signed, nats!)) throw unproven('the nkey');
  return { tokenKey, agent, statement: statement! };
}

/**
 * The entry of the registry that the invitation and the enrolment make together: place and name are the operator's
 * words, the keys the agent's.
 *
 * @throws CorroborationError `other-place` when the agent says otherwise than it was invited, `not-proven` when it
 *   enrolled with another token
 */
export function admitted(
  invitation: Invitation,
  { tokenKey, agent }: Enrolment,
): Readonly<Record<string, unknown>> {
  if (tokenKey !== invitation.tokenKey) throw unproven('the join token');
  const invited = invitation.agent;
  for (const member of ['name', 'city', 'country', 'latitude', 'longitude', 'rir', 'asn'] as const) {
    if (agent[member] !== invited[member]) {
      throw new CorroborationError(
        'other-place',
        `${member}: the agent says ${agent[member]}, it was invited as ${invited[member]}`,
      );
    }
  }
  const { region, ...place } = invited;
  const publicKey = agent.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  return { ...place, ...(region !== '' && { region }), publicKey, natsKey: agent.natsKey };
}

function agentOf(entry: unknown): Enrolment['agent'] {
  let agent: Agent;
  try {
    agent = parseAgent(entry, 'agent');
  } catch (cause) {
    throw bad((cause as Error).message, cause);
  }
  const { natsKey } = agent;
  if (natsKey === undefined) throw bad('agent.natsKey: a public nkey of a user');
  return { ...agent, natsKey };
}

function byNkey(natsKey: string, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    void fromPublic(natsKey);
  } catch {
    // Its checksum is wrong.
    return false;
  }
  // Node verifies in a hundredth of the time that the library takes. An nkey is base32 of a prefix, 32 octets and the checksum.
  const bits = Array.from(natsKey, (letter) => base32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const octets = Uint8Array.from({ length: 32 }, (_, i) => parseInt(bits.slice(8 * i + 8, 8 * i + 16), 2));
  return verify(null, signed, ed25519PublicKey(octets), signature);
}

function json(bytes: Uint8Array, members: readonly string[]): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw bad('not JSON in UTF-8', cause);
  }
  const found: Record<string, unknown> = Object(value);
  const names = Object.keys(found);
  if (names.length !== members.length || !members.every((name) => Object.hasOwn(found, name))) {
    throw bad(`an object with ${members.join(', ')}`);
  }
  return found;
}

const octets = (value: Record<string, unknown>): Buffer[] =>
  ['statement', 'token', 'observation', 'nats'].map((name) => {
    const text = value[name];
    if (typeof text !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw bad(`${name}: base64`);
    return Buffer.from(text, 'base64');
  });

const bad = (what: string, cause?: unknown) =>
  new CorroborationError('bad-enrolment', `enrolment: ${what}`, { cause });
const unproven = (what: string) => new CorroborationError('not-proven', `not signed with ${what}`);
