/** Chooses VAs for one connection. The choice is a value: the check insists on it. */
import { isMatch, type Perspective } from '@mecai/voucher';
import { ClientError } from '../error.ts';
import type { VaEntry, VaList } from '../va-list/va-list.ts';
import { type ChoiceRules, defaultRules, type PerspectiveCount, type Place } from './rules.ts';

export interface Choice {
  readonly list: VaList;
  /** Whose vouchers count for this connection, in the order drawn. */
  readonly vas: readonly VaEntry[];
  /** How many of them must have vouched. */
  readonly accept: number;
  /** What each voucher's perspectives must meet; countries are plain codes here. */
  readonly perspectives: readonly PerspectiveCount[];
}

export interface Surroundings {
  /** Of the client, ISO 3166-1 alpha-2. */
  readonly clientCountry?: string;
  /** Of the address connected to. */
  readonly destinationCountry?: string;
}

export interface ChooseOptions extends Surroundings {
  readonly rules?: ChoiceRules;
  /** Unpredictable octets. */
  readonly random: (octets: number) => Uint8Array;
}

/**
 * Each set of as many allowed VAs is as likely as any other. Two VAs of one operator are one opinion: only one of
 * them is drawn. With fewer operators than `choose` all are taken, as long as `accept` of them are left.
 *
 * @throws ClientError `too-few-vas`, `country-unknown`
 */
export function chooseVas(list: VaList, options: ChooseOptions): Choice {
  const { rules = defaultRules, random } = options;
  const inForce = rules.rules.filter(({ when }) => {
    const { clientCountry, destinationCountry } = options;
    return (
      holds(when?.client, clientCountry, options) && holds(when?.destination, destinationCountry, options)
    );
  });
  const places = inForce.flatMap(({ vas }) => (vas ? [resolved(vas, options)] : []));
  const allowed = list.vas.filter(
    (va) => va.status === 'active' && places.every((place) => isIn(va.country, place)),
  );
  const drawn: VaEntry[] = [];
  for (const va of shuffled(allowed, random)) {
    if (drawn.length === rules.choose) break;
    if (!drawn.some(({ operator }) => operator === va.operator)) drawn.push(va);
  }
  if (drawn.length < rules.accept) {
    throw new ClientError('too-few-vas', `${drawn.length} VAs may be chosen, ${rules.accept} have to vouch`);
  }
  return {
    list,
    vas: drawn,
    accept: rules.accept,
    perspectives: inForce.flatMap(({ perspectives = [] }) =>
      perspectives.map((one) => resolved(one, options)),
    ),
  };
}

/** The rule that a voucher's perspectives break, in words; undefined if they break none. */
export function brokenCount(
  perspectives: readonly Perspective[],
  counts: readonly PerspectiveCount[],
): string | undefined {
  for (const count of counts) {
    const { atLeast = 0, atMost = Infinity } = count;
    const found = perspectives.filter((one) => isMatch(one) && isIn(one.country, count)).length;
    const where = 'in' in count ? `in ${count.in.join(', ')}` : `outside ${count.notIn.join(', ')}`;
    if (found < atLeast) return `${found} perspectives ${where} corroborate, where ${atLeast} are wanted`;
    if (found > atMost) return `${found} perspectives ${where} corroborate, where ${atMost} may`;
  }
  return undefined;
}

const isIn = (country: string, place: Place): boolean =>
  'in' in place ? place.in.includes(country) : !place.notIn.includes(country);

/** Whether a `when` holds; over what is unknown it does. */
function holds(place: Place | undefined, country: string | undefined, surroundings: Surroundings): boolean {
  if (!place || country === undefined || needsUnknown(place, surroundings)) return true;
  return isIn(country, resolved(place, surroundings));
}

const countriesOf = (place: Place): readonly string[] => ('in' in place ? place.in : place.notIn);

const variables = (surroundings: Surroundings): Readonly<Record<string, string | undefined>> => ({
  '@client': surroundings.clientCountry,
  '@destination': surroundings.destinationCountry,
});

const needsUnknown = (place: Place, surroundings: Surroundings): boolean =>
  countriesOf(place).some((one) => one.startsWith('@') && variables(surroundings)[one] === undefined);

function resolved<T extends Place>(place: T, surroundings: Surroundings): T {
  const countries = countriesOf(place).map((one) => {
    if (!one.startsWith('@')) return one;
    const country = variables(surroundings)[one];
    if (country === undefined) {
      throw new ClientError('country-unknown', `a rule is about ${one}, whose country is not known`);
    }
    return country;
  });
  return 'in' in place ? { ...place, in: countries } : { ...place, notIn: countries };
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: ChooseOptions['random']): T[] {
  const left = [...items];
  for (let i = left.length - 1; i > 0; i--) {
    const j = below(i + 1, random);
    [left[i], left[j]] = [left[j]!, left[i]!];
  }
  return left;
}

/** Uniform below `bound`: what would favour small numbers is drawn again. */
function below(bound: number, random: ChooseOptions['random']): number {
  const limit = 2 ** 32 - (2 ** 32 % bound);
  for (;;) {
    const number = Buffer.from(random(4)).readUInt32BE();
    if (number < limit) return number % bound;
  }
}
