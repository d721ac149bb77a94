/**
 * The client as others install it: JavaScript in one file, the command in another, types beside them, no dependencies.
 * In the repository it runs from TypeScript on the pinned Node; published it runs on every maintained one.
 */
import { build } from 'esbuild';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** The oldest Node that the published library runs on; `hash` of node:crypto came with it. */
export const oldestNode = '20.12';

const client = join(import.meta.dirname, '..', '..');
const root = join(client, '..');

export interface PackageSizes {
  /** Octets of the library as published, and minified as a bundler would have it. */
  readonly library: number;
  readonly minified: number;
  readonly command: number;
  readonly dependencies: number;
}

/**
 * Writes the package to `directory`, which is emptied first. The declarations are those of `tsc -b`, which must have
 * run.
 */
export async function writePackage(directory: string): Promise<PackageSizes> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const common = {
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: `node${oldestNode}`,
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  } as const;
  const entry = (name: string) => join(client, 'src', name);
  const text = async (options: Parameters<typeof build>[0]) =>
    (await build({ ...common, ...options, write: false })).outputFiles[0]!.text;
  const library = await text({ entryPoints: [entry('index.ts')] });
  const minified = await text({ entryPoints: [entry('index.ts')], minify: true });
  // Some of what the command bundles is CommonJS, and asks for Node's own modules.
  const banner = {
    js: "import { createRequire as nodeRequire } from 'node:module';\nconst require = nodeRequire(import.meta.url);",
  };
  const command = await text({ entryPoints: [entry('main.ts')], banner });
  writeFileSync(join(directory, 'index.js'), library);
  writeFileSync(join(directory, 'mecai.js'), command, { mode: 0o755 });
  copyTypes(directory);
  const manifest = manifestOf();
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const [from, to] of [
    [join(client, 'README.md'), 'README.md'],
    [join(root, 'LICENSE'), 'LICENSE'],
  ] as const) {
    cpSync(from, join(directory, to));
  }
  return {
    library: Buffer.byteLength(library),
    minified: Buffer.byteLength(minified),
    command: Buffer.byteLength(command),
    dependencies: Object.keys(manifest.dependencies).length,
  };
}

function manifestOf() {
  const own = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8')) as Record<string, string>;
  return {
    name: own['name'],
    version: own['version'],
    description: own['description'],
    license: own['license'],
    type: 'module',
    exports: { '.': { types: './types/client/index.d.ts', default: './index.js' } },
    bin: { mecai: './mecai.js' },
    engines: { node: `>=${oldestNode}` },
    files: ['index.js', 'mecai.js', 'types'],
    dependencies: {},
  };
}

const workspaceOf: Readonly<Record<string, string>> = {
  client,
  addresses: join(root, 'packages', 'addresses'),
  pki: join(root, 'packages', 'pki'),
  'tls-probe': join(root, 'packages', 'tls-probe'),
  voucher: join(root, 'packages', 'voucher'),
};

/** The declarations that the library's own lead to, with imports between packages made relative. */
function copyTypes(directory: string): void {
  const copied = new Set<string>();
  const types = join(directory, 'types');

  function copy(workspace: string, file: string): void {
    const target = join(types, workspace, file);
    if (copied.has(target)) return;
    copied.add(target);
    const source = join(workspaceOf[workspace]!, 'dist', file);
    if (!existsSync(source)) throw new Error(`${source} is missing: tsc -b has not run`);
    const text = readFileSync(source, 'utf8')
      .replace(/^\/\/# sourceMappingURL=.*\n?/m, '')
      .replace(/(from |import\()'([^']+)'/g, (whole, keyword: string, specifier: string) => {
        const [, name] = /^@mecai\/([a-z-]+)$/.exec(specifier) ?? [];
        if (name === undefined && !specifier.startsWith('.')) return whole;
        const next =
          name === undefined
            ? { workspace, file: join(dirname(file), specifier).replace(/\.ts$/, '.d.ts') }
            : { workspace: name, file: 'index.d.ts' };
        copy(next.workspace, next.file);
        const path = relative(dirname(target), join(types, next.workspace, next.file))
          .split(sep)
          .join('/');
        const dotted = path.startsWith('.') ? path : `./${path}`;
        return `${keyword}'${dotted.replace(/\.d\.ts$/, '.js')}'`;
      });
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }

  copy('client', 'index.d.ts');
}
