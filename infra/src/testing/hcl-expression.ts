/**
 * Evaluates the part of HCL's expression language that the pure modules use, so that their rules are tested where
 * no terraform is (HCL native syntax specification, "Expressions"; for the functions, Terraform's language reference).
 */
import { type Value, entries, equal, functions, member, number, print, truth } from './hcl-functions.ts';

/** Names of `for`, and `var.x`, `local.x`, `module.x`, `path.module`, `count.index`. */
export type Scope = (name: string) => Value;
type Expression = (scope: Scope) => Value;

/** A string literal as HCL has it between its quotes, `${…}` and all. A lone `${…}` keeps its type. */
export function template(text: string): Expression {
  const parts: (string | Expression)[] = [];
  let literal = '';
  for (let at = 0; at < text.length; ) {
    if (text.startsWith('${', at)) {
      const end = closing(text, at + 2);
      if (literal !== '') parts.push(literal);
      literal = '';
      parts.push(parse(text.slice(at + 2, end)));
      at = end + 1;
    } else literal += text[at++];
  }
  if (literal !== '' || parts.length === 0) parts.push(literal);
  const [only] = parts;
  if (parts.length === 1 && typeof only === 'function') return only;
  return (scope) => parts.map((part) => (typeof part === 'string' ? part : print(part(scope)))).join('');
}

/** Where the brace closes that opened before `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '"') while (text[++at] !== '"') if (text[at] === '\\') at++;
    if (text[at] === '{') depth++;
    if (text[at] === '}' && --depth === 0) return at;
  }
  throw new SyntaxError(`no end of \${ in ${text}`);
}

export function parse(text: string): Expression {
  const parser = new Parser(text);
  const expression = parser.conditional();
  parser.end();
  return expression;
}

const token =
  /(?:\s|#.*\n)*(?:(\d+(?:\.\d+)?)|([A-Za-z_][\w-]*)|("(?:[^"\\$]|\\.|\$(?!\{))*")|(=>|==|!=|<=|>=|&&|\|\||\.\.\.|[-+*/%<>!?:,.=(){}[\]]))/y;

const operators: readonly Readonly<Record<string, (a: Value, b: Value) => Value>>[] = [
  { '||': (a, b) => truth(a) || truth(b) },
  { '&&': (a, b) => truth(a) && truth(b) },
  { '==': (a, b) => equal(a, b), '!=': (a, b) => !equal(a, b) },
  {
    '<': (a, b) => number(a) < number(b),
    '>': (a, b) => number(a) > number(b),
    '<=': (a, b) => number(a) <= number(b),
    '>=': (a, b) => number(a) >= number(b),
  },
  { '+': (a, b) => number(a) + number(b), '-': (a, b) => number(a) - number(b) },
  {
    '*': (a, b) => number(a) * number(b),
    '/': (a, b) => number(a) / number(b),
    '%': (a, b) => number(a) % number(b),
  },
];

class Parser {
  readonly #text: string;
  #at = 0;
  #token = '';

  constructor(text: string) {
    this.#text = text;
    this.#next();
  }

  end(): void {
    if (this.#token !== '') throw this.#unexpected();
  }

  #unexpected(): SyntaxError {
    return new SyntaxError(`unexpected ${JSON.stringify(this.#token)} before ${this.#at} of: ${this.#text}`);
  }

  #next(): string {
    const before = this.#token;
    token.lastIndex = this.#at;
    const found = token.exec(this.#text);
    // A string with a template inside, which no regular expression finds the end of.
    const quoted = /\s*"/y;
    quoted.lastIndex = this.#at;
    if (found) {
      this.#at = token.lastIndex;
      this.#token = found.slice(1).find((group) => group !== undefined)!;
    } else if (quoted.test(this.#text)) {
      const from = quoted.lastIndex - 1;
      let end = from + 1;
      while (this.#text[end] !== '"') {
        if (this.#text.startsWith('${', end)) end = closing(this.#text, end + 2);
        end++;
      }
      this.#token = this.#text.slice(from, end + 1);
      this.#at = end + 1;
    } else if (this.#text.slice(this.#at).trim() === '') this.#token = '';
    else throw new SyntaxError(`cannot read on at ${this.#at} of: ${this.#text}`);
    return before;
  }

  #take(wanted: string): boolean {
    if (this.#token !== wanted) return false;
    this.#next();
    return true;
  }

  #expect(wanted: string): void {
    if (!this.#take(wanted)) throw this.#unexpected();
  }

  conditional(): Expression {
    const condition = this.#binary(0);
    if (!this.#take('?')) return condition;
    const yes = this.conditional();
    this.#expect(':');
    const no = this.conditional();
    return (scope) => (truth(condition(scope)) ? yes(scope) : no(scope));
  }

  #binary(level: number): Expression {
    const here = operators[level];
    if (!here) return this.#unary();
    let left = this.#binary(level + 1);
    for (let apply = here[this.#token]; apply; apply = here[this.#token]) {
      this.#next();
      const [a, operator, b] = [left, apply, this.#binary(level + 1)];
      left = (scope) => operator(a(scope), b(scope));
    }
    return left;
  }

  #unary(): Expression {
    if (this.#take('-')) {
      const of = this.#unary();
      return (scope) => -number(of(scope));
    }
    if (this.#take('!')) {
      const of = this.#unary();
      return (scope) => !truth(of(scope));
    }
    let value = this.#primary();
    for (;;) {
      const of = value;
      if (this.#take('.')) {
        const name = this.#next();
        value = (scope) => member(of(scope), name);
      } else if (this.#take('[')) {
        const key = this.conditional();
        this.#expect(']');
        value = (scope) => member(of(scope), key(scope));
      } else return value;
    }
  }

  #primary(): Expression {
    if (this.#take('(')) {
      const inside = this.conditional();
      this.#expect(')');
      return inside;
    }
    if (this.#take('[')) return this.#list();
    if (this.#take('{')) return this.#object();
    const word = this.#next();
    if (/^\d/.test(word)) return () => Number(word);
    if (word.startsWith('"'))
      return template(word.slice(1, -1).replaceAll(/\\(["\\n])/g, (_, c) => (c === 'n' ? '\n' : c)));
    if (word === 'true' || word === 'false') return () => word === 'true';
    if (word === 'null') return () => null;
    if (!/^[A-Za-z_]/.test(word)) throw this.#unexpected();
    if (/^(var|local|module|path|count|each)$/.test(word) && this.#take('.')) {
      const name = `${word}.${this.#next()}`;
      return (scope) => scope(name);
    }
    if (!this.#take('(')) return (scope) => scope(word);
    const args = this.#until(')', () => this.conditional());
    if (word === 'can') return (scope) => succeeds(() => args[0]!(scope));
    if (word === 'templatefile') {
      return (scope) => {
        const values = args[1]!(scope);
        const text = print(functions['file']!(args[0]!(scope)));
        return template(text)((name) => member(values, name));
      };
    }
    const call = functions[word];
    if (!call) throw new SyntaxError(`no function ${word}`);
    return (scope) => call(...args.map((arg) => arg(scope)));
  }

  #until<T>(close: string, one: () => T): T[] {
    const all: T[] = [];
    while (!this.#take(close)) {
      all.push(one());
      if (this.#token !== close) this.#expect(',');
    }
    return all;
  }

  #list(): Expression {
    if (this.#token === 'for') return this.#for(']');
    const items = this.#until(']', () => this.conditional());
    return (scope) => items.map((item) => item(scope));
  }

  #object(): Expression {
    if (this.#token === 'for') return this.#for('}');
    const members: [Expression, Expression][] = [];
    while (!this.#take('}')) {
      const key = this.#key();
      if (!this.#take('=')) this.#expect(':');
      members.push([key, this.conditional()]);
      this.#take(',');
    }
    return (scope) => Object.fromEntries(members.map(([key, of]) => [print(key(scope)), of(scope)]));
  }

  /** A name, a string, or an expression in parentheses. */
  #key(): Expression {
    if (this.#take('(')) {
      const key = this.conditional();
      this.#expect(')');
      return key;
    }
    const word = this.#next();
    return word.startsWith('"') ? template(word.slice(1, -1)) : () => word;
  }

  /** `for k, v in collection : [key =>] value [if condition]` up to the bracket. */
  #for(close: ']' | '}'): Expression {
    this.#expect('for');
    const first = this.#next();
    const second = this.#take(',') ? this.#next() : undefined;
    this.#expect('in');
    const collection = this.conditional();
    this.#expect(':');
    const head = this.conditional();
    const value = close === '}' && this.#take('=>') ? this.conditional() : undefined;
    const condition = this.#take('if') ? this.conditional() : undefined;
    this.#expect(close);
    return (scope) => {
      const found: [Value, Value][] = [];
      for (const [key, item] of entries(collection(scope))) {
        const inner: Scope = (name) => {
          if (name === first) return second === undefined ? item : key;
          return name === second ? item : scope(name);
        };
        if (!condition || truth(condition(inner))) found.push([head(inner), value ? value(inner) : null]);
      }
      return close === '}'
        ? Object.fromEntries(found.map(([key, item]) => [print(key), item]))
        : found.map(([item]) => item);
    };
  }
}

function succeeds(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
