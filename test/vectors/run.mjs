// Runs the vectors through a build of the client library: node test/vectors/run.mjs <path of index.js>
// Plain JavaScript without packages, to be read as an example by those who run them through something else.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const directory = dirname(fileURLToPath(import.meta.url));
const { Checker, readVaList } = await import(pathToFileURL(resolve(process.argv[2])).href);
const read = (file) => readFileSync(join(directory, file));
const { list: listFile, listKeys, usual, vectors } = JSON.parse(read('manifest.json'));
const keys = new Map(Object.entries(listKeys).map(([kid, file]) => [kid, createPublicKey(read(file))]));
const list = readVaList(read(listFile), { keys, now: new Date(usual.time) });

/** Each once, alphabetically. */
const inOrder = (codes) => [...new Set(codes)].sort((a, b) => (a < b ? -1 : 1)).join(' ');

let failed = 0;
for (const vector of vectors) {
  const { time, chain, address, port, chosen, perspectives = [], ...wanted } = { ...usual, ...vector };
  const { maxAgeSeconds, clockSkewSeconds, vaStatus, trustContext, quorum } = wanted;
  const checker = new Checker({
    list,
    maxAgeSeconds,
    clockSkewSeconds,
    vaStatus,
    ...(trustContext && { trustContext }),
    ...(quorum && { quorum }),
    // The vectors are about vouchers; whether the server certificate is revoked is another matter.
    serverStatus: 'if-known',
  });
  const handshake = { chain: chain.map(read), address, port };
  const choice = { list, vas: list.vas.filter(({ id }) => chosen.includes(id)), accept: 1, perspectives };
  const candidate = { route: 'tls-extension', voucher: read(vector.voucher) };
  const { failures } = checker.check(handshake, [candidate], choice, new Date(time));
  const found = inOrder(failures.map(({ code }) => code));
  const expected = inOrder(vector.expected);
  if (found === expected) continue;
  failed++;
  console.error(`${vector.name}: expected ${expected || 'nothing'}, found ${found || 'nothing'}`);
}
console.log(`${vectors.length - failed} of ${vectors.length} vectors as expected`);
if (failed > 0) process.exitCode = 1;
