/** Members of a JSON object, each with its path, so that an error can name the one that is wrong. */
import { formatAddress, parseAddress } from '@mecai/addresses';
import { VoucherError } from './error.ts';
import { type JsonObject, type JsonValue, shown } from './json-parser.ts';

export class JsonReader {
  readonly #value: JsonValue;
  readonly #path: string;
  #object: JsonObject | undefined;

  constructor(value: JsonValue, path: string) {
    this.#value = value;
    this.#path = path;
  }

  /** Makes sure that this is an object with these members only. */
  only(...names: readonly string[]): this {
    const members = this.#members();
    for (const name of members.keys()) {
      if (!names.includes(name)) throw this.#wrong(`unknown member "${shown(name)}"`);
    }
    return this;
  }

  member(name: string): JsonReader {
    const value = this.optional(name);
    if (!value) throw this.#wrong(`member "${name}" is missing`);
    return value;
  }

  /** Undefined if absent; null is a value, and of no type that is used. */
  optional(name: string): JsonReader | undefined {
    const value = this.#members().get(name);
    return value === undefined ? undefined : new JsonReader(value, `${this.#path}.${name}`);
  }

  /** Of an object whose members have names of their own. */
  members(most: number): (readonly [name: string, value: JsonReader])[] {
    const members = [...this.#members()];
    if (members.length > most) throw this.#wrong(`${members.length} members, where ${most} belong at most`);
    return members.map(([name, value]) => [name, new JsonReader(value, `${this.#path}["${shown(name)}"]`)]);
  }

  array(least: number, most: number): JsonReader[] {
    const value = this.#value;
    if (!isArray(value)) throw this.#wrong('an array belongs here');
    if (value.length < least || value.length > most) {
      throw this.#wrong(`${value.length} items, where ${least} to ${most} belong`);
    }
    return value.map((item, i) => new JsonReader(item, `${this.#path}[${i}]`));
  }

  string(): string {
    if (typeof this.#value !== 'string') throw this.#wrong('a string belongs here');
    return this.#value;
  }

  /** Well-formed text, counted in octets of UTF-8. */
  text(most: number): string {
    const value = this.string();
    if (!value.isWellFormed()) throw this.#wrong('a lone surrogate');
    const octets = Buffer.byteLength(value);
    if (octets < 1 || octets > most) throw this.#wrong(`${octets} octets, where 1 to ${most} belong`);
    return value;
  }

  integer(least: number, most: number): number {
    const value = this.#value;
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
      throw this.#wrong('an integer belongs here');
    if (value < least || value > most) throw this.#wrong(`${value}, where ${least} to ${most} belong`);
    // Negative zero is zero.
    return value + 0;
  }

  boolean(): boolean {
    if (typeof this.#value !== 'boolean') throw this.#wrong('true or false belongs here');
    return this.#value;
  }

  word<T extends string>(words: readonly T[]): T {
    const value = this.string();
    const word = words.find((one) => one === value);
    if (word === undefined) throw this.#wrong(`"${shown(value)}" is none of ${words.join(', ')}`);
    return word;
  }

  matching(pattern: RegExp, what: string): string {
    const value = this.string();
    if (!pattern.test(value)) throw this.#wrong(`"${shown(value)}" is no ${what}`);
    return value;
  }

  /** Bytes in base64 (RFC 4648 section 4), padded and canonical. */
  bytes(least: number, most: number): Uint8Array {
    return this.#base64(this.string(), least, most);
  }

  /** One certificate: DER in base64, or one PEM block (RFC 7468). */
  certificate(most: number): Uint8Array {
    const value = this.string();
    const pem = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----\s*$/.exec(value);
    return this.#base64(pem ? pem[1]!.replace(/\s/g, '') : value, 1, most);
  }

  address(): Uint8Array {
    const value = this.string();
    try {
      return parseAddress(value);
    } catch (cause) {
      throw this.#wrong(`"${shown(value)}" is no IP address`, cause);
    }
  }

  /** For a rule that no single type expresses. */
  check(condition: boolean, what: string): void {
    if (!condition) throw this.#wrong(what);
  }

  #base64(text: string, least: number, most: number): Uint8Array {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') !== text) throw this.#wrong('no canonical base64');
    if (bytes.length < least || bytes.length > most) {
      throw this.#wrong(`${bytes.length} octets, where ${least} to ${most} belong`);
    }
    return bytes;
  }

  #members(): JsonObject {
    if (this.#object) return this.#object;
    if (!(this.#value instanceof Map)) throw this.#wrong('an object belongs here');
    return (this.#object = this.#value as JsonObject);
  }

  #wrong(what: string, cause?: unknown): VoucherError {
    return new VoucherError('malformed', `${this.#path}: ${what}`, { cause });
  }
}

const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

export const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

export const addressText = formatAddress;
