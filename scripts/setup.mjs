// Brings a fresh machine to where everything runs. Says each step and how long it took; does nothing twice.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fetchNatsServer, isForClusters, natsServerDirectory } from './nats-server.mjs';

/** What a program is for, how to see that it is there, and the Debian package that brings it. */
const compiler = [
  { program: 'g++', debian: 'g++', why: 'builds the PKCS #11 binding' },
  { program: 'make', debian: 'make', why: 'builds the PKCS #11 binding' },
  // Debian's python3-minimal is not enough for node-gyp.
  {
    program: 'python3',
    works: ['-c', 'import shlex'],
    debian: 'python3',
    why: 'node-gyp, for the PKCS #11 binding',
  },
];
const network = [
  { program: 'nats-server', debian: 'nats-server', why: 'message bus' },
  { program: 'softhsm2-util', debian: 'softhsm2', why: 'the HSM of test networks' },
  { program: 'openssl', debian: 'openssl', why: 'second opinion' },
];
const testServers = JSON.parse(readFileSync(new URL('./test-servers.json', import.meta.url), 'utf8'));

const startedAt = Date.now();
const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/**
 * @param quiet only errors; nothing on standard output, ever
 * @param also Debian packages of test servers that are wanted without tests
 * @param cluster wants a nats-server that several nodes may run; without one it goes on with what there is
 */
export async function setUp(root, { forTests = false, quiet = false, also = [], cluster = forTests }) {
  const say = (text) => quiet || console.error(text);
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) fail(`Node ${process.versions.node} is too old: 20 or later is needed to start`);

  /** @type {[what: string, action: () => Promise<void>][]} */
  const steps = [];
  const missing = [
    ...network,
    ...testServers.filter(({ debian }) => forTests || also.includes(debian)),
  ].filter(isMissing);
  const stamp = join(root, 'node_modules/.mecai-setup');
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const installed = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (!installed) missing.push(...compiler.filter(isMissing));
  if (missing.length > 0) steps.push(['system packages', () => installSystemPackages(missing, say)]);
  if (!installed) {
    steps.push(
      [
        'npm packages (about 1 GB on disk, most of it ClickHouse)',
        // Not `npm ci`: it refuses a lock file that lacks the optional packages of other platforms.
        () => npm(root, ['install', '--no-save', '--ignore-scripts'], say),
      ],
      ['the pinned Node', () => npm(root, ['rebuild', 'node'], say)],
      ['the PKCS #11 binding, compiled', () => npm(root, ['rebuild', 'pkcs11js'], say, headers(root))],
    );
  }
  const own = join(natsServerDirectory(root), 'nats-server');
  if (cluster && !isForClusters(own) && !isForClusters()) {
    steps.push([
      'nats-server 2.15 or later for clusters, from Debian testing (20 MB)',
      () =>
        fetchNatsServer(root).catch((error) =>
          say(
            `  not to be had: ${error.message}\n  An older one loses what it acknowledged when a leader is cut off.`,
          ),
        ),
    ]);
  }
  for (const [i, [what, action]] of steps.entries()) {
    const since = Date.now();
    say(`setup ${i + 1}/${steps.length}  ${what} …`);
    const alive = setInterval(() => say(`setup ${i + 1}/${steps.length}  … ${seconds(since)}`), 10_000);
    try {
      await action();
    } finally {
      clearInterval(alive);
    }
    say(`setup ${i + 1}/${steps.length}  done in ${seconds(since)}`);
  }
  if (!installed) writeFileSync(stamp, wanted);
  if (steps.length > 0) say(`setup done in ${seconds(startedAt)}`);
}

const isMissing = ({ program, works }) =>
  !onPath(program) || (works !== undefined && spawnSync(program, works).status !== 0);

/** A program by name, or a file or directory by absolute path. */
function onPath(program) {
  if (program.startsWith('/')) return existsSync(program);
  // Debian keeps servers in sbin, which is not everybody's PATH.
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return places.some((place) => existsSync(join(place, program)));
}

async function installSystemPackages(missing, say) {
  const packages = [...new Set(missing.map(({ debian }) => debian))];
  const list = missing.map(({ program, why }) => `  ${program}  (${why})`).join('\n');
  if (!existsSync('/etc/debian_version')) {
    fail(`these programs are missing; install them and try again:\n${list}`);
  }
  if (process.getuid?.() !== 0) {
    fail(
      `these programs are missing:\n${list}\ninstall them as root and try again:\n  apt-get install ${packages.join(' ')}`,
    );
  }
  say(`  apt-get install ${packages.join(' ')}`);
  // Debian starts servers when it installs them; ours run on ports of their own, when a test wants them.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const environment = { DEBIAN_FRONTEND: 'noninteractive' };
    await execute('apt-get', ['update', '-qq'], say, { environment });
    await execute('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], say, {
      environment,
    });
  } finally {
    if (ours) rmSync(policy);
  }
}

/** The npm package of the pinned Node brings the headers that node-gyp would fetch from elsewhere. */
function headers(root) {
  const inside = join(root, 'node_modules/node/node_modules');
  const places = existsSync(inside) ? readdirSync(inside).map((name) => join(inside, name)) : [];
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (/^node-(bin-)?(linux|darwin)/.test(name)) places.push(join(root, 'node_modules', name));
  }
  const found = places.find((place) => existsSync(join(place, 'include/node/node_api.h')));
  return found ? { npm_config_nodedir: found } : {};
}

const npm = (root, args, say, environment = {}) =>
  execute('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], say, { cwd: root, environment });

/** Shows the output only if it fails. */
async function execute(file, args, say, { cwd, environment }) {
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      output.push(Buffer.from(error.message));
      resolve(1);
    });
    child.on('close', resolve);
  });
  if (code !== 0)
    fail(`${file} ${args.join(' ')} ended with ${code}:\n${Buffer.concat(output).toString().slice(-4000)}`);
}

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}
