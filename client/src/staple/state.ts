/** What the stapler remembers between runs: vouchers, and when to ask again. One file for each target. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { StapleError } from './error.ts';
import { ensureDirectory, writeAtomically } from './files.ts';

const milliseconds = z.number().nonnegative();
const record = z.strictObject({
  /** Not before that. */
  next: milliseconds,
  failures: z.number().int().nonnegative(),
  /** Of the last request. */
  last: z.strictObject({ at: milliseconds, status: z.string(), detail: z.string().optional() }).optional(),
  voucher: z
    .strictObject({
      der: z.base64(),
      producedAt: milliseconds,
      notAfter: milliseconds,
      /** A number in [0, 1) drawn with it: its place in a window for early renewal. */
      lot: z.number().min(0).max(1),
    })
    .optional(),
});
/** Of one VA about one target. */
export type VaRecord = z.output<typeof record>;

const schema = z.strictObject({ version: z.literal(1), vas: z.record(z.string(), record) });

export type TargetState = Map<string, VaRecord>;

export const newRecord: VaRecord = { next: 0, failures: 0 };

const namePattern = /^([0-9a-f]{32})\.json$/;

export class StateDirectory {
  readonly #directory: string;

  /** Throws `StapleError` `unwritable-file`. */
  constructor(directory: string) {
    this.#directory = directory;
    ensureDirectory(directory, 0o700);
  }

  /** Empty for what is not there; a file that cannot be read is taken for none, and `broken` is told why. */
  load(id: string, broken: (why: string) => void): TargetState {
    const file = this.#file(id);
    try {
      return new Map(Object.entries(schema.parse(JSON.parse(readFileSync(file, 'utf8'))).vas));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
        broken(`${file}: ${(error as Error).message}`);
      }
      return new Map();
    }
  }

  /** Throws `StapleError` `unwritable-file`. */
  save(id: string, state: TargetState): void {
    const text = JSON.stringify({ version: 1, vas: Object.fromEntries(state) });
    writeAtomically(this.#file(id), Buffer.from(text), 0o600);
  }

  /** Removes what belongs to no target any more and has no voucher that still holds. */
  tidy(targets: ReadonlySet<string>, now: number): void {
    for (const name of readdirSync(this.#directory)) {
      const id = namePattern.exec(name)?.[1];
      if (id === undefined || targets.has(id)) continue;
      const state = this.load(id, () => undefined);
      const holds = [...state.values()].some(({ voucher }) => voucher && voucher.notAfter > now);
      if (!holds) rmSync(this.#file(id), { force: true });
    }
  }

  /** A document of the stapler's own beside the targets. */
  readText(name: string): string | undefined {
    try {
      return readFileSync(join(this.#directory, name), 'utf8');
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
      throw new StapleError('unreadable-file', `cannot read ${name}: ${(cause as Error).message}`, { cause });
    }
  }

  writeText(name: string, text: string): void {
    writeAtomically(join(this.#directory, name), Buffer.from(text), 0o600);
  }

  #file(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}
