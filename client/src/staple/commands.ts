/** Programs that the operator names: no shell, a time limit, their last words kept. */
import { execFile } from 'node:child_process';
import { reloadFailed } from './deliver.ts';

/** Rejects with `StapleError` `reload-failed`. */
export function runProgram(command: readonly string[], timeoutSeconds: number): Promise<void> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      { timeout: timeoutSeconds * 1_000, killSignal: 'SIGKILL', maxBuffer: 1024 * 1024 },
      (error, out, err) => {
        if (!error) return resolve();
        const said = (err || out).trim().split('\n').slice(-5).join(' / ');
        const why = error.killed ? `not done after ${timeoutSeconds} s` : said || error.message;
        return reject(reloadFailed(command, why, error));
      },
    );
  });
}
