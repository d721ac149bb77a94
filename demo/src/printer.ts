import { stripVTControlCharacters, styleText } from 'node:util';

/** One step of the story, as `--json` prints it. */
export interface Step {
  readonly step: string;
  /** Whether it went as it should. */
  readonly ok: boolean;
  readonly [member: string]: unknown;
}

export interface Printer {
  /** Begins a scene. */
  scene(title: string, what: string): void;
  /** One line of a scene; nothing in JSON. */
  line(text?: string): void;
  /** Lines of a table; nothing in JSON. */
  table(rows: readonly (readonly string[])[]): void;
  /** A step that JSON has and words have shown already. */
  note(step: Step): void;
  /** The outcome of a step. */
  step(step: Step, text: string): void;
}

const visible = (text: string) => stripVTControlCharacters(text).length;

/** Words and colours for people. */
export function humanPrinter(startedAt: number): Printer {
  const clock = () =>
    styleText('dim', `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s`);
  return {
    scene(title, what) {
      console.log(`\n${styleText('bold', title)}\n${styleText('dim', what)}\n`);
    },
    line: (text = '') => console.log(text === '' ? '' : `        ${text.replaceAll('\n', '\n        ')}`),
    table(rows) {
      const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => visible(row[column]!))));
      for (const row of rows) {
        const cells = row.map((cell, column) => cell + ' '.repeat(widths[column]! - visible(cell)));
        console.log(`        ${cells.join('  ').trimEnd()}`);
      }
    },
    note: () => undefined,
    step({ ok }, text) {
      console.log(
        `${clock()} ${ok ? styleText('green', '✔') : styleText('red', '✘ NOT AS IT SHOULD BE:')} ${text}`,
      );
    },
  };
}

/** One JSON object a step, for scripts. */
export const jsonPrinter = (): Printer => ({
  scene: () => undefined,
  line: () => undefined,
  table: () => undefined,
  note: (step) => console.log(JSON.stringify(step)),
  step: (step) => console.log(JSON.stringify(step)),
});

export const colours = {
  match: (text: string) => styleText('green', text),
  mismatch: (text: string) => styleText('red', text),
  inconclusive: (text: string) => styleText('yellow', text),
  dim: (text: string) => styleText('dim', text),
};
