// `npm run package -- [name…]`: one archive for each process, with all that it needs on a machine with Linux and glibc
// of this architecture. The same sources and the same pinned Node make the same octets.
//
// Node is inside: Debian has no Node 26, what was tested is what runs, and a fix of Node is a release like any other.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { processes } from './package-contents.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'coordinator/package.json'), 'utf8'));
const platform = `${process.platform}-${process.arch}`;
/** Seconds; the same in every archive (reproducible-builds.org, SOURCE_DATE_EPOCH). */
const epoch = process.env.SOURCE_DATE_EPOCH ?? '315532800';

/**
 * Finds its own folder through links, such as one in /usr/local/bin. Heaps are small here: collecting garbage on
 * threads of its own takes twice the CPU and shortens no pause that a voucher would notice. Room for 32 MB of new objects
 * instead of 16 has fewer of them copied: about a twelfth of the signer's CPU, and no more memory in use.
 */
const launcher = `#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "$here/runtime/node" --disable-warning=ExperimentalWarning --single-threaded-gc --max-semi-space-size=32 "$here/lib/main.js" "$@"
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: join(root, 'dist/packages') },
    level: { type: 'string', default: '6' },
    help: { type: 'boolean', short: 'h' },
  },
});
const unknown = positionals.filter((name) => !Object.hasOwn(processes, name));
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`no process ${unknown.join(', ')}`);
  console.log(
    `usage: npm run package -- [--out <directory>] [--level <0 to 9>] [${Object.keys(processes).join('|')} …]`,
  );
  process.exit(unknown.length > 0 ? 2 : 0);
}
// Relative to where the command was given.
const out = resolve(process.env.INIT_CWD ?? process.cwd(), values.out);
mkdirSync(out, { recursive: true });
for (const name of positionals.length > 0 ? positionals : Object.keys(processes)) {
  const staging = mkdtempSync(join(tmpdir(), 'mecai-package-'));
  try {
    const folder = `mecai-${name}-${version}-${platform}`;
    await stage(name, processes[name], join(staging, folder));
    const file = join(out, `${folder}.tar.gz`);
    await archive(staging, folder, file);
    console.log(`${createHash('sha256').update(readFileSync(file)).digest('hex')}  ${file}`);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Everything that belongs into the archive, in `directory`. */
async function stage(name, { main, native = [], build, files = [], units = [] }, directory) {
  const at = (...parts) => join(directory, ...parts);
  for (const part of ['bin', 'lib', 'runtime']) mkdirSync(at(part), { recursive: true });
  if (build)
    execFileSync(process.execPath, [join(root, build)], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  const modules = new Set(['node', ...native]);
  await bundle(main, at('lib'), modules);
  for (const module of native) copyModule(module, at('node_modules', module));
  copyFileSync(join(root, 'node_modules/node/bin/node'), at('runtime/node'));
  for (const [from, to] of files) cpSync(join(root, from), at(to), { recursive: true });
  for (const unit of units) {
    // Units of other ways to install name the program where those put it.
    const text = readFileSync(join(root, unit), 'utf8').replaceAll(
      '/usr/bin/mecai ',
      '/opt/mecai/client/bin/mecai ',
    );
    mkdirSync(at('systemd'), { recursive: true });
    writeFileSync(at('systemd', basename(unit)), text);
  }
  for (const [folder, kind] of [
    ['sysusers.d', 'sysusers'],
    ['tmpfiles.d', 'tmpfiles'],
  ]) {
    const file = join(root, `infra/systemd/mecai-${name}.${kind}.conf`);
    if (existsSync(file)) copy(file, at(folder, `mecai-${name}.conf`));
  }
  const example = join(root, `infra/examples/${name}.json`);
  if (existsSync(example)) copy(example, at('examples', `${name}.json`));
  copy(join(root, 'LICENSE'), at('LICENSE'));
  copy(join(root, 'infra/systemd/install.sh'), at('install.sh'));
  writeFileSync(at('NAME'), `${name} ${version}\n`);
  writeFileSync(at('THIRD-PARTY-LICENSES'), licences(modules));
  const program = name === 'client' ? 'mecai' : `mecai-${name}`;
  writeFileSync(at('bin', program), launcher);
  for (const file of [at('bin', program), at('runtime/node'), at('install.sh')]) chmodSync(file, 0o755);
}

/** One file for each program. What a source names by \`new URL('name', import.meta.url)\` comes to lie beside it. */
async function bundle(main, directory, modules) {
  const { build } = await import('esbuild');
  const waiting = [[join(root, main), 'main']];
  const done = new Set();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [entry, name] = next;
    if (done.has(name)) continue;
    done.add(name);
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: { [name]: entry },
      outdir: directory,
      bundle: true,
      platform: 'node',
      target: 'node26',
      format: 'esm',
      external: ['pkcs11js', 'chdb', 'chdb/*', 'pg-native', 'vite', '@preact/preset-vite'],
      metafile: true,
      legalComments: 'none',
      logLevel: 'error',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url); const __dirname = import.meta.dirname;",
      },
      plugins: [
        {
          name: 'files beside',
          setup: (bundler) =>
            bundler.onLoad({ filter: /\.ts$/, namespace: 'file' }, ({ path }) => {
              if (path.includes('node_modules')) return undefined;
              const source = readFileSync(path, 'utf8');
              const contents = source.replace(/new URL\('([\w.-]+)', import\.meta\.url\)/g, (_, file) => {
                const beside = resolve(dirname(path), file);
                if (!file.endsWith('.ts')) copy(beside, join(directory, file));
                else waiting.push([beside, file.slice(0, -3)]);
                return `new URL('${file.replace(/\.ts$/, '.js')}', import.meta.url)`;
              });
              return { contents, loader: 'ts' };
            }),
        },
      ],
    });
    for (const input of Object.keys(metafile.inputs)) {
      const [, module] = /(?:^|.*\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
      if (module && !module.startsWith('@mecai/')) modules.add(module);
    }
  }
}

/** A module with native parts: what it needs to run, not what it was built from. */
function copyModule(module, to) {
  const from = join(root, 'node_modules', module);
  if (!existsSync(from)) throw new Error(`${module} is not installed`);
  cpSync(from, to, {
    recursive: true,
    dereference: true,
    filter: (file) => {
      const path = relative(from, file);
      if (/^(src|includes|integrations|binding\.gyp|AGENTS\.md|llms-full\.txt|example\.js)/.test(path))
        return false;
      return !/^build\/(?!Release(\/[\w.-]+\.node)?$).+|\.d\.ts$|\.map$/.test(path);
    },
  });
}

function licences(modules) {
  const parts = [...modules]
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((module) => {
      const directory = join(root, 'node_modules', module);
      const { license = 'see its repository', version: of } = JSON.parse(
        readFileSync(join(directory, 'package.json'), 'utf8'),
      );
      const texts = readdirSync(directory).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
      const text = texts.toSorted().map((file) => readFileSync(join(directory, file), 'utf8').trim());
      return [`== ${module} ${of}: ${license}`, ...text].join('\n\n');
    });
  return `${parts.join('\n\n')}\n`;
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** In the order of names, of nobody, of one time; modes as they are wanted, whatever the umask. */
async function archive(staging, folder, file) {
  const tar = join(staging, 'archive.tar');
  execFileSync(
    'tar',
    [
      '--create',
      `--file=${tar}`,
      `--directory=${staging}`,
      '--sort=name',
      `--mtime=@${epoch}`,
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=u=rwX,go=rX',
      '--format=ustar',
      folder,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  );
  await pipeline(createReadStream(tar), createGzip({ level: Number(values.level) }), createWriteStream(file));
}
