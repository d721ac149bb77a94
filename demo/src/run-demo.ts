import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const main = join(import.meta.dirname, 'main.ts');

export type Step = { step: string; ok: boolean; status?: string; mismatches?: number; commands?: string[] };

/**
 * The demo as a command, to its end.
 *
 * @param up called with the step that says that everything stays up; then it is interrupted
 */
export async function runDemo(args: readonly string[], up?: (step: Step) => Promise<void>) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close') as Promise<[code: number | null]>;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (!up || !line.includes('"step":"up"')) continue;
      await up(JSON.parse(line) as Step);
      child.kill('SIGINT');
    }
  } catch (error) {
    child.kill('SIGINT');
    throw error;
  }
  const [code] = await closed;
  return { code, lines, stderr };
}
