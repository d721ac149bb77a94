import { useMemo } from 'preact/hooks';
import { useApi } from '../api.ts';
import { Chart, plainTooltip, useColours } from '../chart.tsx';
import { commonName, count, counted, country, plain, short, time, words } from '../format.ts';
import { type Route, pathTo, setQuery } from '../route.ts';
import { Table } from '../table.tsx';
import type { EndpointPage, EndpointRow, Observation, Page } from '../types.ts';
import { Choice, Field, Fingerprint, Foreign, Heading, Link, Name, Panel, Show, Tag, Time } from '../ui.tsx';
import { columns } from './certificates.tsx';
import { Listed, listPath } from './more.tsx';

export function Endpoints({ query }: Route) {
  const value = (name: string) => query.get(name) ?? '';
  const endpoints = useApi<Page<EndpointRow>>(listPath('endpoints', query, ['server_name', 'certificates']));
  return (
    <>
      <Heading title="Endpoints">Endpoints</Heading>
      <Panel
        title="Endpoints looked at"
        actions={
          <div class="filters">
            <Field
              label="Name"
              value={value('server_name')}
              placeholder="www.example.org"
              onChange={(name) => setQuery({ server_name: name, cursor: '' })}
            />
            <Choice
              label="Certificates"
              value={value('certificates')}
              options={[
                ['', 'Any'],
                ['2', '2 or more'],
                ['3', '3 or more'],
              ]}
              onChange={(least) => setQuery({ certificates: least, cursor: '' })}
            />
          </div>
        }
      >
        <Listed
          of={endpoints}
          query={query}
          caption="Endpoints, last seen first"
          keyOf={({ endpoint }) => endpoint}
          empty="No endpoint like this."
          columns={[
            {
              name: 'Endpoint',
              cell: ({ endpoint }) => (
                <Link to={pathTo('endpoints', endpoint)}>
                  <Foreign of={endpoint} />
                </Link>
              ),
            },
            { name: 'Certificates', numeric: true, cell: ({ certificates }) => count(certificates) },
            { name: 'First seen', cell: ({ first_seen: at }) => <Time at={at} /> },
            { name: 'Last seen', cell: ({ last_seen: at }) => <Time at={at} /> },
          ]}
        />
      </Panel>
    </>
  );
}

export function EndpointView({ path: [, endpoint = ''] }: Route) {
  const page = useApi<EndpointPage>(`endpoints/${encodeURIComponent(endpoint)}`, 15_000);
  return (
    <>
      <Heading title={plain(endpoint)}>
        <Foreign of={endpoint} />
      </Heading>
      <Show of={page}>{(of) => <Body page={of} />}</Show>
    </>
  );
}

function Body({ page }: { page: EndpointPage }) {
  const [last] = page.days;
  return (
    <>
      <Panel title="Certificates by country and time">
        {last && (
          <p class="note">
            On {last.day} looked at by {counted(last.perspectives, 'perspective')} in{' '}
            {counted(last.countries, 'country', 'countries')}.
          </p>
        )}
        <HistoryChart page={page} />
      </Panel>
      <Panel title="Certificates">
        <Table
          caption="Certificates seen here"
          keyOf={({ fingerprint }) => fingerprint}
          rows={page.certificates}
          columns={[
            ...columns,
            { name: 'Valid from', cell: ({ not_before: at }) => <Time at={at} /> },
            { name: 'Valid to', cell: ({ not_after: at }) => <Time at={at} /> },
            {
              name: 'Seen in',
              cell: ({ fingerprint }) =>
                [
                  ...new Set(
                    page.history
                      .filter(({ leaf }) => leaf === fingerprint)
                      .map((one) => country(one.country)),
                  ),
                ].join(', '),
            },
          ]}
        />
      </Panel>
      <Panel title="Last observations">
        <Table
          caption="Observations, newest first"
          keyOf={({ id }) => id}
          rows={page.recent}
          columns={[
            { name: 'Time', cell: ({ received_at: at }) => <Time at={at} /> },
            { name: 'Perspective', cell: ({ agent }) => agent },
            { name: 'Country', cell: ({ country: code }) => country(code) },
            { name: 'Verdict', cell: (one) => <Opinion of={one} /> },
            {
              name: 'Certificate',
              cell: ({ leaf, error_class: error }) =>
                leaf === '' ? words(error) : <Fingerprint of={leaf} />,
            },
            {
              name: 'Asked by',
              cell: ({ campaign }) =>
                campaign === '' ? 'coordinator' : <Link to={pathTo('campaigns', campaign)}>campaign</Link>,
            },
            {
              name: 'Proof',
              numeric: true,
              cell: ({ proof_us: us }) => (us === 0 ? '—' : `${(us / 1000).toFixed(1)} ms`),
            },
          ]}
        />
      </Panel>
    </>
  );
}

/** The first opinion, or the later one that it belongs to an interception. */
const Opinion = ({ of: { verdict, incident } }: { of: Observation }) =>
  incident === '' ? (
    <Tag of={verdict} />
  ) : (
    <>
      <Tag of="mismatch" /> <Link to={pathTo('incidents', incident)}>incident</Link>
    </>
  );

/** A bar a country and certificate, from its first sight to its last. */
function HistoryChart({ page: { history } }: { page: EndpointPage }) {
  const palette = useColours();
  const option = useMemo(() => {
    const countries = [...new Set(history.map((one) => one.country))].sort().toReversed();
    const leaves = [...new Set(history.map(({ leaf }) => leaf))];
    const lanes = (code: string) => [
      ...new Set(history.filter((one) => one.country === code).map(({ leaf }) => leaf)),
    ];
    return {
      tooltip: { trigger: 'item', ...plainTooltip(palette) },
      legend: {
        bottom: 0,
        type: 'scroll',
        textStyle: { color: palette.muted },
        itemHeight: 14,
        data: leaves.slice(0, 12).map(short),
      },
      grid: { left: 8, right: 16, top: 8, bottom: 40, containLabel: true },
      useUTC: true,
      xAxis: { type: 'time', axisLabel: { color: palette.muted, hideOverlap: true } },
      yAxis: {
        type: 'category',
        data: countries.map(country),
        axisLabel: { color: palette.text },
        splitLine: { show: true, lineStyle: { color: palette.line } },
      },
      series: leaves.map((leaf, i) => ({
        type: 'custom',
        name: short(leaf),
        itemStyle: { color: palette.series[i % palette.series.length] },
        encode: { x: [1, 2], y: 0 },
        data: history
          .filter((one) => one.leaf === leaf)
          .map((one) => ({
            value: [
              countries.indexOf(one.country),
              Date.parse(one.first_seen),
              Date.parse(one.last_seen),
              lanes(one.country).indexOf(leaf),
              lanes(one.country).length,
            ],
            tooltip: {
              formatter: () =>
                `${country(one.country)}: ${short(leaf)}\n${commonName(one.issuer)}\n${time(one.first_seen)} to ${time(one.last_seen)}, ${counted(one.perspectives, 'perspective')}`,
            },
          })),
        renderItem: drawBar,
      })),
    };
  }, [history, palette]);
  const countries = new Set(history.map((one) => one.country)).size;
  const leaves = new Set(history.map(({ leaf }) => leaf)).size;
  return (
    <Chart
      option={option}
      height={Math.min(520, 90 + 26 * countries)}
      label={`${counted(leaves, 'certificate')} seen from ${counted(countries, 'country', 'countries')} over time.`}
    >
      <Table
        caption="History by country"
        keyOf={({ leaf, country: code }) => leaf + code}
        rows={history}
        columns={[
          { name: 'Country', cell: ({ country: code }) => country(code) },
          { name: 'Certificate', cell: ({ leaf }) => <Fingerprint of={leaf} /> },
          { name: 'Issuer', cell: ({ issuer }) => <Name of={issuer} /> },
          { name: 'First seen', cell: ({ first_seen: at }) => <Time at={at} /> },
          { name: 'Last seen', cell: ({ last_seen: at }) => <Time at={at} /> },
          { name: 'Perspectives', numeric: true, cell: ({ perspectives }) => count(perspectives) },
        ]}
      />
    </Chart>
  );
}

interface Drawing {
  value(dimension: number): number;
  coord(point: readonly [number, number]): [number, number];
  size(extent: readonly [number, number]): [number, number];
  visual(name: string): string;
}

function drawBar(_: unknown, api: Drawing) {
  const row = api.value(0);
  const [from, y] = api.coord([api.value(1), row]);
  const [to] = api.coord([api.value(2), row]);
  const height = api.size([0, 1])[1] * 0.8;
  const lane = height / api.value(4);
  const top = y - height / 2 + lane * api.value(3);
  return {
    type: 'rect',
    shape: { x: from, y: top, width: Math.max(3, to - from), height: Math.max(2, lane - 1), r: 2 },
    style: { fill: api.visual('color') },
  };
}
