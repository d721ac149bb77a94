import { useMemo } from 'preact/hooks';
import { since, useApi } from '../api.ts';
import { Chart, plainTooltip, useColours } from '../chart.tsx';
import { ago, count, country, percent, plain, sure } from '../format.ts';
import { type Route, setQuery } from '../route.ts';
import { Table } from '../table.tsx';
import type { Incident, Page, Perspective, Rate, Rates, Totals } from '../types.ts';
import { Choice, Heading, Link, Panel, Show } from '../ui.tsx';
import { columns } from './incidents.tsx';
import { PerspectiveTable, WorldMap } from '../world.tsx';

const everyMs = 5000;
const hour = 3_600_000;
const ranges = [
  ['1', 'Last hour'],
  ['6', 'Last 6 hours'],
  ['24', 'Last 24 hours'],
  ['168', 'Last 7 days'],
  ['720', 'Last 30 days'],
] as const;
const dimensions = [
  ['country', 'Country'],
  ['rir', 'Region'],
  ['asn', 'Network'],
  ['agent', 'Perspective'],
] as const;

export function Overview({ query }: Route) {
  const range = query.get('range') ?? '24';
  const by = query.get('by') ?? 'country';
  const only = query.get('series') ?? '';
  const totals = useApi<Totals>('totals', everyMs);
  const perspectives = useApi<{ items: Perspective[] }>('perspectives', everyMs);
  const incidents = useApi<Page<Incident>>('incidents?state=open&limit=8', everyMs);
  const from = since(Number(range) * hour, 60_000);
  const rates = useApi<Rates>(
    from && `rates?by=${encodeURIComponent(by)}&since=${from}`,
    everyMs,
    `${by} ${range}`,
  );
  const alive = perspectives.data?.items.filter(({ state }) => state === 'alive').length;
  return (
    <>
      <Heading title="Overview">Overview</Heading>
      <Show of={totals}>
        {(of) => (
          <div class="tiles">
            <Tile
              name="Open incidents"
              value={count(of.open_incidents)}
              tone={of.open_incidents > 0 ? 'bad' : 'good'}
            />
            <Tile
              name="Perspectives alive"
              value={alive === undefined ? '…' : `${alive} of ${perspectives.data!.items.length}`}
              tone={alive === perspectives.data?.items.length ? 'good' : 'warn'}
            />
            <Tile name="Observations" value={count(of.observations)} />
            <Tile name="Mismatches reported" value={count(of.mismatches)} />
            <Tile name="Decisions" value={count(of.decisions)} />
            <Tile name="Certificates" value={count(of.certificates)} />
          </div>
        )}
      </Show>
      <Panel title="Open incidents" actions={<Link to="/incidents">All incidents</Link>}>
        <Show of={incidents}>{({ items }) => <OpenIncidents items={items} />}</Show>
      </Panel>
      <div class="columns">
        <Panel title="Map of perspectives">
          <Show of={perspectives}>{({ items }) => <WorldMap perspectives={items} />}</Show>
        </Panel>
        <Panel
          title="Mismatch rate"
          actions={
            <div class="filters">
              {only !== '' && (
                <button type="button" onClick={() => setQuery({ series: '' })}>
                  Only {plain(only)}: show all
                </button>
              )}
              <Choice
                label="Time"
                value={range}
                options={ranges}
                onChange={(value) => setQuery({ range: value })}
              />
              <Choice
                label="By"
                value={by}
                options={dimensions}
                onChange={(value) => setQuery({ by: value, series: '' })}
              />
            </div>
          }
        >
          <Show of={rates}>{(of) => <RateChart rates={of} by={by} only={only} />}</Show>
        </Panel>
      </div>
      <Panel title="Perspectives in the last hour">
        <Show of={perspectives}>{({ items }) => <PerspectiveTable perspectives={items} />}</Show>
      </Panel>
    </>
  );
}

const Tile = ({ name, value, tone = '' }: { name: string; value: string; tone?: string }) => (
  <div class={`tile ${tone}`}>
    <span class="value">{value}</span>
    <span class="name">{name}</span>
  </div>
);

const OpenIncidents = ({ items }: { items: readonly Incident[] }) => (
  <Table
    caption="Open incidents"
    keyOf={({ id }) => id}
    rows={items}
    empty="None."
    columns={[
      ...columns,
      { name: 'Since', cell: ({ since }) => ago(since) },
      { name: 'Sure', numeric: true, cell: ({ confidence }) => sure(confidence) },
    ]}
  />
);

/** Lines drawn at once, at most: those with most mismatches. Those without lie on the axis, one on the other. */
const maxLines = 8;
const drawn = (lines: readonly Line[]) => {
  const told = lines.filter(({ mismatches }) => mismatches > 0);
  return (told.length > 0 ? told : lines.slice(0, 1)).slice(0, maxLines);
};

function RateChart({ rates, by, only }: { rates: Rates; by: string; only: string }) {
  const palette = useColours();
  const named =
    by === 'country' ? country : by === 'asn' ? (name: string) => `AS${name}` : (name: string) => name;
  const lines = useMemo(() => linesOf(rates.items, only), [rates, only]);
  const times = useMemo(() => timesOf(rates), [rates]);
  const option = useMemo(
    () => ({
      tooltip: {
        trigger: 'axis',
        ...plainTooltip(palette),
        valueFormatter: (value: number) => `${value?.toFixed(2)} %`,
      },
      legend: { bottom: 0, textStyle: { color: palette.muted }, itemHeight: 14 },
      // Room for two rows of names, and three on a narrow screen.
      grid: { left: 8, right: 16, top: 24, bottom: drawn(lines).length > 4 ? 84 : 48, containLabel: true },
      xAxis: {
        type: 'time',
        min: Date.parse(rates.since),
        max: Date.parse(rates.until),
        axisLabel: { color: palette.muted, hideOverlap: true },
        axisLine: { lineStyle: { color: palette.line } },
      },
      yAxis: {
        type: 'value',
        min: 0,
        // Else what suits the figures.
        max: ({ max }: { max: number }) => (max < 1 ? 1 : max > 90 ? 100 : null),
        axisLabel: { color: palette.muted, formatter: '{value} %' },
        splitLine: { lineStyle: { color: palette.line } },
      },
      useUTC: true,
      color: [...palette.series],
      series: drawn(lines).map(({ name, at }) => ({
        type: 'line',
        name: named(name),
        symbol: times.length > 60 ? 'none' : 'circle',
        symbolSize: times.length > 20 ? 5 : 9,
        lineStyle: { width: 2 },
        data: times.map((time) => {
          const one = at.get(time);
          return [time, one && one.observations > 0 ? (100 * one.mismatches) / one.observations : null];
        }),
      })),
    }),
    [lines, times, palette, by],
  );
  if (lines.length === 0) return <p class="empty">No observations in this time.</p>;
  const worst = lines[0]!;
  const left = lines.length - drawn(lines).length;
  return (
    <Chart
      option={option}
      height={360}
      label={`Mismatch rate over time of ${lines.length} series; highest in all: ${named(worst.name)}, ${percent(worst.mismatches, worst.observations)}.`}
      note={left > 0 ? `${count(left)} more, with fewer mismatches or none, are in the table.` : ''}
    >
      <Table
        compared
        caption="Mismatch rate over the whole time"
        keyOf={({ name }) => name}
        rows={lines}
        columns={[
          { name: 'Series', cell: ({ name }) => named(name) },
          { name: 'Observations', numeric: true, cell: ({ observations }) => count(observations) },
          { name: 'Mismatches', numeric: true, cell: ({ mismatches }) => count(mismatches) },
          {
            name: 'Rate',
            numeric: true,
            cell: ({ mismatches, observations }) => percent(mismatches, observations),
          },
        ]}
      />
    </Chart>
  );
}

interface Line {
  readonly name: string;
  readonly at: Map<number, Rate>;
  observations: number;
  mismatches: number;
}

function linesOf(items: readonly Rate[], only: string): Line[] {
  const lines = new Map<string, Line>();
  for (const item of items) {
    if (only !== '' && item.name !== only) continue;
    let line = lines.get(item.name);
    if (!line)
      lines.set(item.name, (line = { name: item.name, at: new Map(), observations: 0, mismatches: 0 }));
    line.at.set(Date.parse(item.time), item);
    line.observations += item.observations;
    line.mismatches += item.mismatches;
  }
  return [...lines.values()].sort(
    (a, b) =>
      b.mismatches / b.observations - a.mismatches / a.observations || b.observations - a.observations,
  );
}

function timesOf({ items }: Rates): number[] {
  return [...new Set(items.map(({ time }) => Date.parse(time)))].sort((a, b) => a - b);
}
