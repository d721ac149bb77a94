// `npm run terraform`: fmt, validate and test of infra/terraform, with terraform or tofu, whichever is there. Modules that
// need a provider are checked where the provider can be fetched; says of each what was done. --pure leaves them out.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const base = resolve(dirname(fileURLToPath(import.meta.url)), '../infra/terraform');
const pureOnly = process.argv.includes('--pure');
const program = ['terraform', 'tofu'].find((name) => spawnSync(name, ['version']).status === 0);
if (!program) {
  console.log('terraform: neither terraform nor tofu is on the PATH; nothing was run');
  process.exit(0);
}

const run = (directory, args, data) =>
  spawnSync(program, args, {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, TF_DATA_DIR: data, TF_IN_AUTOMATION: '1', TF_CLI_CONFIG_FILE: '/dev/null' },
  });
let failed = 0;
function report(what, { status, stdout, stderr }) {
  if (status !== 0) failed++;
  const summary = stdout.trim().split('\n').at(-1);
  console.log(
    `${status === 0 ? '✔' : '✘'} ${what}: ${status === 0 ? summary || 'done' : `\n${stdout}${stderr}`}`,
  );
}

report('fmt', run(base, ['fmt', '-check', '-diff', '-recursive', '-no-color']));
const directories = [
  ...readdirSync(join(base, 'modules')).map((name) => `modules/${name}`),
  ...readdirSync(join(base, 'live')).map((name) => `live/${name}`),
];
for (const name of directories) {
  const directory = join(base, name);
  const needsProvider = readdirSync(directory).some(
    (file) =>
      file.endsWith('.tf') && readFileSync(join(directory, file), 'utf8').includes('required_providers'),
  );
  if (needsProvider && pureOnly) continue;
  const data = mkdtempSync(join(tmpdir(), 'mecai-terraform-'));
  try {
    const initialised = run(directory, ['init', '-backend=false', '-input=false', '-no-color'], data);
    // Nobody there to ask; a version that does not exist is a mistake here.
    const unreachable =
      /could not connect to |failed to request discovery|no such host|timeout|connection refused/i;
    if (initialised.status !== 0 && needsProvider && unreachable.test(initialised.stderr)) {
      console.log(`- ${name}: its providers cannot be fetched here; not validated`);
      continue;
    }
    if (initialised.status !== 0) report(`${name} init`, initialised);
    else {
      report(`${name} validate`, run(directory, ['validate', '-no-color'], data));
      if (existsSync(join(directory, 'tests')))
        report(`${name} test`, run(directory, ['test', '-no-color'], data));
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
    // The lock of providers belongs to whoever deploys.
    rmSync(join(directory, '.terraform.lock.hcl'), { force: true });
  }
}
process.exit(failed > 0 ? 1 : 0);
