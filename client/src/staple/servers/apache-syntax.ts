/**
 * Apache configuration files (ap_cfg_getline, ap_getword_conf): one directive a line, a backslash at its end
 * goes on, `#` comments take a whole line, `<Name …>` to `</Name>` is a section, words may be in quotes.
 * Include, Define, IfModule, IfDefine and IfFile are followed as the server does; what cannot be known from
 * the files (macros, versions) is kept for the reader to report.
 */
import { basename } from 'node:path';
import { StapleError } from '../error.ts';
import { from, isGlob, type SourceFiles } from './source-files.ts';
import type { Unread } from './site.ts';

export interface ApacheDirective {
  /** In lower case: Apache does not care. */
  readonly name: string;
  readonly args: readonly string[];
  readonly file: string;
  readonly line: number;
  readonly section?: readonly ApacheDirective[];
}

export interface ApacheTree {
  readonly directives: readonly ApacheDirective[];
  readonly unread: readonly Unread[];
  readonly serverRoot: string;
}

export interface ApacheOptions {
  /** Where `Include` starts before ServerRoot is set. */
  readonly serverRoot: string;
  /** `-D` names and the environment that the server is started with, such as Debian's envvars. */
  readonly defines: Readonly<Record<string, string>>;
}

const limits = { files: 2_000, depth: 32, octets: 64 * 1024 * 1024 } as const;

/** Compiled into the servers of every large distribution. */
const builtIn = ['core', 'http', 'so', 'unixd', 'version', 'log_config', 'logio', 'watchdog'];

/** Throws `StapleError`. */
export function parseApache(mainFile: string, files: SourceFiles, options: ApacheOptions): ApacheTree {
  const parser = new Parser(files, options);
  const directives = parser.file(mainFile, []);
  return { directives, unread: parser.unread, serverRoot: parser.serverRoot };
}

interface Line {
  readonly text: string;
  readonly line: number;
}

interface Reader {
  readonly lines: readonly Line[];
  at: number;
  readonly path: string;
  readonly including: readonly string[];
}

class Parser {
  readonly unread: Unread[] = [];
  serverRoot: string;
  readonly #files: SourceFiles;
  readonly #defined: Map<string, string>;
  readonly #modules = new Set(builtIn.flatMap((name) => [`${name}_module`, `mod_${name}.c`, `${name}.c`]));
  #count = 0;
  #octets = 0;

  constructor(files: SourceFiles, { serverRoot, defines }: ApacheOptions) {
    this.#files = files;
    this.serverRoot = serverRoot;
    this.#defined = new Map(Object.entries(defines));
  }

  file(path: string, including: readonly string[]): ApacheDirective[] {
    if (including.includes(path)) throw wrong(path, 1, 'includes itself');
    if (++this.#count > limits.files) throw wrong(path, 1, `more than ${limits.files} files`);
    const text = this.#files.read(path);
    this.#octets += text.length;
    if (this.#octets > limits.octets) throw wrong(path, 1, `more than ${limits.octets} octets in all`);
    const reader = { lines: linesOf(text), at: 0, path, including: [...including, path] };
    const found = this.#until(undefined, reader, 0);
    return found;
  }

  /** The lines up to `</section>`, or to the end of the file. */
  #until(section: string | undefined, reader: Reader, depth: number): ApacheDirective[] {
    if (depth > limits.depth) throw wrong(reader.path, 1, `sections more than ${limits.depth} deep`);
    const found: ApacheDirective[] = [];
    const begun = reader.lines[reader.at - 1]?.line ?? 1;
    while (reader.at < reader.lines.length) {
      const { text, line } = reader.lines[reader.at++]!;
      const place = { file: reader.path, line };
      const end = /^<\/([^\s>]+)\s*>$/.exec(text)?.[1]?.toLowerCase();
      if (end !== undefined) {
        if (end !== section) throw wrong(reader.path, line, `unexpected ${text}`);
        return found;
      }
      const begin = /^<([^\s>/]+)\s*(.*?)>?$/.exec(text);
      if (begin) {
        const name = begin[1]!.toLowerCase();
        const args = this.#words(begin[2]!, place);
        found.push(...this.#section(name, args, place, reader, depth));
      } else {
        const [name = '', ...args] = this.#words(text, place);
        found.push(...this.#directive({ name: name.toLowerCase(), args, ...place }, reader));
      }
    }
    if (section !== undefined) throw wrong(reader.path, begun, `<${section}> has no end`);
    return found;
  }

  #section(
    name: string,
    args: readonly string[],
    place: { file: string; line: number },
    reader: Reader,
    depth: number,
  ): ApacheDirective[] {
    const wanted = this.#condition(name, args);
    if (wanted === false) {
      skip(name, reader);
      return [];
    }
    if (name === 'macro') {
      skip(name, reader);
      return [];
    }
    const section = this.#until(name, reader, depth + 1);
    if (wanted === true) return section;
    if (wanted === 'unknown') {
      if (section.some(isAboutTls)) {
        this.unread.push({
          ...place,
          why: `<${name} ${args.join(' ')}> cannot be judged from here; not read`,
        });
      }
      return [];
    }
    return [{ name, args, ...place, section }];
  }

  /** Undefined for a section that is no condition. */
  #condition(name: string, [first = '']: readonly string[]): boolean | 'unknown' | undefined {
    const negated = first.startsWith('!');
    const what = negated ? first.slice(1) : first;
    switch (name) {
      case 'ifmodule':
        return this.#modules.has(what) !== negated;
      case 'ifdefine':
        return this.#defined.has(what) !== negated;
      case 'iffile':
        return this.#files.glob(from(this.serverRoot, what)).length > 0 !== negated;
      case 'ifversion':
      case 'ifdirective':
      case 'ifsection':
        return 'unknown';
      default:
        return undefined;
    }
  }

  #directive(directive: ApacheDirective, reader: Reader): ApacheDirective[] {
    const { name, args, file, line } = directive;
    const [first = '', second] = args;
    switch (name) {
      case 'include':
      case 'includeoptional':
        return this.#included(first, name === 'includeoptional', reader, { file, line });
      case 'define':
        this.#defined.set(first, second ?? '');
        return [];
      case 'undefine':
        this.#defined.delete(first);
        return [];
      case 'loadmodule':
        this.#modules.add(first);
        this.#modules.add(basename(second ?? '').replace(/\.so$/, '.c'));
        return [];
      case 'serverroot':
        this.serverRoot = first;
        return [];
      case 'use':
        this.unread.push({
          file,
          line,
          why: `Use ${first}: macros are not read; list their hosts under "sites"`,
        });
        return [];
      default:
        return [directive];
    }
  }

  #included(
    pattern: string,
    optional: boolean,
    reader: Reader,
    place: { file: string; line: number },
  ): ApacheDirective[] {
    if (pattern.includes('${')) {
      this.unread.push({
        ...place,
        why: `Include ${pattern}: its variable is not known; give it in "defines"`,
      });
      return [];
    }
    const path = from(this.serverRoot, pattern);
    const paths = this.#files.glob(path).flatMap((one) => this.#within(one, 0));
    if (paths.length === 0 && !optional && !isGlob(path))
      throw wrong(place.file, place.line, `no file ${path}`);
    return paths.flatMap((one) => this.file(one, reader.including));
  }

  /** An included directory is all of its files, those of its directories as well. */
  #within(path: string, depth: number): string[] {
    if (!this.#files.isDirectory(path)) return [path];
    if (depth > limits.depth) return [];
    return this.#files.glob(`${path}/*`).flatMap((one) => this.#within(one, depth + 1));
  }

  #words(text: string, place: { file: string; line: number }): string[] {
    const known = text.replace(/\$\{([^}]*)\}/g, (whole, name: string) => this.#defined.get(name) ?? whole);
    const words: string[] = [];
    let rest = known.trimStart();
    while (rest !== '') {
      const quote = rest[0] === '"' || rest[0] === "'" ? rest[0] : undefined;
      const match = quote ? /^(["'])((?:\\.|(?!\1).)*)\1(?=\s|$)/s.exec(rest) : /^()(\S+)/.exec(rest);
      if (!match) throw wrong(place.file, place.line, 'a quoted word without an end');
      words.push(quote ? match[2]!.replace(/\\(["'\\])/g, '$1') : match[2]!);
      rest = rest.slice(match[0].length).trimStart();
    }
    return words;
  }
}

function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  const raw = text.split('\n');
  for (let i = 0; i < raw.length; i++) {
    const line = i + 1;
    let whole = raw[i]!.replace(/\r$/, '');
    while (whole.endsWith('\\') && i + 1 < raw.length) {
      whole = whole.slice(0, -1) + raw[++i]!.replace(/\r$/, '');
    }
    whole = whole.trim();
    if (whole !== '' && !whole.startsWith('#')) lines.push({ text: whole, line });
  }
  return lines;
}

/** Passes over a section whose condition does not hold: what is in it need not even be well-formed. */
function skip(name: string, reader: Reader): void {
  const begun = reader.lines[reader.at - 1]!.line;
  for (let depth = 1; depth > 0; reader.at++) {
    const one = reader.lines[reader.at];
    if (!one) throw wrong(reader.path, begun, `<${name}> has no end`);
    const text = one.text.toLowerCase();
    if (text.startsWith(`</${name}`) && /^\s*>/.test(text.slice(name.length + 2))) depth--;
    else if (text.startsWith(`<${name}`) && /^[\s>]/.test(text.slice(name.length + 1))) depth++;
  }
}

const isAboutTls = ({ name, section }: ApacheDirective): boolean =>
  name.startsWith('ssl') || name === 'virtualhost' || (section?.some(isAboutTls) ?? false);

const wrong = (file: string, line: number, why: string) =>
  new StapleError('bad-server-configuration', `${file}:${line}: ${why}`);
