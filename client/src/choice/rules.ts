/**
 * Rules of choice: which VAs may be asked for a connection, and where the perspectives that a voucher shows must
 * be. Declarative JSON, so that a vendor can ship them and a user can read them.
 *
 *   Rules       ::= { "choose": 1..16, "accept": 1..choose, "rules": [ Rule… ] }      3, 1 and [] by default
 *   Rule        ::= { "when": When, "vas": Place, "perspectives": [ Count… ] }        each may be left out
 *   When        ::= { "client": Place, "destination": Place }                         all given hold
 *   Place       ::= { "in": [ Country… ] } | { "notIn": [ Country… ] }
 *   Count       ::= { "in" | "notIn": [ Country… ], "atLeast": 0..64, "atMost": 0..64 } one of the two, or both
 *   Country     ::= ISO 3166-1 alpha-2 | "@client" | "@destination"
 *
 * Every rule whose `when` holds applies. `vas` is about the country of the CA that runs the VA; `perspectives`
 * counts the perspectives of a voucher that corroborate. "No statement from country C, and at least three
 * corroborating perspectives outside C":
 *
 *   { "rules": [{ "vas": { "notIn": ["C"] }, "perspectives": [{ "notIn": ["C"], "atLeast": 3 }] }] }
 *
 * and, of the client's own country, for servers abroad only:
 *
 *   { "rules": [{ "when": { "destination": { "notIn": ["@client"] } }, "vas": { "notIn": ["@client"] } }] }
 *
 * Where a country is not known a `when` about it holds, since a rule too many does less harm than one too few;
 * `vas` and `perspectives` cannot be applied then, and nothing is chosen.
 */
import { JsonReader, parseJson, VoucherError } from '@mecai/voucher';
import { ClientError } from '../error.ts';

export type Place = { readonly in: readonly string[] } | { readonly notIn: readonly string[] };

export type PerspectiveCount = Place & { readonly atLeast?: number; readonly atMost?: number };

export interface Rule {
  readonly when?: { readonly client?: Place; readonly destination?: Place };
  readonly vas?: Place;
  readonly perspectives?: readonly PerspectiveCount[];
}

export interface ChoiceRules {
  /** VAs chosen for a connection. */
  readonly choose: number;
  /** Of those, how many must have vouched: one by default, as the others may be offline or the server's own CA. */
  readonly accept: number;
  readonly rules: readonly Rule[];
}

export const defaultRules: ChoiceRules = { choose: 3, accept: 1, rules: [] };

const maxOctets = 65_536;
const limits = { choose: 16, rules: 32, countries: 300, perspectives: 64 } as const;

/** @throws ClientError `rules-malformed` */
export function parseRules(json: Uint8Array): ChoiceRules {
  try {
    return readRules(new JsonReader(parseJson('rules', json, maxOctets), 'rules'));
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('rules-malformed', cause.message, { cause });
  }
}

/** @throws VoucherError `malformed` */
export function readRules(root: JsonReader): ChoiceRules {
  root.only('choose', 'accept', 'rules');
  const choose = root.optional('choose')?.integer(1, limits.choose) ?? defaultRules.choose;
  const accept = root.optional('accept')?.integer(1, choose) ?? defaultRules.accept;
  return { choose, accept, rules: root.optional('rules')?.array(0, limits.rules).map(readRule) ?? [] };
}

function readRule(reader: JsonReader): Rule {
  reader.only('when', 'vas', 'perspectives');
  const when = reader.optional('when')?.only('client', 'destination');
  const client = when?.optional('client');
  const destination = when?.optional('destination');
  const vas = reader.optional('vas');
  const perspectives = reader.optional('perspectives')?.array(1, limits.rules).map(readCount);
  reader.check(vas !== undefined || perspectives !== undefined, 'a rule about nothing');
  return {
    ...(when && {
      when: {
        ...(client && { client: readPlace(client.only('in', 'notIn')) }),
        ...(destination && { destination: readPlace(destination.only('in', 'notIn')) }),
      },
    }),
    ...(vas && { vas: readPlace(vas.only('in', 'notIn')) }),
    ...(perspectives && { perspectives }),
  };
}

function readCount(reader: JsonReader): PerspectiveCount {
  reader.only('in', 'notIn', 'atLeast', 'atMost');
  const atLeast = reader.optional('atLeast')?.integer(0, limits.perspectives);
  const atMost = reader.optional('atMost')?.integer(0, limits.perspectives);
  reader.check(atLeast !== undefined || atMost !== undefined, 'neither atLeast nor atMost');
  return {
    ...readPlace(reader),
    ...(atLeast !== undefined && { atLeast }),
    ...(atMost !== undefined && { atMost }),
  };
}

function readPlace(reader: JsonReader): Place {
  const within = reader.optional('in');
  const outside = reader.optional('notIn');
  reader.check((within === undefined) !== (outside === undefined), 'either "in" or "notIn" belongs here');
  const countries = (within ?? outside)!
    .array(1, limits.countries)
    .map((one) => one.matching(/^(?:[A-Z]{2}|@client|@destination)$/, 'country'));
  return within ? { in: countries } : { notIn: countries };
}
