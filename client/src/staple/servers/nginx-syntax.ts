/**
 * nginx configuration files: directives, blocks, includes. The grammar is that of ngx_conf_file.c:
 *
 *   file      = *( directive / block )
 *   directive = word *( space word ) ";"
 *   block     = word *( space word ) "{" file "}"
 *
 * A word is in quotes or bare; a backslash takes the next character's meaning; `#` begins a comment where a
 * word could begin; `${` is a variable, not a block.
 */
import { dirname } from 'node:path';
import { StapleError } from '../error.ts';
import { from, type SourceFiles } from './source-files.ts';

export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  readonly file: string;
  readonly line: number;
  /** Present if it is a block. */
  readonly block?: readonly Directive[];
}

interface Token {
  readonly kind: 'word' | ';' | '{' | '}';
  readonly text: string;
  readonly line: number;
}

const limits = { files: 2_000, depth: 32, tokens: 4_000_000 } as const;

/** The main file with all that it includes. Throws `StapleError`. */
export function parseNginx(mainFile: string, files: SourceFiles): Directive[] {
  const parser = new Parser(dirname(mainFile), files);
  return parser.file(mainFile, []);
}

class Parser {
  readonly #directory: string;
  readonly #files: SourceFiles;
  #count = 0;
  #tokens = 0;

  constructor(directory: string, files: SourceFiles) {
    this.#directory = directory;
    this.#files = files;
  }

  file(path: string, including: readonly string[]): Directive[] {
    if (including.includes(path)) throw wrong(path, 1, 'includes itself');
    if (++this.#count > limits.files) throw wrong(path, 1, `more than ${limits.files} files`);
    const tokens = tokensOf(this.#files.read(path), path);
    this.#tokens += tokens.length;
    if (this.#tokens > limits.tokens) throw wrong(path, 1, `more than ${limits.tokens} words in all`);
    const reader = { tokens, at: 0, path, including: [...including, path] };
    const found = this.#directives(reader, 0);
    const extra = tokens[reader.at];
    if (extra) throw wrong(path, extra.line, 'unexpected "}"');
    return found;
  }

  #directives(reader: Reader, depth: number): Directive[] {
    if (depth > limits.depth) throw wrong(reader.path, 1, `blocks more than ${limits.depth} deep`);
    const found: Directive[] = [];
    for (;;) {
      const first = reader.tokens[reader.at];
      if (!first || first.kind === '}') return found;
      const words: string[] = [];
      let token = first;
      while (token.kind === 'word') {
        words.push(token.text);
        const next = reader.tokens[++reader.at];
        if (!next) throw wrong(reader.path, token.line, `"${token.text}": the end of the file, no ";"`);
        token = next;
      }
      const [name, ...args] = words;
      if (name === undefined || token.kind === '}') {
        throw wrong(reader.path, token.line, `unexpected "${token.text}"`);
      }
      reader.at++;
      const place = { file: reader.path, line: first.line };
      if (token.kind === ';') {
        if (name === 'include') found.push(...this.#included(args, reader, place));
        else found.push({ name, args, ...place });
        continue;
      }
      const block = this.#directives(reader, depth + 1);
      if (reader.tokens[reader.at]?.kind !== '}')
        throw wrong(reader.path, first.line, `"${name}" has no end`);
      reader.at++;
      found.push({ name, args, ...place, block });
    }
  }

  #included(args: readonly string[], reader: Reader, place: { file: string; line: number }): Directive[] {
    const [pattern] = args;
    if (pattern === undefined || args.length > 1)
      throw wrong(place.file, place.line, 'include takes one file');
    const path = from(this.#directory, pattern);
    const paths = this.#files.glob(path);
    if (paths.length === 0 && !/[*?[]/.test(path)) throw wrong(place.file, place.line, `no file ${path}`);
    return paths.flatMap((one) => this.file(one, reader.including));
  }
}

interface Reader {
  readonly tokens: readonly Token[];
  at: number;
  readonly path: string;
  readonly including: readonly string[];
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  t: '\t',
  r: '\r',
  n: '\n',
};

function tokensOf(text: string, path: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === '\n') line++;
    if (/\s/.test(char)) at++;
    else if (char === '#') at = lineEnd(text, at);
    else if (char === ';' || char === '{' || char === '}') {
      tokens.push({ kind: char, text: char, line });
      at++;
    } else {
      const word = wordAt(text, at);
      if (!word) throw wrong(path, line, 'a quoted word without an end');
      tokens.push({ kind: 'word', text: word.text, line });
      line += text.slice(at, word.end).split('\n').length - 1;
      at = word.end;
      if (word.quoted && at < text.length && !/[\s;{)]/.test(text[at]!)) {
        throw wrong(path, line, `unexpected "${text[at]}" after a quoted word`);
      }
    }
  }
  return tokens;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

interface Word {
  readonly text: string;
  readonly end: number;
  readonly quoted: boolean;
}

function wordAt(text: string, start: number): Word | undefined {
  const quote = text[start] === '"' || text[start] === "'" ? text[start] : undefined;
  const parts: string[] = [];
  let at = quote ? start + 1 : start;
  while (at < text.length) {
    const char = text[at]!;
    if (char === '\\' && at + 1 < text.length) {
      const next = text[at + 1]!;
      parts.push(escapes[next] ?? char + next);
      at += 2;
    } else if (quote ? char === quote : /[\s;{]/.test(char)) {
      return { text: parts.join(''), end: quote ? at + 1 : at, quoted: quote !== undefined };
    } else if (!quote && char === '$' && text[at + 1] === '{') {
      parts.push('${');
      at += 2;
    } else {
      parts.push(char);
      at++;
    }
  }
  return quote ? undefined : { text: parts.join(''), end: at, quoted: false };
}

const wrong = (file: string, line: number, why: string) =>
  new StapleError('bad-server-configuration', `${file}:${line}: ${why}`);
