/**
 * What the providers' resources take and give, by their documentation: aws 6.25, google 6.50. Names alone, and of no
 * more than the modules use; whoever uses another resource adds it here, from the page of its documentation.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from '@cdktf/hcl2json';

export interface Members {
  readonly [name: string]: 'required' | 'optional' | Members;
}
interface Resource {
  /** Arguments; blocks have members of their own. */
  readonly takes: Members;
  /** Attributes that others may refer to, besides the arguments. */
  readonly gives: readonly string[];
}

const schema = JSON.parse(
  readFileSync(join(import.meta.dirname, 'provider-schema.json'), 'utf8'),
) as Readonly<Record<string, Resource>>;
/** Terraform's own, of every resource. */
const meta = new Set(['count', 'for_each', 'provider', 'depends_on', 'lifecycle', 'dynamic']);

interface Body {
  readonly dynamic?: Readonly<Record<string, readonly { readonly content: unknown }[]>>;
  readonly [name: string]: unknown;
}
type Parsed = Partial<Record<'resource' | 'data', Record<string, Record<string, Body[]>>>>;

/** What a provider would say against the resources of a file, and against what it refers to in them. */
export async function complaints(name: string, text: string): Promise<string[]> {
  const parsed = (await parse(name, text)) as Parsed;
  const found: string[] = [];
  for (const kind of ['resource', 'data'] as const) {
    for (const [type, ones] of Object.entries(parsed[kind] ?? {})) {
      const known = schema[kind === 'data' ? `data.${type}` : type];
      if (!known) found.push(`${type}: not in provider-schema.json`);
      else
        for (const [one, bodies] of Object.entries(ones)) judge(`${type}.${one}`, bodies, known.takes, found);
    }
  }
  for (const [, data = '', type, one, attribute = ''] of text.matchAll(
    /\b(data\.)?((?:aws|google)_\w+)\.(\w+)(?:\[[^\]]*\])?\.(\w+)/g,
  )) {
    const known = schema[`${data}${type}`];
    if (known && !known.gives.includes(attribute) && !(attribute in known.takes))
      found.push(`${data}${type}.${one}.${attribute}: there is no such attribute`);
  }
  return found;
}

function judge(where: string, bodies: unknown, takes: Members, found: string[]): void {
  for (const body of (Array.isArray(bodies) ? bodies : [bodies]) as Body[]) {
    // An expression, whose members show only when it is evaluated.
    if (typeof body !== 'object') continue;
    const { dynamic = {} } = body;
    for (const name of [...Object.keys(body), ...Object.keys(dynamic)])
      if (!meta.has(name) && !(name in takes)) found.push(`${where}: ${name} is not known`);
    for (const [name, member] of Object.entries(takes)) {
      if (member === 'required' && !(name in body)) found.push(`${where}: ${name} is missing`);
      if (typeof member !== 'object') continue;
      if (name in body) judge(`${where}.${name}`, body[name], member, found);
      for (const { content } of dynamic[name] ?? []) judge(`${where}.${name}`, content, member, found);
    }
  }
}
