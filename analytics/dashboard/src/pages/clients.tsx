import { useMemo } from 'preact/hooks';
import { since, useApi } from '../api.ts';
import { Chart, plainTooltip, useColours } from '../chart.tsx';
import { count, counted, percent, plain, words } from '../format.ts';
import { type Route, pathTo, setQuery } from '../route.ts';
import { Table } from '../table.tsx';
import type { Page } from '../types.ts';
import { Field, Fingerprint, Foreign, ForeignList, Heading, Link, Panel, Show, Time } from '../ui.tsx';
import { Listed, listPath } from './more.tsx';

interface ClientReport {
  readonly id: string;
  readonly received_at: string;
  readonly times: number;
  readonly mode: string;
  readonly codes: readonly string[];
  readonly address: string;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly leaf: string;
  readonly vas: readonly string[];
}

interface Sum {
  readonly day: string;
  readonly code: string;
  readonly checks: number;
  readonly reports: number;
}

const everyMs = 5000;
const dayMs = 86_400_000;
const days = 30;
const accepted = 'accepted';

/** What clients said, who sign nothing: a hint where to look, never evidence. */
export function Clients({ query }: Route) {
  const value = (name: string) => query.get(name) ?? '';
  const reports = useApi<Page<ClientReport>>(
    listPath('client-reports', query, ['code', 'server_name']),
    everyMs,
  );
  const from = since((days - 1) * dayMs, dayMs);
  const sums = useApi<Page<Sum>>(from && `client-statistics?since=${from}&limit=1000`, 60_000);
  return (
    <>
      <Heading title="Clients">Clients</Heading>
      <Panel title="Checks that failed, by day">
        <p class="note">
          Anonymous sums that clients sent, of {days} days. Unsigned, like the reports below.
        </p>
        <Show of={sums}>{({ items }) => <Failures items={items} />}</Show>
      </Panel>
      <Panel
        title="Failed checks reported"
        actions={
          <div class="filters">
            <Field
              label="Code"
              value={value('code')}
              placeholder="other-leaf"
              onChange={(code) => setQuery({ code, cursor: '' })}
            />
            <Field
              label="Name"
              value={value('server_name')}
              onChange={(name) => setQuery({ server_name: name, cursor: '' })}
            />
          </div>
        }
      >
        <Listed
          of={reports}
          query={query}
          caption="Failed checks that clients reported, newest first"
          keyOf={({ id }) => id}
          empty="No report like this."
          columns={[
            { name: 'Received', cell: ({ received_at: at }) => <Time at={at} /> },
            { name: 'Server', cell: (one) => <Server of={one} /> },
            { name: 'At', cell: ({ address, port }) => `${address} port ${port}` },
            { name: 'Why', wide: true, cell: ({ codes }) => <ForeignList of={codes.map(words)} /> },
            { name: 'Certificate', cell: ({ leaf }) => <Fingerprint of={leaf} /> },
            { name: 'VAs asked', cell: ({ vas }) => <ForeignList of={vas} most={4} /> },
            { name: 'Mode', cell: ({ mode }) => <Foreign of={words(mode)} most={40} /> },
            { name: 'Times', numeric: true, cell: ({ times }) => count(times) },
          ]}
        />
      </Panel>
    </>
  );
}

function Server({ of: { server_name: name, port, start_tls: startTls } }: { of: ClientReport }) {
  if (name === '') return <span>—</span>;
  const endpoint = `${name}:${port}${startTls === '' ? '' : `/${startTls}`}`;
  return (
    <Link to={pathTo('endpoints', endpoint)}>
      <Foreign of={name} />
    </Link>
  );
}

function Failures({ items }: { items: readonly Sum[] }) {
  const palette = useColours();
  const { codes, byDay, byCode, all } = useMemo(() => sumsOf(items), [items]);
  const option = useMemo(
    () => ({
      tooltip: {
        trigger: 'axis',
        ...plainTooltip(palette),
        valueFormatter: (share: number) => `${share.toFixed(2)} %`,
      },
      legend: { bottom: 0, textStyle: { color: palette.muted }, itemHeight: 14 },
      grid: { left: 8, right: 16, top: 24, bottom: codes.length > 4 ? 84 : 48, containLabel: true },
      xAxis: {
        type: 'category',
        data: byDay.map(([day]) => day),
        axisLabel: { color: palette.muted, hideOverlap: true },
        axisLine: { lineStyle: { color: palette.line } },
      },
      yAxis: {
        type: 'value',
        min: 0,
        axisLabel: { color: palette.muted, formatter: '{value} %' },
        splitLine: { lineStyle: { color: palette.line } },
      },
      color: [...palette.series],
      series: codes.map((code) => ({
        type: 'bar',
        name: plain(words(code), 40),
        stack: 'failures',
        barMaxWidth: 40,
        data: byDay.map(([, checks]) => (100 * (checks.get(code) ?? 0)) / total(checks)),
      })),
    }),
    [codes, byDay, palette],
  );
  if (all === 0) return <p class="empty">No sums in this time.</p>;
  const failed = percent(all - (byCode.get(accepted) ?? 0), all);
  return (
    <Chart
      option={option}
      height={280}
      label={`Share of checks that failed, by day and code: ${failed} of ${counted(all, 'check')} in all.`}
    >
      <Table
        compared
        caption="Checks over the whole time"
        keyOf={([code]) => code}
        rows={[...byCode]}
        columns={[
          { name: 'What came of it', cell: ([code]) => <Foreign of={words(code)} /> },
          { name: 'Checks', numeric: true, cell: ([, checks]) => count(checks) },
          { name: 'Share', numeric: true, cell: ([, checks]) => percent(checks, all) },
        ]}
      />
    </Chart>
  );
}

const total = (checks: ReadonlyMap<string, number>): number =>
  Math.max(
    1,
    [...checks.values()].reduce((sum, one) => sum + one, 0),
  );

/** Failure codes, the most frequent first; checks by day, and over all days. A check that failed twice counts twice. */
function sumsOf(items: readonly Sum[]) {
  const byDay = new Map<string, Map<string, number>>();
  const byCode = new Map<string, number>();
  for (const { day, code, checks } of items) {
    const name = day.slice(0, 10);
    const one = byDay.get(name) ?? new Map<string, number>();
    one.set(code, checks);
    byDay.set(name, one);
    byCode.set(code, (byCode.get(code) ?? 0) + checks);
  }
  const sorted = [...byCode].sort(([, a], [, b]) => b - a);
  return {
    codes: sorted.flatMap(([code, checks]) => (code === accepted || checks === 0 ? [] : [code])),
    byDay: [...byDay].sort(([a], [b]) => (a < b ? -1 : 1)),
    byCode: new Map(sorted),
    all: sorted.reduce((sum, [, checks]) => sum + checks, 0),
  };
}
