/** Words in colour, where the terminal shows it. */
export interface Colours {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly doubtful: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly strong: (text: string) => string;
}

/** SGR of ECMA-48: parameter on, parameter off. */
const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`;
const plain = (text: string): string => text;

export const coloursOf = (shown: boolean): Colours =>
  shown
    ? { good: sgr(32, 39), bad: sgr(31, 39), doubtful: sgr(33, 39), faint: sgr(2, 22), strong: sgr(1, 22) }
    : { good: plain, bad: plain, doubtful: plain, faint: plain, strong: plain };
