/**
 * The process in which queries of users run when the engine is embedded: `sandbox-process.ts <directory>
 * <configuration> [<statement>…]`. With statements it runs them and ends; without, it serves its parent over IPC.
 * It is given no secrets, and is killed when it takes too long.
 */
import { Session } from 'chdb';
import { AnalyticsError } from '../error.ts';
import { type Catalogue, type Engine, checkQuery, readCatalogue } from './check.ts';
import { engineFault } from './faults.ts';
import { readableTables } from './tables.ts';

export interface SandboxRequest {
  readonly id: number;
  readonly query: string;
  /** Format of the result, as ClickHouse calls it. */
  readonly format: string;
}

export type SandboxAnswer =
  | { readonly id: number; readonly result: Uint8Array }
  | { readonly id: number; readonly code: AnalyticsError['code']; readonly message: string };

const [directory, configuration, ...statements] = process.argv.slice(2);
const session = new Session(directory, { connectionArgs: [`--config-file=${configuration}`] });

const engine: Engine = {
  ask,
  explain: async (query) => (await ask(query)).map((row) => String(row['explain'])),
};

async function ask(query: string, parameters?: Readonly<Record<string, unknown>>) {
  const options = { format: 'JSONEachRow' };
  const result = parameters
    ? await session.queryBindAsync(query, parameters, options)
    : await session.queryAsync(query, options);
  const lines = result.text().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What a query that failed had put out already comes before the result of the next (chdb 3.4), whoever asks that. */
async function rinse(): Promise<void> {
  for (let tries = 0; tries < 3; tries++)
    if ((await session.queryAsync('SELECT 1', { format: 'TabSeparated' })).text() === '1\n') return;
  process.exit(1);
}

async function answer(catalogue: Catalogue, { id, query, format }: SandboxRequest): Promise<SandboxAnswer> {
  try {
    const checked = await checkQuery(engine, catalogue, query);
    return { id, result: (await session.queryAsync(checked, { format })).bytes() };
  } catch (error) {
    await rinse();
    const { code, message } = error instanceof AnalyticsError ? error : engineFault(error);
    return { id, code, message };
  }
}

if (statements.length > 0) {
  for (const statement of statements) session.query(statement);
  process.exit(0);
}
process.on('disconnect', () => process.exit(0));
const catalogue = await readCatalogue(
  engine,
  Object.keys(readableTables).map((table) => `default.${table}`),
);
process.on('message', (request: SandboxRequest) => {
  void answer(catalogue, request).then((sent) => process.send!(sent));
});
process.send!({ id: 0, result: new Uint8Array() } satisfies SandboxAnswer);
