/**
 * The part of the protobuf text format that root lists use: `name: value`, `name { … }`, `name: [ … ]`, and
 * `#` comments. Throws `malformed`.
 */
import { PkiError } from './error.ts';

export type TextValue = string | TextMessage;
export type TextMessage = ReadonlyMap<string, readonly TextValue[]>;

const token =
  /\s*(?:#[^\n]*(?:\n\s*|$))*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[A-Za-z_][\w.]*|-?[\d.][\w.]*|[{}[\]:,;<>])/y;
/** Messages in messages. */
const depthLimit = 8;

export function parseTextProto(text: string): TextMessage {
  const tokens: string[] = [];
  token.lastIndex = 0;
  let end = 0;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    tokens.push(match[1]!);
    end = token.lastIndex;
  }
  if (!/^\s*(?:#[^\n]*(?:\n\s*|$))*$/.test(text.slice(end))) throw malformed(`at character ${end}`);
  const cursor = { tokens, at: 0 };
  const message = readMessage(cursor, undefined, 0);
  if (cursor.at !== tokens.length) throw malformed(`after ${tokens[cursor.at]}`);
  return message;
}

interface Cursor {
  readonly tokens: readonly string[];
  at: number;
}

function readMessage(cursor: Cursor, close: string | undefined, depth: number): TextMessage {
  if (depth > depthLimit) throw malformed('too deep');
  const fields = new Map<string, TextValue[]>();
  for (;;) {
    const name = cursor.tokens[cursor.at++];
    if (name === close) return fields;
    if (name === undefined || !/^[A-Za-z_]/.test(name)) throw malformed(`field name ${name ?? 'missing'}`);
    const values = fields.get(name) ?? [];
    fields.set(name, values);
    if (cursor.tokens[cursor.at] === ':') cursor.at++;
    if (cursor.tokens[cursor.at] === '[') {
      cursor.at++;
      while (cursor.tokens[cursor.at] !== ']') {
        values.push(readValue(cursor, depth));
        if (cursor.tokens[cursor.at] === ',') cursor.at++;
      }
      cursor.at++;
    } else values.push(readValue(cursor, depth));
    if (/^[,;]$/.test(cursor.tokens[cursor.at] ?? '')) cursor.at++;
    if (close === undefined && cursor.at === cursor.tokens.length) return fields;
  }
}

function readValue(cursor: Cursor, depth: number): TextValue {
  const value = cursor.tokens[cursor.at++];
  if (value === undefined || /^[}\]:,;>[]$/.test(value)) throw malformed(`value ${value ?? 'missing'}`);
  if (value === '{') return readMessage(cursor, '}', depth + 1);
  if (value === '<') return readMessage(cursor, '>', depth + 1);
  if (!/^["']/.test(value)) return value;
  let text = unquoted(value);
  // Adjacent strings are one.
  while (/^["']/.test(cursor.tokens[cursor.at] ?? '')) text += unquoted(cursor.tokens[cursor.at++]!);
  return text;
}

const unquoted = (quoted: string): string => quoted.slice(1, -1).replace(/\\(["'\\])/g, '$1');

const malformed = (what: string) => new PkiError('malformed', `text protobuf: ${what}`);
