import { useState } from 'preact/hooks';
import { ApiError, call, post, save } from '../api.ts';
import { count, counted } from '../format.ts';
import { type Route, setQuery } from '../route.ts';
import { Table } from '../table.tsx';
import { Foreign, Heading, Panel, Trouble } from '../ui.tsx';

interface Result {
  readonly meta: readonly { readonly name: string; readonly type: string }[];
  readonly data: readonly (readonly unknown[])[];
  readonly rows: number;
}

const start = `SELECT country, countIf(verdict = 'mismatch') AS mismatches, count() AS observations
FROM observations
WHERE received_at > now() - INTERVAL 1 DAY
GROUP BY country
ORDER BY mismatches DESC`;
const shown = 1000;

export function Sql({ query }: Route) {
  const [text, setText] = useState(query.get('q') ?? start);
  const [result, setResult] = useState<Result>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const attempt = async (what: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await what();
    } catch (failed) {
      setError(failed instanceof ApiError ? failed : new ApiError('internal', 0, String(failed)));
    }
    setBusy(false);
  };
  const run = () =>
    attempt(async () => {
      setQuery({ q: text }, { replace: true });
      setResult(await post<Result>('sql', { query: text }));
    });
  const download = (format: string) =>
    attempt(async () => {
      save(`result.${format}`, await (await call('sql', { query: text, format })).blob());
    });
  return (
    <>
      <Heading title="SQL">SQL</Heading>
      <Panel title="Query">
        <form
          class="query"
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <label>
            <span class="unseen">A SELECT in the SQL of ClickHouse</span>
            <textarea
              rows={9}
              spellcheck={false}
              value={text}
              onInput={({ currentTarget }) => setText(currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void run();
              }}
            />
          </label>
          <div class="filters">
            <button type="submit" class="primary" disabled={busy}>
              Run (Ctrl+Enter)
            </button>
            {(['csv', 'parquet', 'arrow'] as const).map((format) => (
              <button key={format} type="button" disabled={busy} onClick={() => void download(format)}>
                {format === 'csv' ? 'CSV' : format === 'parquet' ? 'Parquet' : 'Arrow'}
              </button>
            ))}
            <span class="note">
              It can only read; time, rows and memory are limited. A token with scope sql is needed.
            </span>
          </div>
        </form>
        {error && <Trouble error={error} />}
      </Panel>
      {result && (
        <Panel title={counted(result.rows, 'row')}>
          <Table
            compared
            caption="Result of the query"
            keyOf={(_, i) => String(i)}
            rows={result.data.slice(0, shown)}
            empty="No rows."
            columns={result.meta.map(({ name, type }, i) => ({
              name,
              numeric: /^(U?Int|Float|Decimal)/.test(type),
              cell: (row: readonly unknown[]) => (
                <Foreign of={typeof row[i] === 'string' ? row[i] : JSON.stringify(row[i])} most={1000} />
              ),
            }))}
          />
          {result.rows > shown && <p class="note">The first {count(shown)}; download the rest.</p>}
        </Panel>
      )}
    </>
  );
}
