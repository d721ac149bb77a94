import { PlacementError } from './error.ts';

/** Neighbours of every AS, one row after another: those of AS `i` stand from `offsets[i]` to `offsets[i + 1]`. */
export interface Neighbours {
  readonly offsets: Uint32Array;
  readonly list: Uint32Array;
}

/**
 * Autonomous systems and what they are to each other. An AS is its position in `asns`, which rises: the lower
 * position is the lower number.
 */
export interface AsGraph {
  readonly asns: Uint32Array;
  readonly providers: Neighbours;
  readonly customers: Neighbours;
  readonly peers: Neighbours;
}

/** Two AS numbers; in `transit` the first is the provider. */
export interface Links {
  readonly transit: readonly (readonly [number, number])[];
  readonly peering: readonly (readonly [number, number])[];
}

const maxAsn = 0xffff_ffff;

/**
 * CAIDA's as-rel, serial-1 and serial-2, a line a link:
 *
 *   # comment
 *   <provider>|<customer>|-1[|<source>]
 *   <peer>|<peer>|0[|<source>]
 *
 * @throws PlacementError `bad-as-rel`, naming the line
 */
export function parseAsRel(text: string): AsGraph {
  const transit: [number, number][] = [];
  const peering: [number, number][] = [];
  text.split('\n').forEach((line, index) => {
    const content = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (content === '' || content.startsWith('#')) return;
    const [, first = '', second = '', kind] =
      /^(\d{1,10})\|(\d{1,10})\|(-1|0)(?:\|[\w,-]*)?$/.exec(content) ?? [];
    const [a, b] = [Number(first), Number(second)];
    if (kind === undefined || a > maxAsn || b > maxAsn || a === b) {
      throw new PlacementError(
        'bad-as-rel',
        `as-rel, line ${index + 1}: ${JSON.stringify(line.slice(0, 80))}`,
      );
    }
    (kind === '0' ? peering : transit).push([a, b]);
  });
  if (transit.length + peering.length === 0) throw new PlacementError('bad-as-rel', 'as-rel: no links');
  return asGraph({ transit, peering });
}

/** The same graph in CAIDA's format, serial-1. */
export function formatAsRel({ transit, peering }: Links): string {
  const lines = [...transit.map(([a, b]) => `${a}|${b}|-1`), ...peering.map(([a, b]) => `${a}|${b}|0`)];
  return `${lines.join('\n')}\n`;
}

export function asGraph({ transit, peering }: Links): AsGraph {
  const asns = Uint32Array.from(new Set([...transit, ...peering].flat())).sort();
  const position = new Map(Array.from(asns, (asn, at) => [asn, at]));
  const at = (asn: number) => position.get(asn)!;
  const neighbours = (from: readonly (readonly [number, number])[], inverse: boolean): Neighbours => {
    const offsets = new Uint32Array(asns.length + 1);
    const end = inverse ? 1 : 0;
    for (const link of from) offsets[at(link[end]) + 1]!++;
    for (let i = 0; i < asns.length; i++) offsets[i + 1]! += offsets[i]!;
    const list = new Uint32Array(from.length);
    const next = offsets.slice();
    for (const link of from) list[next[at(link[end])]!++] = at(link[1 - end]!);
    return { offsets, list };
  };
  const both = [...peering, ...peering.map(([a, b]) => [b, a] as const)];
  return {
    asns,
    customers: neighbours(transit, false),
    providers: neighbours(transit, true),
    peers: neighbours(both, false),
  };
}

/** @throws PlacementError `unknown-as` */
export function positionOf({ asns }: AsGraph, asn: number): number {
  let [low, high] = [0, asns.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (asns[middle]! < asn) low = middle + 1;
    else high = middle;
  }
  if (asns[low] !== asn) throw new PlacementError('unknown-as', `AS${asn} is not in the graph`);
  return low;
}
