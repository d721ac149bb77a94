/** The openssl command, for tests that need the real one. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A directory of its own, and openssl in it. Throws where openssl is not installed: a test without it is none. */
export class OpenSsl implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'mecai-pki-'));

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  run(...arguments_: string[]): string {
    return execFileSync('openssl', arguments_, { cwd: this.directory, encoding: 'utf8', stdio: 'pipe' });
  }

  /** Exit code and all output; never throws for a failing command. */
  async attempt(...arguments_: string[]): Promise<{ code: number; output: string }> {
    try {
      const { stdout, stderr } = await run('openssl', arguments_, { cwd: this.directory });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && 'stdout' in error && 'stderr' in error)) throw error;
      return { code: Number(error.code), output: `${String(error.stdout)}${String(error.stderr)}` };
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
