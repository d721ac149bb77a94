/** Which key signed from when on. The audit log is its memory, as of the distrust list. */
import * as z from 'zod';
import type { AuditRecord } from './audit-log.ts';
import { SignerError } from './error.ts';

export interface VaInUse {
  /** Label of the key in the token. */
  readonly key: string;
  /** SHA-256 of the VA certificate, hex. */
  readonly certificate: string;
}

const event = 'va-in-use';
const found = z.object({ key: z.string(), certificate: z.string(), time: z.iso.datetime() });

export class VaHistory {
  /** In order; a key that was taken up again counts from then on. */
  readonly #uses: { readonly use: VaInUse; readonly since: number }[] = [];

  /** @throws SignerError `audit-log-broken` */
  replay(record: unknown): void {
    const { event: what, sequence }: { event?: unknown; sequence?: unknown } = Object(record);
    if (what !== event) return;
    try {
      const { key, certificate, time } = found.parse(record);
      this.#uses.push({ use: { key, certificate }, since: Date.parse(time) });
    } catch (cause) {
      const why = `record ${String(sequence)}: ${event} cannot be read`;
      throw new SignerError('audit-log-broken', why, { cause });
    }
  }

  /** Puts on record what signs from now on, if it is another than before. */
  async use(use: VaInUse, now: Date, audit: (record: AuditRecord) => Promise<unknown>): Promise<void> {
    const last = this.#uses.at(-1)?.use;
    if (last?.key === use.key && last.certificate === use.certificate) return;
    await audit({ event, ...use });
    this.#uses.push({ use, since: now.getTime() });
  }

  /**
   * When another key took over, milliseconds since 1970; undefined where none has.
   *
   * @returns `never` for a key that has not signed here
   */
  retiredAt(key: string): number | undefined | 'never' {
    const last = this.#uses.findLastIndex(({ use }) => use.key === key);
    return last < 0 ? 'never' : this.#uses[last + 1]?.since;
  }
}
