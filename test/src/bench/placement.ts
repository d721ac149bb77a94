/**
 * `mecai-admin plan placement` on an internet of the size of the real one: how long it takes, what it says, and that it
 * says so again. `--ases=<n>`, `--attacks=<n>` of each kind, `--seed=<n>`.
 */
import { isDeepStrictEqual } from 'node:util';
import { runAdmin } from '@mecai/admin';
import { numberOption, reporter } from './figures.ts';

interface Answer {
  readonly ases: number;
  readonly kinds: readonly {
    readonly kind: string;
    readonly single: number;
    readonly given: { readonly resisted: number; readonly noticed: number };
    readonly better?: { readonly resisted: number; readonly noticed: number };
  }[];
}

const report = reporter('placement');
const ases = numberOption('ases', 70_000);
const attacks = numberOption('attacks', 1_000);
const seed = numberOption('seed', 1);

/** What the command prints for programs, and how long it took. */
async function asked(...more: string[]): Promise<{ text: string; seconds: number; busy: number }> {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => lines.push(line);
  const [began, busyBefore] = [performance.now(), process.cpuUsage()];
  const size = ['--synthetic', String(ases), '--attacks', String(attacks)];
  const code = await runAdmin(['plan', 'placement', ...size, ...more, '--json'], {}, Date.now);
  const { user, system } = process.cpuUsage(busyBefore);
  console.log = log;
  if (code !== 0) throw new Error(`mecai-admin ended with ${code}`);
  return {
    text: lines.join('\n'),
    seconds: (performance.now() - began) / 1_000,
    busy: (user + system) / 1e6,
  };
}

const bySeed = (of: number) => asked('--seed', String(of));
const [once, again, other] = [await bySeed(seed), await bySeed(seed), await bySeed(seed + 1)];
const searched = await asked('--seed', String(seed), '--search', '6');
const read = ({ text }: { text: string }) => JSON.parse(text) as Answer;
const [answer, better] = [read(once), read(searched)];

const all = `${answer.kinds.length * attacks} hijacks on ${answer.ases} ASes`;
for (const [what, { seconds, busy }] of Object.entries({
  [all]: once,
  [`${all}, again`]: again,
  [`${all}, by another seed`]: other,
  [`${all}, with search for six sites`]: searched,
})) {
  report(what, seconds, 's');
  report(`${what}, CPU`, busy, 's');
}
for (const [i, { kind, single, given }] of answer.kinds.entries()) {
  report(`${kind}: withstood by one site, the mean of all`, 100 * single, '%');
  report(`${kind}: without a voucher`, 100 * given.resisted, '%');
  report(`${kind}: noticed`, 100 * given.noticed, '%');
  report(`${kind}: without a voucher, six sites found`, 100 * better.kinds[i]!.better!.resisted, '%');
}
const isSame = again.text === once.text;
const isOther = !isDeepStrictEqual(read(other).kinds, answer.kinds);
report('answers by the same seed that are the same', isSame ? 2 : 1, 'of 2');
report('answers by two seeds that are different', isOther ? 2 : 1, 'of 2');
if (!isSame || !isOther) process.exitCode = 1;
