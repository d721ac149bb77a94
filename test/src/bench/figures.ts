/** One measured figure. With a peer measured in the same run, `ratio` is value / peerValue. */
export interface Figure {
  readonly bench: string;
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly peerValue?: number;
  readonly ratio?: number;
}

export type Report = (
  figure: string,
  value: number,
  unit: string,
  peer?: { name: string; value: number },
) => void;

const rounded = (value: number) => Number(value.toPrecision(4));

/** Prints one figure a line: words by default, one JSON object with `--json`. */
export function reporter(bench: string, json = process.argv.includes('--json')): Report {
  return (figure, value, unit, peer) => {
    const line: Figure = {
      bench,
      figure,
      value: rounded(value),
      unit,
      ...(peer && {
        peer: peer.name,
        peerValue: rounded(peer.value),
        ratio: rounded(value / peer.value),
      }),
    };
    const against = peer ? `  (${peer.name}: ${line.peerValue} ${unit}, ratio ${line.ratio})` : '';
    console.log(
      json ? JSON.stringify(line) : `${bench.padEnd(9)} ${figure}: ${line.value} ${unit}${against}`,
    );
  };
}

/** `--<name>=<number>` of the command line. */
export function numberOption(name: string, otherwise: number): number {
  const option = process.argv.find((one) => one.startsWith(`--${name}=`));
  return option === undefined ? otherwise : Number(option.slice(name.length + 3));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Runs each contestant once a round, in turns, and returns the median of what each measured. */
export async function inTurns<Name extends string>(
  rounds: number,
  contestants: Record<Name, () => number | Promise<number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(contestants) as Name[];
  const measured = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) measured[name].push(await contestants[name]());
  }
  return Object.fromEntries(names.map((name) => [name, median(measured[name])])) as Record<Name, number>;
}
