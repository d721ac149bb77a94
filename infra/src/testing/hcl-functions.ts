/** Values of HCL's expression language, and those of Terraform's functions that the pure modules use. */
import { readFileSync } from 'node:fs';

export type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [member: string]: Value };

export const print = (value: Value): string => {
  if (typeof value === 'object') throw new TypeError('a template takes no list, object or null');
  return String(value);
};

export function truth(value: Value): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`no truth value: ${JSON.stringify(value)}`);
  return value;
}

export function number(value: Value): number {
  if (typeof value !== 'number') throw new TypeError(`no number: ${JSON.stringify(value)}`);
  return value;
}

function text(value: Value): string {
  if (typeof value !== 'string') throw new TypeError(`no string: ${JSON.stringify(value)}`);
  return value;
}

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

function list(value: Value): readonly Value[] {
  if (!isList(value)) throw new TypeError(`no list: ${JSON.stringify(value)}`);
  return value;
}

/** Members of an object in the order of their names, as Terraform has them. */
export function entries(value: Value): [Value, Value][] {
  if (isList(value)) return value.map((item, index) => [index, item]);
  if (typeof value !== 'object' || value === null)
    throw new TypeError(`no collection: ${JSON.stringify(value)}`);
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

export function member(value: Value, key: Value): Value {
  const found = entries(value).find(([name]) => name === key);
  if (!found) throw new TypeError(`no member ${JSON.stringify(key)}`);
  return found[1];
}

export const equal = (a: Value, b: Value): boolean => JSON.stringify(a) === JSON.stringify(b);
const keys = (value: Value) => entries(value).map(([key]) => key);
const unique = (values: readonly Value[]) =>
  values.filter((value, index) => values.findIndex((other) => equal(other, value)) === index);

export const functions: Readonly<Record<string, (...args: readonly Value[]) => Value>> = {
  abs: (x) => Math.abs(number(x)),
  alltrue: (values) => list(values).every(truth),
  ceil: (x) => Math.ceil(number(x)),
  concat: (...lists) => lists.flatMap(list),
  contains: (values, value) => list(values).some((one) => equal(one, value)),
  distinct: (values) => unique(list(values)),
  file: (path) => readFileSync(text(path), 'utf8'),
  flatten: (values) => list(values).flatMap((one) => (isList(one) ? [...one] : [one])),
  floor: (x) => Math.floor(number(x)),
  join: (separator, values) => list(values).map(print).join(text(separator)),
  jsonencode: (value) => JSON.stringify(value),
  keys: (value) => keys(value),
  length: (value) => (typeof value === 'string' ? value.length : entries(value).length),
  max: (...values) => Math.max(...values.map(number)),
  merge: (...objects) => Object.assign({}, ...objects) as Value,
  min: (...values) => Math.min(...values.map(number)),
  pow: (base, exponent) => number(base) ** number(exponent),
  range: (size) => Array.from({ length: number(size) }, (_, index) => index),
  regex(pattern, subject) {
    const [found] = new RegExp(text(pattern)).exec(text(subject)) ?? [];
    if (found === undefined) throw new TypeError('no match');
    return found;
  },
  replace(subject, from, to) {
    if (/^\/.*\/$/s.test(text(from))) throw new TypeError('a regular expression');
    return text(subject).replaceAll(text(from), () => text(to));
  },
  setsubtract: (a, b) => list(a).filter((one) => !list(b).some((other) => equal(one, other))),
  slice: (values, from, to) => list(values).slice(number(from), number(to)),
  sort: (values) => list(values).map(print).toSorted(),
  sum(values) {
    if (list(values).length === 0) throw new TypeError('sum of nothing');
    return list(values).reduce<number>((total, one) => total + number(one), 0);
  },
  values: (value) => entries(value).map(([, item]) => item),
};
