// A nats-server for clusters: 2.15 or later. Servers before it lose what they acknowledged when a leader is cut off, and
// Debian 12 and 13 have such. Debian testing has a later one; its package is verified by apt as any other, unpacked beside
// the npm packages and installed nowhere.
import { execFile, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const least = [2, 15];
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Directory of the program, whether it is there or not. */
export const natsServerDirectory = (root) => join(root, 'node_modules/.cache/nats-server/usr/sbin');

/** Whether this nats-server, by default that on the PATH, keeps what it acknowledged. */
export function isForClusters(program = 'nats-server') {
  try {
    const text = execFileSync(program, ['--version'], { encoding: 'utf8' });
    const [, major, minor] = (/v?(\d+)\.(\d+)\./.exec(text) ?? []).map(Number);
    return major > least[0] || (major === least[0] && minor >= least[1]);
  } catch {
    return false;
  }
}

/**
 * Fetches Debian's newest.
 *
 * @throws Error where it is not to be had
 */
export async function fetchNatsServer(root) {
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'nats-server-'));
  try {
    const at = (...names) => join(directory, ...names);
    for (const name of ['lists/partial', 'archives/partial']) mkdirSync(at(name), { recursive: true });
    writeFileSync(
      at('debian.sources'),
      `Types: deb\nURIs: ${mirror()}\nSuites: testing\nComponents: main\n${existsSync(keyring) ? `Signed-By: ${keyring}\n` : ''}`,
    );
    const options = {
      'Dir::Etc::SourceList': '/dev/null',
      'Dir::Etc::SourceParts': directory,
      'Dir::State::Lists': at('lists'),
      'Dir::Cache': directory,
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
      'APT::Update::Error-Mode': 'any',
      'Acquire::Retries': '1',
      'Acquire::http::Timeout': '20',
      'Acquire::https::Timeout': '20',
    };
    const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const run = (file, args) =>
      promisify(execFile)(file, args, { cwd: directory, timeout: 180_000 }).catch(({ stderr, message }) => {
        throw new Error((stderr || message).trim().split('\n').at(-1));
      });
    await run('apt-get', [...words, '-qq', 'update']);
    await run('apt-get', [...words, '-qq', 'download', 'nats-server']);
    const archive = readdirSync(directory).find((name) => name.endsWith('.deb'));
    await run('dpkg-deb', ['--extract', archive, at('unpacked')]);
    if (!isForClusters(at('unpacked/usr/sbin/nats-server'))) throw new Error(`${archive} is none either`);
    const place = join(cache, 'nats-server');
    rmSync(place, { recursive: true, force: true });
    renameSync(at('unpacked'), place);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Where this Debian has its packages from. */
function mirror() {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  if (!/^ID=debian$/m.test(release)) throw new Error('not Debian');
  const [, codename] = /^VERSION_CODENAME=(.*)$/m.exec(release) ?? [];
  const sources = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(RELEASE) $(COMPONENT) $(REPO_URI)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  );
  const own = sources.split('\n').map((line) => line.split(' '));
  const main = own.find(([name, component]) => name === codename && component === 'main');
  if (!main) throw new Error(`no source of ${codename} main`);
  return main[2];
}
