import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = join(import.meta.dirname, '../dashboard');
const output = join(directory, 'dist');
const stamp = join(output, '.sources');
const sources = [
  'index.html',
  'tsconfig.json',
  'src',
  '../src/build-dashboard.ts',
  '../../package-lock.json',
];

/**
 * Builds the dashboard into `dashboard/dist`, unless what is there was made of the same sources.
 *
 * @returns whether there was anything to do
 */
export async function buildDashboard(): Promise<boolean> {
  const now = digest();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return false;
  const { build } = await import('vite');
  await build({
    root: directory,
    configFile: false,
    logLevel: 'error',
    build: {
      outDir: output,
      emptyOutDir: true,
      target: 'es2022',
      reportCompressedSize: false,
      // The plots are one large library.
      chunkSizeWarningLimit: 2000,
    },
  });
  writeFileSync(stamp, now);
  return true;
}

function digest(): string {
  const hash = createHash('sha256');
  for (const source of sources) {
    const file = join(directory, source);
    const files = statSync(file).isDirectory()
      ? readdirSync(file, { recursive: true, encoding: 'utf8' })
          .sort()
          .map((name) => join(file, name))
      : [file];
    for (const one of files) {
      if (statSync(one).isFile()) hash.update(`${one.slice(directory.length)}\0`).update(readFileSync(one));
    }
  }
  return hash.digest('hex');
}

if (import.meta.main) await buildDashboard();
