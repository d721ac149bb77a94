/** JSON in (RFC 8259), strict: well-formed UTF-8, no member twice, bounded depth. */
import { VoucherError } from './error.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** Deeper nesting than any message of ours. */
const maxDepth = 16;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** A whole string token; what an escape may be is left to JSON.parse, to which such tokens are handed. */
// oxlint-disable-next-line no-control-regex
const string = /"[^"\\\u0000-\u001f]*(?:\\.[^"\\\u0000-\u001f]*)*"/y;
const space = /[ \t\n\r]*/y;

/** Throws `VoucherError` `malformed`, with the position. `what` names the message in it. */
export function parseJson(what: string, bytes: Uint8Array, maxOctets: number): JsonValue {
  if (bytes.length > maxOctets) throw new VoucherError('malformed', `${what}: above ${maxOctets} octets`);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new VoucherError('malformed', `${what}: not UTF-8`, { cause });
  }
  let at = 0;
  const value = readValue(0);
  take(space);
  if (at < text.length) throw unexpected();
  return value;

  function readValue(depth: number): JsonValue {
    take(space);
    if (depth > maxDepth) throw new VoucherError('malformed', `${what}: nested too deeply`);
    switch (text[at]) {
      case '{':
        return readObject(depth);
      case '[':
        return readArray(depth);
      case '"':
        return readString();
      case 't':
        return readWord('true', true);
      case 'f':
        return readWord('false', false);
      case 'n':
        return readWord('null', null);
      default: {
        const token = take(number);
        if (token === '') throw unexpected();
        return Number(token);
      }
    }
  }

  function readObject(depth: number): JsonObject {
    const members = new Map<string, JsonValue>();
    readList('}', () => {
      take(space);
      const name = readString();
      if (members.has(name)) throw new VoucherError('malformed', `${what}: member "${shown(name)}" twice`);
      take(space);
      if (text[at] !== ':') throw unexpected();
      at++;
      members.set(name, readValue(depth + 1));
    });
    return members;
  }

  function readArray(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    readList(']', () => void items.push(readValue(depth + 1)));
    return items;
  }

  /** From the opening bracket to the closing one, items between commas. */
  function readList(close: string, readItem: () => void): void {
    at++;
    take(space);
    if (text[at] === close) {
      at++;
      return;
    }
    for (;;) {
      readItem();
      take(space);
      const next = text[at];
      if (next !== ',' && next !== close) throw unexpected();
      at++;
      if (next === close) return;
    }
  }

  function readString(): string {
    const token = take(string);
    if (token === '') throw unexpected();
    if (!token.includes('\\')) return token.slice(1, -1);
    try {
      return String(JSON.parse(token));
    } catch (cause) {
      throw new VoucherError('malformed', `${what}: bad escape before position ${at}`, { cause });
    }
  }

  function readWord<T>(word: string, value: T): T {
    if (!text.startsWith(word, at)) throw unexpected();
    at += word.length;
    return value;
  }

  function take(pattern: RegExp): string {
    pattern.lastIndex = at;
    const token = pattern.exec(text)?.[0] ?? '';
    at += token.length;
    return token;
  }

  function unexpected(): VoucherError {
    const found = at < text.length ? `unexpected ${JSON.stringify(text[at])}` : 'ends early';
    return new VoucherError('malformed', `${what}: ${found} at position ${at}`);
  }
}

/** Foreign text in an error message: short, and without control characters. */
export const shown = (text: string): string => JSON.stringify(text.slice(0, 64)).slice(1, -1);
