import { execFile, execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bundled, ca, list, one, serve, voucher } from '../guard/guard-bed.ts';
import { signedList, vendorKey } from '../testing/world.ts';
import { oldestNode, type PackageSizes, writePackage } from './package.ts';

// Compilers and other Nodes, on machines of any load.
vi.setConfig({ testTimeout: 120_000 });
const root = join(import.meta.dirname, '..', '..', '..');
const directory = mkdtempSync(join(tmpdir(), 'mecai-package-'));
const out = join(directory, 'node_modules', '@mecai', 'client');
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
let sizes: PackageSizes;
beforeAll(async () => {
  execFileSync(bin('tsc'), ['-b', 'client'], { cwd: root });
  sizes = await writePackage(out);
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

/** Node of this machine, beside the pinned one that runs the tests. */
const nodes = (process.env['PATH'] ?? '')
  .split(delimiter)
  .concat('/usr/bin', '/usr/local/bin')
  .filter((path) => path !== '' && !path.includes('node_modules'))
  .map((path) => join(path, 'node'))
  .filter(isExecutable)
  .map((path) => realpathSync(path))
  .filter((path, i, all) => all.indexOf(path) === i);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

describe.each([process.execPath, ...nodes])('on %s', (node) => {
  const run = (...args: readonly string[]) => execFileSync(node, args, { encoding: 'utf8', stdio: 'pipe' });

  test('the published library passes every vector', () => {
    const vectors = join(root, 'test', 'vectors');
    expect(run(join(vectors, 'run.mjs'), join(out, 'index.js'))).toMatch(/^(\d+) of \1 vectors as expected/);
  });

  test('the published command works', () => {
    expect(run(join(out, 'mecai.js'), '--help')).toContain('connect to a server with a second opinion');
    const voucher = join(root, 'test', 'vectors', 'vouchers', 'good.der');
    expect(run(join(out, 'mecai.js'), 'inspect', voucher)).toContain('192.0.2.1');
  });

  test('a guarded agent refuses and accepts', () => {
    const script = join(directory, 'guarded.mjs');
    writeFileSync(script, guarded);
    expect(run(script)).toBe('refused no-voucher, then hello\n');
  });
});

test('there is another Node than the pinned one to try it on, no older than it must be', () => {
  expect(nodes.length).toBeGreaterThan(0);
  for (const node of nodes) {
    const [major, minor] = execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' })
      .split('.')
      .map(Number);
    const [least, leastMinor] = oldestNode.split('.').map(Number);
    expect(major! > least! || (major === least && minor! >= leastMinor!)).toBe(true);
  }
});

test('what would be published: no sources, no tests, no dependencies', () => {
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json'], {
    cwd: out,
    encoding: 'utf8',
    stdio: 'pipe',
  });
  const [{ files }] = JSON.parse(listed) as [{ files: { path: string }[] }];
  const names = files.map(({ path }) => path);
  expect(names.filter((name) => !name.startsWith('types/')).toSorted()).toEqual([
    'LICENSE',
    'README.md',
    'index.js',
    'mecai.js',
    'package.json',
  ]);
  expect(names.filter((name) => !name.endsWith('.d.ts') && name.startsWith('types/'))).toEqual([]);
  expect(names.filter((name) => name.includes('test'))).toEqual([]);
  expect(sizes.dependencies).toBe(0);
  const imports = [
    ...readFileSync(join(out, 'index.js'), 'utf8').matchAll(/^import .* from "([^"]+)"/gm),
  ].map(([, name]) => name!);
  expect(imports.filter((name) => !name.startsWith('node:'))).toEqual([]);
  expect(readdirSync(join(out, 'types', 'client'))).toContain('index.d.ts');
});

test('the types are whole, for those who check theirs', () => {
  const consumer = join(directory, 'consumer');
  mkdirSync(consumer);
  writeFileSync(
    join(consumer, 'index.mts'),
    `import { Guard, GuardedAgent, type ServerCode, undiciConnector, defaultPolicy } from '@mecai/client';
     import type { VaList } from '@mecai/client';
     declare const list: VaList;
     const guard = new Guard({ list, policy: defaultPolicy, now: () => new Date(), random: (n) => new Uint8Array(n) });
     export const agent: import('node:https').Agent = new GuardedAgent(guard);
     export const connector = undiciConnector(guard);
     export const code: ServerCode = 'va-not-chosen';
     // @ts-expect-error no such code
     export const other: ServerCode = 'no-such-code';`,
  );
  const types = join(root, 'node_modules', '@types');
  execFileSync(
    bin('tsc'),
    [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--types',
      'node',
      '--typeRoots',
      types,
    ].concat(join(consumer, 'index.mts')),
    { cwd: consumer, stdio: 'pipe' },
  );
});

describe('installed into an empty folder', () => {
  const folder = join(directory, 'empty');
  const npm = (cwd: string, ...args: readonly string[]) =>
    execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: 'pipe' });
  beforeAll(() => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    const packed = npm(out, 'pack', '--json', '--pack-destination', directory);
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    npm(folder, 'install', '--offline', '--no-audit', '--no-fund', join(directory, filename));
  }, 300_000);

  test('nothing else is installed with it', () => {
    const modules = join(folder, 'node_modules');
    expect(readdirSync(modules).filter((name) => !name.startsWith('.'))).toEqual(['@mecai']);
    expect(readdirSync(join(modules, '@mecai'))).toEqual(['client']);
  });

  test('its command is there', () => {
    const mecai = join(folder, 'node_modules', '.bin', 'mecai');
    expect(execFileSync(mecai, ['--help'], { encoding: 'utf8' })).toContain('connect');
    expect(execFileSync(mecai, ['connect', '--help'], { encoding: 'utf8' })).toContain('--list-key');
  });

  test('the code of the README refuses a server without a voucher, and accepts it with one', async () => {
    const readme = readFileSync(join(folder, 'node_modules', '@mecai', 'client', 'README.md'), 'utf8');
    const [, code = ''] = /```js\n([\s\S]*?)```/.exec(readme) ?? [];
    const server = await serve();
    const listed = { ...list, vas: [one!.entry], issuedAt: new Date(Date.now() - 3_600_000) };
    writeFileSync(join(folder, 'list.jws'), signedList(listed));
    writeFileSync(join(folder, 'vendor.pem'), vendorKey.publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(join(folder, 'ca.pem'), ca);
    // What the README leaves to the reader, and a name server that knows one name.
    const before = `
  import dns from 'node:dns';
  import { readFileSync } from 'node:fs';
  const vendorPem = readFileSync('vendor.pem');
  const listBytes = readFileSync('list.jws');
  const highestSeen = 0;
  dns.lookup = (host, options, done) =>
    options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
  `;
    expect(code).toContain(`'https://www.example.org/'`);
    const there = code.replace('https://www.example.org/', `https://www.example.org:${server.port}/`);
    writeFileSync(join(folder, 'index.js'), before + there);
    const run = () =>
      new Promise<{ out: string; err: string }>((resolve) => {
        const options = { cwd: folder, env: { ...process.env, NODE_EXTRA_CA_CERTS: 'ca.pem' } };
        execFile(process.execPath, ['index.js'], options, (_, out, err) => resolve({ out, err }));
      });
    const refused = await run();
    expect(refused.out).toMatch(/^www\.example\.org reject \[[\s\S]*code: 'no-voucher'/);
    // Nobody listens to the error of the request.
    expect(refused.err).toContain('www.example.org is refused');
    expect(server.requests.filter(({ url }) => url === '/')).toEqual([]);

    server.show({ bundle: bundled(voucher(server.port)) });
    expect(await run()).toEqual({ out: 'www.example.org accept []\n', err: '' });
    expect(server.requests.filter(({ url }) => url === '/')).toHaveLength(1);
  });
});

/** Plain JavaScript for any Node: a server without vouchers, guarded by \`enforce\` and then by \`report-only\`. */
const guarded = `
import { execFile, execFileSync } from 'node:child_process';
import { createPublicKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultPolicy, Guard, GuardedAgent, readVaList } from '@mecai/client';
const vectors = ${JSON.stringify(join(root, 'test', 'vectors'))};
const read = (name) => readFileSync(join(vectors, name));
const { usual } = JSON.parse(read('manifest.json'));
const now = () => new Date(usual.time);
const list = readVaList(read('list.jws'), { keys: new Map([['vendor-1', createPublicKey(read('vendor.pem'))]]), now: now() });
const directory = mkdtempSync(join(tmpdir(), 'mecai-'));
const at = (name) => join(directory, name);
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
  '-keyout', at('key'), '-out', at('cert'), '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'pipe' });
const server = createServer({ key: readFileSync(at('key')), cert: readFileSync(at('cert')) }, (request, response) =>
  request.url === '/' ? response.end('hello') : response.writeHead(404, { 'content-length': 0 }).end());
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const ask = (mode) => new Promise((resolve, reject) => {
  const guard = new Guard({ list, policy: { ...defaultPolicy, mode, routes: ['ocsp', 'well-known', 'tls-extension'] }, now, random: randomBytes });
  const agent = new GuardedAgent(guard);
  get({ host: '127.0.0.1', port: server.address().port, servername: 'localhost', ca: readFileSync(at('cert')), agent }, (response) => {
    let text = '';
    response.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text));
  }).on('error', reject);
});
const { code, failures } = await ask('enforce').catch((error) => error);
const answer = await ask('report-only');
console.log(code + ' ' + failures[0].code + ', then ' + answer);
process.exit();
`;
