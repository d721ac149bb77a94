/** What ends a command early, and the exit codes. */

/** Listed in the help of every command. */
export const exitCodes = { ok: 0, negative: 1, usage: 2, unavailable: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends the command with words on standard error. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The command line is not one. */
export const usageError = (message: string): CommandError => new CommandError(exitCodes.usage, message);

/** What a command writes to and reads the time from. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly now: () => Date;
  /** Whether `out` shows colours. */
  readonly colour?: boolean;
}

export interface Command {
  /** One line. */
  readonly summary: string;
  readonly help: string;
  readonly run: (args: string[], terminal: Terminal) => Promise<ExitCode>;
}
