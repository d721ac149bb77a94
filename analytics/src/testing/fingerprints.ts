/**
 * A million distinct certificates within an hour, as a lying agent could show them: `fingerprints.ts <certificates>`
 * prints, one JSON object a line, what memory holds of them after half and after all, and how long the store takes
 * for what depends on their number. Run with `--expose-gc`.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import { readPage } from '../api/listing.ts';
import { listings } from '../api/listings.ts';
import { certificatePage, endpointPage, totals } from '../api/pages.ts';
import { CertificateCache } from '../certificate-cache.ts';
import { Detector } from '../detection/detector.ts';
import { rules } from '../detection/rules.ts';
import { Store } from '../store.ts';
import { places } from './seed.ts';

const total = Number(process.argv[2] ?? 1_000_000);
const endpoints = 10_000;
const hour = 3_600_000;
const began = Date.UTC(2026, 0, 1);
const progress = (text: string) => process.stderr.write(`${text}\n`);
const heap = () => {
  globalThis.gc!();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

const detector = new Detector({ rules });
const certificates = new CertificateCache();
const genuine = places.map((_, i) => Buffer.alloc(1200, `certificate ${i}`));
const before = heap();
let liar = 0;
for (let n = 0; n < total; n++) {
  const at = began + Math.floor((n / total) * hour);
  const endpoint = n % endpoints;
  // The first of the places lies; another looks at the same, and sees what is there.
  for (const [i, place] of [places[0]!, places[1 + (n % (places.length - 1))]!].entries()) {
    const der = i === 0 ? Buffer.alloc(1200, `lie ${liar++}`) : genuine[endpoint % genuine.length]!;
    const [leaf] = certificates.chain([der]).certificates;
    detector.add({
      ...place,
      id: createHash('md5').update(`${n} ${i}`).digest('hex'),
      at,
      observedAt: at,
      address: `::ffff:203.0.113.${endpoint % 256}`,
      targetAsn: 0,
      port: 443,
      serverName: `www.site${endpoint}.example`,
      startTls: '',
      keyType: 'ecdsa',
      proven: true,
      error: '',
      leaf: leaf!.fingerprint,
      spki: leaf!.fingerprint,
      issuer: leaf!.issuer,
      subject: leaf!.subject,
      dnsNames: leaf!.dns_names,
    });
  }
  // Once a minute of the hour.
  if (n % Math.ceil(total / 60) === 0) detector.evaluate(at);
  if ((n + 1) % (total / 10) === 0) progress(`${n + 1} certificates seen`);
  if ((n + 1) % (total / 2) === 0)
    console.log(JSON.stringify({ certificates: n + 1, heapBytes: heap() - before }));
}

const directory = mkdtempSync(join(tmpdir(), 'mecai-fingerprints-'));
const store = await Store.open(
  { store: { kind: 'embedded', directory: join(directory, 'store') }, retentionDays: 0, insertMs: 600_000 },
  createLogger('bench', 'silent'),
);
const leaf = "lower(hex(SHA256(concat('lie ', toString(number)))))";
const from = `fromUnixTimestamp64Milli(toInt64(${began} + number * ${hour / total}))`;
for (let first = 0; first < total; first += 100_000) {
  const numbers = `numbers(${first}, ${Math.min(100_000, total - first)})`;
  await store.command(
    `INSERT INTO observations (id, received_at, observed_at, agent, country, rir, asn, address, port, server_name, key_type,
       chain, leaf, leaf_spki, issuer, possession_proven, verified, verdict, weight)
     SELECT lower(hex(reinterpretAsFixedString(sipHash128(number)))), ${from}, ${from}, 'lima', 'PE', 'lacnic', 64500,
       toIPv6('::ffff:203.0.113.1'), 443, concat('www.site', toString(number % ${endpoints}), '.example'), 'ecdsa', [${leaf}], ${leaf},
       ${leaf}, 'CN=Lie', true, true, 'mismatch', 1 FROM ${numbers}`,
  );
  await store.command(
    `INSERT INTO certificates (fingerprint, first_received_at, subject, issuer, serial, dns_names, spki, key, fault, der_base64)
     SELECT ${leaf}, ${from}, 'CN=lie', 'CN=Lie', '01', [], ${leaf}, 'ec-prime256v1', '', base64Encode(randomString(600)) FROM ${numbers}`,
  );
  progress(`${first + 100_000} certificates stored`);
}
const [some] = await store.query<{ leaf: string }>(`SELECT leaf FROM observations LIMIT 1`);
const list = (name: string) => readPage(store, listings.find((one) => one.name === name)!, { limit: 50 });
const unknown = Array.from({ length: 500 }, (_, i) =>
  createHash('sha256').update(`unknown ${i}`).digest('hex'),
);
const questions: Readonly<Record<string, () => Promise<unknown>>> = {
  totals: () => totals(store),
  endpoints: () => list('endpoints'),
  certificates: () => list('certificates'),
  'certificate page': () => certificatePage(store, some!.leaf),
  'endpoint page': () => endpointPage(store, { serverName: 'www.site3.example', port: 443, startTls: '' }),
  'whether 500 certificates are stored': () =>
    store.query('SELECT fingerprint FROM certificates WHERE fingerprint IN {unknown:Array(String)}', {
      unknown,
    }),
};
for (const [question, ask] of Object.entries(questions)) {
  const runs: { wall: number; cpu: number }[] = [];
  for (let round = 0; round < 3; round++) {
    const [since, used] = [performance.now(), process.cpuUsage()];
    await ask();
    const { user, system } = process.cpuUsage(used);
    runs.push({ wall: performance.now() - since, cpu: (user + system) / 1000 });
  }
  const middle = (of: 'wall' | 'cpu') => runs.map((run) => run[of]).toSorted((a, b) => a - b)[1];
  console.log(JSON.stringify({ question, median: middle('wall'), cpu: middle('cpu') }));
}
await store.close();
rmSync(directory, { recursive: true, force: true });
process.exit(0);
