// Fails when proto/gen is not what buf and ts-proto make of the .proto files.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const proto = resolve(dirname(fileURLToPath(import.meta.url)), '../proto');
const before = mkdtempSync(join(tmpdir(), 'mecai-gen-'));
try {
  cpSync(join(proto, 'gen'), before, { recursive: true });
  execFileSync('npm', ['run', '--silent', 'generate'], { cwd: proto, stdio: 'inherit' });
  const diff = spawnSync('diff', ['-ru', before, join(proto, 'gen')], { encoding: 'utf8' });
  if (diff.status !== 0) {
    console.error(diff.stdout || diff.stderr);
    console.error('proto/gen was out of date; it has been generated anew: review and commit it');
    process.exit(1);
  }
  console.log('generated code is up to date');
} finally {
  rmSync(before, { recursive: true, force: true });
}
