/**
 * `node test/src/make-vectors/generate.ts`: writes test/vectors/ anew, the same octets every time. With `--check` it writes
 * nothing, and fails where a file would be another.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
// First: what follows makes keys and signatures.
import './deterministic.ts';
import { toPem } from '@mecai/pki';
import { signJws } from '@mecai/voucher';

const { chain, chosen, list, listPayload, vectors } = await import('./vectors.ts');
const { after, producedAt, vendor } = await import('./world.ts');

const directory = join(import.meta.dirname, '..', '..', 'vectors');
const files = new Map<string, Uint8Array>();
/** Each distinct certificate once. */
const certificates = new Map<string, string>();

function certificateFile(der: Uint8Array): string {
  const key = Buffer.from(der).toString('base64');
  const known = certificates.get(key);
  if (known !== undefined) return known;
  const name = `certificates/${certificates.size + 1}.der`;
  certificates.set(key, name);
  files.set(name, der);
  return name;
}

const kid = 'vendor-1';
files.set('list.jws', Buffer.from(signJws(listPayload, 'mecai-va-list+jws', vendor.privateKey, { kid })));
files.set(
  'vendor.pem',
  Buffer.from(toPem(vendor.publicKey.export({ type: 'spki', format: 'der' }), 'PUBLIC KEY')),
);

const usual = {
  time: after(1).toISOString(),
  address: '192.0.2.1',
  port: 443,
  chain: chain.map(certificateFile),
  chosen,
  maxAgeSeconds: 86_400,
  clockSkewSeconds: 300,
  vaStatus: 'require',
};
const manifest = {
  about:
    'Vouchers, what they are shown with, and the codes that a client finds, in any order; none: accepted. ' +
    'What a vector does not say is as in "usual". test/vectors/README.md tells more.',
  producedAt: producedAt.toISOString(),
  list: 'list.jws',
  listKeys: { [kid]: 'vendor.pem' },
  listVersion: list.version,
  usual,
  vectors: vectors.map(({ name, voucher, time, chain: shown, ...rest }) => {
    const file = `vouchers/${name}.der`;
    files.set(file, voucher);
    const { expected, ...differences } = rest;
    return {
      name,
      voucher: file,
      ...(time && { time: time.toISOString() }),
      ...(shown && { chain: shown.map(certificateFile) }),
      ...differences,
      expected,
    };
  }),
};
files.set('manifest.json', Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`));

/** Written by hand. */
const kept: ReadonlySet<string> = new Set(['README.md', 'run.mjs']);
const present = readdirSync(directory, { recursive: true, withFileTypes: true })
  .filter((one) => one.isFile())
  .map((one) => join(one.parentPath, one.name).slice(directory.length + 1))
  .filter((name) => !kept.has(name));

if (process.argv.includes('--check')) {
  const differing = [...files].filter(([name, bytes]) => {
    return !present.includes(name) || !readFileSync(join(directory, name)).equals(bytes);
  });
  const stray = present.filter((name) => !files.has(name));
  if (differing.length + stray.length > 0) {
    console.error(`not what generate.ts makes: ${[...differing.map(([name]) => name), ...stray].join(', ')}`);
    process.exitCode = 1;
  }
} else {
  for (const name of present) rmSync(join(directory, name));
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes);
  }
  console.log(`${vectors.length} vectors, ${files.size} files`);
}
