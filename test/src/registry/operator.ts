/** `mecai-admin` in this process: what is measured from its call on has no part of a process's start. */
import { runAdmin } from '@mecai/admin';
import { vi } from 'vitest';

export interface Done {
  /** Exit code. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** When it was called, by `performance.now()`. */
  readonly since: number;
}

export async function operator(...args: readonly string[]): Promise<Done> {
  const out = vi.spyOn(console, 'log').mockReturnValue();
  const err = vi.spyOn(console, 'error').mockReturnValue();
  const text = (spy: typeof out) => spy.mock.calls.map(([line]) => String(line)).join('\n');
  try {
    const since = performance.now();
    const code = await runAdmin(args, {}, Date.now);
    return { code, out: text(out), err: text(err), since };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}
