// Entry of every npm command: sets up what is missing, then runs the command on the pinned Node. Plain JavaScript
// without packages, since it has to run before there are any, on any Node from 20 on.
import { spawn } from 'node:child_process';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { natsServerDirectory } from './nats-server.mjs';
import { setUp } from './setup.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const node = join(root, 'node_modules/node/bin/node');
const bin = join(root, 'node_modules/.bin');
// Type stripping is announced as experimental by some releases: no news to the reader.
const plain = ['--disable-warning=ExperimentalWarning'];
const benches = [
  'probe',
  'voucher',
  'pki',
  'analytics',
  'detection',
  'placement',
  'log',
  'network',
  'saturation',
  'client',
];
// Not part of all: ten minutes and more.
const longBenches = ['faults'];

const usage = `usage: npm run <command> [-- arguments]

  setup                 install what is missing: npm packages, the pinned Node, system packages
  demo                  the whole network on this machine, telling its story   (-- --regions 3, -- --exit, -- --help)
  test                  every test                                             (-- <name…> for some of them)
  bench                 figures, with a peer in the same run                   (-- ${benches.join(' ')}, -- --json;
                                                                                by name only: ${longBenches.join(' ')})
  mecai                 the mecai command line                                 (-- request|inspect|verify --help)
  package               archives to install, one for each process            (-- <process…>, -- --out <directory>)
  plan-figures          what benches printed, for the plan and the README       (-- <file…>)
  try-images            a network of containers, with podman: see infra/README.md
  mecai-admin           the operator's commands                               (-- --help)
  build, check          turbo over all workspaces`;

const [command, ...args] = process.argv.slice(2);
const quiet = args.includes('--json');

switch (command) {
  case 'setup':
    await setUp(root, { forTests: true });
    break;
  case 'demo': {
    const cluster = args.some((arg) => arg.startsWith('--regions'));
    await setUp(root, {
      quiet: quiet || args.includes('--help'),
      also: cluster ? ['postgresql', 'iproute2'] : [],
      cluster,
    });
    await run(node, [...plain, join(root, 'demo/src/main.ts'), ...args]);
    break;
  }
  case 'test':
    await setUp(root, { forTests: true });
    await run(node, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args]);
    break;
  case 'bench':
    await setUp(root, { forTests: true, quiet });
    await runBenches();
    break;
  case 'mecai':
    await setUp(root, { quiet: true });
    await run(node, [...plain, join(root, 'client/src/main.ts'), ...args]);
    break;
  case 'mecai-admin':
    await setUp(root, { quiet: true });
    await run(node, [...plain, join(root, 'admin/src/main.ts'), ...args]);
    break;
  case 'package':
    await setUp(root, { quiet: true });
    await run(node, [join(root, 'scripts/package.mjs'), ...args]);
    break;
  case 'plan-figures':
    await setUp(root, { quiet: true });
    await run(node, [...plain, join(root, 'admin/src/plan/keep-figures.ts'), ...args]);
    break;
  case 'try-images':
    await setUp(root, {});
    await run(node, [...plain, join(root, 'infra/src/try-images.ts')]);
    break;
  case 'turbo':
    await setUp(root, {});
    await run(join(bin, 'turbo'), ['run', ...args]);
    break;
  default:
    console.error(usage);
    process.exitCode = 2;
}

async function runBenches() {
  const names = args.filter((arg) => !arg.startsWith('-'));
  const known = [...benches, ...longBenches];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    console.error(`no bench ${unknown.join(', ')}; there are ${known.join(', ')}`);
    process.exitCode = 2;
    return;
  }
  for (const name of names.length > 0 ? names : benches) {
    await run(node, [
      ...plain,
      join(root, `test/src/bench/${name}.ts`),
      ...args.filter((arg) => arg.startsWith('-')),
    ]);
    if (process.exitCode) return;
  }
}

/** Runs to the end with this terminal; its exit code becomes ours. */
function run(file, parameters) {
  const child = spawn(file, parameters, {
    cwd: process.env.INIT_CWD && /^mecai|^plan/.test(command) ? process.env.INIT_CWD : root,
    stdio: 'inherit',
    env: {
      // Every network is a dozen processes: compiled once, each starts with half the work.
      NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/node'),
      ...process.env,
      PATH: [dirname(node), bin, natsServerDirectory(root), process.env.PATH].join(delimiter),
    },
  });
  // The terminal sends Ctrl-C to the child as well, which ends in its own order.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((done) => {
    child.on('exit', (code, signal) => {
      process.exitCode = signal ? 1 : (code ?? 1);
      done();
    });
  });
}
