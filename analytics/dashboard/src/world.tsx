import { registerMap } from 'echarts/core';
import { useMemo } from 'preact/hooks';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import atlas from 'world-atlas/countries-110m.json';
import { Chart, plainTooltip, useColours } from './chart.tsx';
import { ago, count, counted, country, percent, plain } from './format.ts';
import { Table } from './table.tsx';
import type { Perspective } from './types.ts';
import { Link, Tag } from './ui.tsx';

const topology = atlas as unknown as Topology<{ countries: GeometryCollection<{ name: string }> }>;
const world = feature(topology, topology.objects.countries);
// Nobody looks from there, and it takes a fifth of the map.
world.features = world.features.filter(({ properties }) => properties.name !== 'Antarctica');
for (const { geometry } of world.features) {
  const polygons =
    geometry.type === 'Polygon'
      ? [geometry.coordinates]
      : geometry.type === 'MultiPolygon'
        ? geometry.coordinates
        : [];
  for (const ring of polygons.flat()) unwrap(ring);
}
registerMap('world', world as never);

/** A ring that crosses the antimeridian goes on beyond 180° instead of around the world. */
function unwrap(ring: number[][]): void {
  const crosses = ring.some(([x = 0], i) => i > 0 && Math.abs(x - ring[i - 1]![0]!) > 180);
  if (crosses) for (const point of ring) if (point[0]! < 0) point[0]! += 360;
}

/** Meridians and parallels, 30° apart. */
const graticule = (color: string) => ({
  type: 'lines',
  coordinateSystem: 'geo',
  silent: true,
  z: 1,
  lineStyle: { color, width: 0.7, opacity: 0.9 },
  data: [
    ...[-180, -150, -120, -90, -60, -30, 0, 30, 60, 90, 120, 150, 180].map((x) => ({
      coords: [
        [x, -56],
        [x, 84],
      ],
    })),
    ...[-30, 0, 30, 60].map((y) => ({
      coords: [
        [-180, y],
        [180, y],
      ],
    })),
  ],
});

/** What matters most about a perspective. */
export function healthOf({ state, mismatches, locationCheck }: Perspective): 'bad' | 'warn' | 'good' {
  if (mismatches > 0) return 'bad';
  return state === 'alive' && locationCheck !== 'contradicts' ? 'good' : 'warn';
}

/** Where a name has room, also on a narrow screen: within the map, and not behind the next symbol. */
function sideOf({ longitude, latitude }: Perspective, all: readonly Perspective[]): 'left' | 'right' {
  const beside = all.filter((other) => Math.abs(other.latitude - latitude) < 7);
  const degrees = [180, -180, ...beside.map((other) => other.longitude)].map((edge) => edge - longitude);
  const right = Math.min(...degrees.filter((one) => one > 0));
  const left = Math.min(...degrees.filter((one) => one < 0).map(Math.abs));
  return right < 75 && left > right ? 'left' : 'right';
}

const meanings = { bad: 'sees mismatches', warn: 'silent or in doubt', good: 'well' } as const;

/** Perspectives where they are: shape and colour say how they are, size how much they did. */
export function WorldMap({ perspectives }: { perspectives: readonly Perspective[] }) {
  const palette = useColours();
  const option = useMemo(() => {
    const busiest = Math.max(1, ...perspectives.map(({ observations }) => observations));
    const symbols = { good: 'circle', warn: 'triangle', bad: 'diamond' } as const;
    return {
      aria: { enabled: false },
      tooltip: { trigger: 'item', ...plainTooltip(palette) },
      legend: {
        bottom: 0,
        left: 8,
        itemWidth: 12,
        itemHeight: 12,
        textStyle: { color: palette.muted },
        data: Object.values(meanings),
      },
      geo: {
        map: 'world',
        roam: false,
        silent: true,
        top: 8,
        bottom: 28,
        left: 8,
        right: 8,
        itemStyle: { areaColor: palette.land, borderColor: palette.panel, borderWidth: 0.6 },
      },
      series: [
        graticule(palette.line),
        ...(['good', 'warn', 'bad'] as const).map((health) => ({
          type: 'scatter',
          name: meanings[health],
          coordinateSystem: 'geo',
          symbol: symbols[health],
          itemStyle: { color: palette[health], opacity: 1, borderColor: palette.panel, borderWidth: 1.5 },
          label: {
            show: true,
            position: 'right',
            formatter: '{b}',
            color: palette.text,
            fontSize: 11,
            textBorderColor: palette.panel,
            textBorderWidth: 2,
          },
          // Where there are too many, some names are left out: first those that are well.
          labelLayout: { hideOverlap: true },
          z: { good: 3, warn: 4, bad: 5 }[health],
          data: perspectives
            .filter((one) => healthOf(one) === health)
            .map((one) => ({
              name: plain(one.agent, 20),
              value: [one.longitude, one.latitude],
              label: { position: sideOf(one, perspectives) },
              symbolSize: 11 + 9 * Math.sqrt(one.observations / busiest) + (health === 'bad' ? 5 : 0),
              tooltip: { formatter: () => describe(one) },
            })),
        })),
      ],
    };
  }, [perspectives, palette]);
  const states = (['bad', 'warn', 'good'] as const).map(
    (health) => `${perspectives.filter((one) => healthOf(one) === health).length} ${meanings[health]}`,
  );
  return (
    <Chart
      option={option}
      height={360}
      label={`Map of ${counted(perspectives.length, 'perspective')}: ${states.join(', ')}.`}
    />
  );
}

const describe = (one: Perspective) =>
  `${one.agent}: ${one.city}, ${country(one.country)}, AS${one.asn}\n${one.state}, heard ${ago(one.heardAt)}\n` +
  `last hour: ${counted(one.observations, 'observation')}, ${counted(one.mismatches, 'mismatch', 'mismatches')}, ` +
  `${percent(one.inconclusive, one.observations)} inconclusive`;

export const PerspectiveTable = ({ perspectives }: { perspectives: readonly Perspective[] }) => (
  <Table
    caption="Perspectives and what they did in the last hour"
    keyOf={({ agent }) => agent}
    rows={perspectives.toSorted(
      (a, b) => b.mismatches - a.mismatches || Number(a.state === 'alive') - Number(b.state === 'alive'),
    )}
    empty="The registry has no perspectives."
    columns={[
      { name: 'Perspective', cell: ({ agent }) => <Link to={`/?by=agent&series=${agent}`}>{agent}</Link> },
      { name: 'Place', cell: ({ city, country: code }) => `${city}, ${country(code)}` },
      { name: 'Network', cell: ({ asn }) => `AS${asn}` },
      { name: 'State', cell: ({ state }) => <Tag of={state} /> },
      { name: 'Heard', cell: ({ heardAt }) => ago(heardAt) },
      {
        name: 'Location',
        cell: ({ locationCheck, contradictions }) => (
          <>
            <Tag of={locationCheck} />
            {contradictions.map((one) => (
              <small key={one}>{one}</small>
            ))}
          </>
        ),
      },
      { name: 'Probes', numeric: true, cell: ({ observations }) => count(observations) },
      {
        name: 'Mismatch',
        numeric: true,
        cell: ({ mismatches }) => (mismatches > 0 ? <Tag of="mismatch">{count(mismatches)}</Tag> : '0'),
      },
      {
        name: 'Inconclusive',
        numeric: true,
        cell: ({ inconclusive, observations }) => percent(inconclusive, observations),
      },
    ]}
  />
);
