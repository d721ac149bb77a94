import { AnalyticsError } from '../error.ts';

/** What a query may name. */
export interface Catalogue {
  /** Lower-case names, aliases included. */
  readonly functions: ReadonlySet<string>;
  /** Lower-case names of aggregate functions, which combinators may follow. */
  readonly aggregates: ReadonlySet<string>;
  /** Suffixes such as `If`, `Merge`, lower-case. */
  readonly combinators: readonly string[];
  /** Tables that may be read, with their database: `default.observations`. */
  readonly tables: ReadonlySet<string>;
}

/** What the engine is asked about a query before it runs. */
export interface Engine {
  /** Runs one statement of ours and gives its rows. */
  ask(
    query: string,
    parameters?: Readonly<Record<string, unknown>>,
  ): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** The lines of an EXPLAIN. */
  explain(query: string): Promise<readonly string[]>;
}

/** Longest query, in characters. */
export const maxQueryLength = 32_768;

/**
 * Categories of `system.functions` whose members compute on their arguments and nothing else. What the engine
 * puts in none, in `Other`, or in one that is not here is refused, unless it is among `harmless`.
 */
const categories = [
  'Arithmetic',
  'Arrays',
  'Bit',
  'Bitmap',
  'Comparison',
  'Conditional',
  'Dates and Times',
  'Distance',
  'Encoding',
  'Geo',
  'Hash',
  'IP Address',
  'JSON',
  'Logical',
  'Map',
  'Mathematical',
  'Null',
  'Nullable',
  'Rounding',
  'String',
  'String Replacement',
  'String Search',
  'String Splitting',
  'Time Window',
  'Tuple',
  'Type Conversion',
  'URL',
  'Window',
];

const harmless = [
  'arrayjoin',
  'bar',
  'exists',
  'formatreadabledecimalsize',
  'formatreadablequantity',
  'formatreadablesize',
  'formatreadabletimedelta',
  'in',
  'globalin',
  'notin',
  'globalnotin',
  'lambda',
  'materialize',
  'totypename',
  'transform',
  'widthbucket',
];

/** Categories of members that do reach beyond their arguments. */
const harmful = ['servertimezone', 'serveruuid'];

/** The only functions that may stand where a table does: they make numbers. */
const tableFunctions = new Set(['numbers', 'generateseries', 'generate_series', 'values']);

/** Reads from the engine which functions there are. `tables`: those that may be read. */
export async function readCatalogue(
  engine: Pick<Engine, 'ask'>,
  tables: Iterable<string>,
): Promise<Catalogue> {
  const rows = await engine.ask(
    `SELECT lower(f.name) AS name, f.is_aggregate AS aggregate
      FROM system.functions AS f LEFT JOIN system.functions AS target ON target.name = f.alias_to
      WHERE f.origin = 'System' AND (f.is_aggregate OR lower(f.name) IN {harmless:Array(String)}
        OR hasAny(splitByString(',', if(f.alias_to = '', f.categories, target.categories)), {categories:Array(String)}))
        AND lower(f.name) NOT IN {harmful:Array(String)}`,
    { categories, harmless, harmful },
  );
  const combinators = await engine.ask(
    'SELECT lower(name) AS name FROM system.aggregate_function_combinators',
  );
  const names = (wanted: (row: Readonly<Record<string, unknown>>) => boolean) =>
    rows.filter(wanted).map((row) => String(row['name']));
  return {
    functions: new Set([...names(() => true), ...harmless]),
    aggregates: new Set(names(({ aggregate }) => Number(aggregate) === 1)),
    combinators: combinators.map((row) => String(row['name'])),
    tables: new Set(tables),
  };
}

/**
 * Whether a query only computes on the tables it may read, as the engine's own parser understands it. First it is
 * written anew by the engine, which refuses a second statement and drops comments; then each node of its syntax
 * tree has to be of a kind that is known, and each name on a list. Nothing of the query is evaluated.
 *
 * @returns the query as the engine writes it
 * @throws AnalyticsError `query-refused`, `query-failed`
 */
export async function checkQuery(engine: Engine, catalogue: Catalogue, text: string): Promise<string> {
  if (text.length > maxQueryLength) throw refused(`longer than ${maxQueryLength} characters`);
  if (text.includes('\0')) throw refused('NUL');
  const [row] = await engine.ask('SELECT formatQuerySingleLine({text:String}) AS query', { text });
  const query = String(row?.['query']);
  // As a subquery it can be nothing but a SELECT, and cannot say where the result goes or how it looks.
  checkTree(await engine.explain(`EXPLAIN AST SELECT * FROM (${query})`), catalogue);
  return query;
}

/** Kinds of nodes that have nothing to be looked at but their children, which are lines of their own. */
const plain = new Set([
  'ArrayJoin',
  'Asterisk',
  'ColumnsExceptTransformer',
  'ColumnsListMatcher',
  'ColumnsRegexpMatcher',
  'ColumnsTransformerList',
  'ExpressionList',
  'InterpolateElement',
  'Literal',
  'OrderByElement',
  'QualifiedAsterisk',
  'QualifiedColumnsListMatcher',
  'QualifiedColumnsRegexpMatcher',
  'SampleRatio',
  'SelectIntersectExceptQuery',
  'SelectQuery',
  'SelectWithUnionQuery',
  'Subquery',
  'TableExpression',
  'TableJoin',
  'TablesInSelectQuery',
  'TablesInSelectQueryElement',
  'WindowDefinition',
  'WindowListElement',
  'WithElement',
]);

function checkTree(lines: readonly string[], catalogue: Catalogue): void {
  let above = '';
  for (const line of lines) {
    const [, kind = '', name = ''] = /^ *([A-Za-z]+)(?: (\S*))?/.exec(line) ?? [];
    if (kind === 'Function') checkFunction(name, above === 'TableExpression', catalogue);
    else if (kind === 'TableIdentifier') checkTable(name, catalogue);
    else if (kind === 'Identifier') checkIdentifier(name);
    else if (!plain.has(kind)) throw refused(`${kind === '' ? 'this syntax' : kind} is not allowed`);
    above = kind;
  }
}

function checkFunction(name: string, asTable: boolean, catalogue: Catalogue): void {
  const lower = name.toLowerCase();
  if (asTable) {
    if (!tableFunctions.has(lower)) throw refused(`table function ${name} is not allowed`);
  } else if (!catalogue.functions.has(lower) && !isCombined(lower, catalogue)) {
    throw refused(`function ${name} is not allowed`);
  }
}

/** An aggregate function with combinators behind its name, such as `countIf`. */
function isCombined(name: string, { aggregates, combinators }: Catalogue): boolean {
  if (aggregates.has(name)) return true;
  return combinators.some(
    (combinator) =>
      name.length > combinator.length &&
      name.endsWith(combinator) &&
      isCombined(name.slice(0, -combinator.length), { aggregates, combinators } as Catalogue),
  );
}

/** A bare name is one of the query's own or of the database it runs in; those of other databases are not. */
function checkTable(name: string, { tables }: Catalogue): void {
  if (name.includes('.') && !tables.has(name)) throw refused(`there is no table ${name}`);
}

/** What stands to the right of IN may be a table, and these databases tell about the engine. */
function checkIdentifier(name: string): void {
  if (/^(system|information_schema)\b/i.test(name)) throw refused(`${name} is not allowed`);
}

const refused = (why: string) => new AnalyticsError('query-refused', why);
