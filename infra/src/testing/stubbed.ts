/**
 * Modules as they are, but for their resources: each becomes a `terraform_data`, which terraform has itself. So it plans
 * and applies the whole graph — references, counts, cycles, conditions — where no provider is to be had.
 */
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseFile } from '@cdktf/hcl2json';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Body = Record<string, Json>;
/** Blocks come in lists, even where there can be but one. */
type Blocks = Record<string, Body[]>;
interface File {
  readonly terraform?: Body[];
  readonly variable?: Blocks;
  readonly module?: Blocks;
  readonly resource?: Record<string, Blocks>;
  readonly data?: Record<string, Blocks>;
  readonly provider?: Blocks;
}

/** Arguments of terraform itself. */
const meta = ['count', 'for_each', 'depends_on'];
const zones = 'aws_availability_zones';

/**
 * @param infra its `terraform`, and the `monitoring` beside it, which modules read
 * @param to made by this; has the same below it
 */
export async function stub(infra: string, to: string): Promise<void> {
  for (const part of ['terraform', 'monitoring'])
    cpSync(join(infra, part), join(to, part), { recursive: true });
  for (const entry of readdirSync(to, { recursive: true, encoding: 'utf8' })) {
    const file = join(to, entry);
    if (entry.endsWith('.tftest.hcl')) {
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/^mock_provider .*\{(\}|[^]*?^\})\n/gm, ''));
    }
    if (!entry.endsWith('.tf')) continue;
    const parsed = (await parseFile(entry, readFileSync(file, 'utf8'))) as File;
    writeFileSync(`${file}.json`, JSON.stringify(stubbed(parsed), undefined, 1));
    rmSync(file);
  }
}

function stubbed(file: File): Body {
  const { terraform = [], module = {}, resource = {}, data = {}, variable = {}, provider: _, ...rest } = file;
  const resources: Body = {};
  for (const [type, blocks] of [...Object.entries(resource), ...Object.entries(data)]) {
    if (type === zones) continue;
    for (const [name, [body]] of Object.entries(blocks)) resources[`${type}__${name}`] = resourceOf(body!);
  }
  const made: Body = {
    ...(renamed(rest) as Body),
    terraform: terraform.map(({ required_providers: __, ...own }) => own),
    variable: each(variable, ({ type, ...own }) => ({
      ...own,
      ...(typeof type === 'string' && { type: bare(type) }),
    })),
    module: each(module, ({ providers: __, ...own }) => renamed(own) as Body),
    resource: { ...(Object.keys(resources).length > 0 && { terraform_data: resources }) },
  };
  return Object.fromEntries(Object.entries(made).filter(([, value]) => Object.keys(value!).length > 0));
}

function resourceOf({ lifecycle, ...body }: Body): Body {
  const pick = (own: boolean) =>
    renamed(Object.fromEntries(Object.entries(body).filter(([key]) => meta.includes(key) === own))) as Body;
  const conditions = [lifecycle ?? []].flat().flatMap((one) => (one as Body)['precondition'] ?? []);
  return {
    ...pick(true),
    input: pick(false),
    ...(conditions.length > 0 && { lifecycle: { precondition: renamed(conditions) } }),
  };
}

const each = (blocks: Blocks, change: (body: Body) => Body): Body =>
  Object.fromEntries(Object.entries(blocks).map(([name, [body]]) => [name, change(body!)]));

const bare = (text: string): string => text.replace(/^\$\{(.*)\}$/s, '$1');
const references = (list: Json): Json => (list as string[]).map((one) => bare(renamed(one) as string));

/** The same, with what refers to a resource referring to what stands for it, and any attribute of it to its `id`. */
function renamed(value: Json): Json {
  if (typeof value === 'string') return value.includes('${') || isReference(value) ? rename(value) : value;
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, key === 'depends_on' ? references(one) : renamed(one)]),
  );
}

const isReference = (text: string) => /^(data\.)?(aws|google)_\w+\.\w+$/.test(text);

const rename = (text: string): string =>
  text
    .replaceAll(`data.${zones}.available.names`, '["a", "b", "c"]')
    .replaceAll(
      /(?<![\w."-])(?:data\.)?((?:aws|google)_\w+)\.(\w+)(?:((?:\[[^\]]*\])?)\.\w+(?:\[\d+\]|\.\w+)*)?/g,
      (_, type: string, name: string, index: string | undefined) =>
        `terraform_data.${type}__${name}${index === undefined ? '' : `${index}.id`}`,
    )
    // Of one that a `for` goes through.
    .replaceAll(/\bsecret\.arn\b/g, 'secret.id');
