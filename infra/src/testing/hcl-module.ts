/** A module without resources, judged as `terraform plan` would: variables, locals, preconditions of its outputs. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseFile } from '@cdktf/hcl2json';
import { type Scope, template } from './hcl-expression.ts';
import { type Value, print } from './hcl-functions.ts';

interface Check {
  readonly condition: string;
  readonly error_message: string;
}
interface Variable {
  readonly type?: string;
  readonly default?: Value;
  readonly validation?: readonly Check[];
}
interface Output {
  readonly value: Value;
  readonly precondition?: readonly Check[];
}

export type Given = Readonly<Record<string, Value>>;

export interface Planned {
  readonly outputs: Readonly<Record<string, Value>>;
  /** Messages of the conditions that do not hold; without any, the plan is accepted. */
  readonly refused: readonly string[];
}

export class HclModule {
  readonly #locals = new Map<string, Value>();
  readonly #variables = new Map<string, Variable>();
  readonly #outputs = new Map<string, Output>();
  readonly #calls = new Map<string, Readonly<Record<string, Value>>>();
  readonly #modules = new Map<string, HclModule>();
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async read(directory: string): Promise<HclModule> {
    const module = new HclModule(directory);
    for (const name of readdirSync(directory).filter((one) => one.endsWith('.tf'))) {
      const file = await parseFile(name, readFileSync(join(directory, name), 'utf8'));
      for (const [key, [block]] of Object.entries<[Variable]>(file['variable'] ?? {})) {
        module.#variables.set(key, block);
      }
      for (const [key, [block]] of Object.entries<[Output]>(file['output'] ?? {}))
        module.#outputs.set(key, block);
      for (const [key, [block]] of Object.entries<[Record<string, Value>]>(file['module'] ?? {})) {
        module.#calls.set(key, block);
        module.#modules.set(key, await HclModule.read(join(directory, print(block['source']!))));
      }
      for (const block of (file['locals'] ?? []) as Record<string, Value>[]) {
        for (const [key, value] of Object.entries(block)) module.#locals.set(key, value);
      }
    }
    return module;
  }

  /**
   * What this module calls others with.
   *
   * @param names values for what only a provider knows: `module.x`, `count.index`
   */
  argument(call: string, name: string, given: Given, names: Given = {}): Value {
    return evaluate(this.#calls.get(call)![name]!, this.#scope(given, names));
  }

  #scope(given: Given, names: Given = {}): Scope {
    const computed = new Map<string, Value>();
    const compute = (name: string): Value => {
      const [kind, key = ''] = name.split('.');
      const variable = kind === 'var' ? this.#variables.get(key) : undefined;
      if (variable) return given[key] ?? variable.default ?? null;
      const local = kind === 'local' ? this.#locals.get(key) : undefined;
      if (local !== undefined) return evaluate(local, scope);
      if (name === 'path.module') return this.#directory;
      const call = kind === 'module' ? this.#calls.get(key) : undefined;
      if (!call) throw new TypeError(`no ${name} in this scope`);
      const args = Object.entries(call).filter(([argument]) => argument !== 'source');
      return this.#modules
        .get(key)!
        .plan(Object.fromEntries(args.map(([argument, value]) => [argument, evaluate(value, scope)])))
        .outputs;
    };
    const scope: Scope = (name) => {
      if (name in names) return names[name]!;
      if (!computed.has(name)) computed.set(name, compute(name));
      return computed.get(name)!;
    };
    return scope;
  }

  /** @param given with every member that an object type has: `optional` is not filled in here */
  plan(given: Given): Planned {
    const scope = this.#scope(given);
    const failing = (checks: readonly Check[] = []) =>
      checks
        .filter(({ condition }) => evaluate(condition, scope) !== true)
        .map(({ error_message }) => print(evaluate(error_message, scope)));
    const invalid = [...this.#variables.values()].flatMap(({ validation }) => failing(validation));
    if (invalid.length > 0) return { outputs: {}, refused: invalid };
    const refused = [...this.#outputs.values()].flatMap(({ precondition }) => failing(precondition));
    const outputs =
      refused.length > 0
        ? {}
        : Object.fromEntries([...this.#outputs].map(([name, { value }]) => [name, evaluate(value, scope)]));
    return { outputs, refused };
  }
}

/** What hcl2json makes of an expression: strings are templates, lists and objects hold others. */
function evaluate(value: Value, scope: Scope): Value {
  if (typeof value === 'string') return template(value)(scope);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one: Value) => evaluate(one, scope));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [print(template(key)(scope)), evaluate(one, scope)]),
  );
}
