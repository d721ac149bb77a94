/** `node test/src/bench/pki.ts [--json]`: path validation, CRLs and OCSP. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createTrustStore,
  encodeOcspRequest,
  matchesDistrust,
  parseCertificate,
  parseCrl,
  toPem,
  verifyOcsp,
} from '@mecai/pki';
import { authority, keyOf, makeCrl, now, server } from '@mecai/pki/testing';
import { inTurns, median, reporter } from './figures.ts';

const crlEntries = 300_000;

/**
 * Peak memory, MiB, of a process that reads a CRL, or nothing. VmHWM begins with the program; maxRSS, where that
 * is not to be had, also counts the process that started it.
 */
if (process.argv.includes('--memory')) {
  const path = process.argv.at(-1)!;
  const size = path === 'nothing' ? 0 : parseCrl(readFileSync(path)).entries.size;
  if (path !== 'nothing' && size !== crlEntries) throw new Error('entries are missing');
  const status = existsSync('/proc/self/status') ? readFileSync('/proc/self/status', 'utf8') : '';
  const peak = /VmHWM:\s+(\d+) kB/.exec(status)?.[1];
  console.log((peak === undefined ? process.resourceUsage().maxRSS : Number(peak)) / 1_024);
  process.exit();
}

const report = reporter('pki');
const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
/** The median of each run: a machine at work on something else shows in a mean. */
const microseconds = (count: number, action: (index: number) => void): number =>
  median(
    Array.from({ length: count }, (_, i) => {
      const started = process.hrtime.bigint();
      action(i);
      return Number(process.hrtime.bigint() - started) / 1_000;
    }),
  );

const serialAt = (i: number) => {
  const octets = new Uint8Array(16).fill(0x5a);
  new DataView(octets.buffer).setUint32(4, Math.imul(i, 2_654_435_761));
  new DataView(octets.buffer).setUint32(8, i);
  return octets;
};

const root = authority('Root');
const ica = authority('Intermediate', { issuer: root });
const host = (i: number) => `host${i}.example.com`;
const rounds = 9;
const perRound = 500;
const leaves = Array.from({ length: rounds * perRound + perRound }, (_, i) => server(host(i), ica));
const contexts = ['MOZ', 'CHROME', 'MS', 'APPLE'].map((id) => ({
  id,
  anchors: [
    { certificate: root.certificate },
    ...Array.from({ length: 150 }, (_, i) => ({
      certificate: authority(`Root ${i}`, { key: root.key }).certificate,
    })),
  ],
}));

/** The hot path: four contexts, the issuer known, a leaf never seen. */
{
  const store = createTrustStore(contexts);
  const issuer = new X509Certificate(ica.der);
  const issuerKey = issuer.publicKey;
  const validate = (i: number) => {
    const evaluation = store.evaluate({ chain: [leaves[i]!.der, ica.der], name: { dns: host(i) }, now });
    if (!evaluation.contexts.every(({ trusted }) => trusted)) throw new Error('not trusted');
  };
  const peer = (i: number) => {
    const leaf = new X509Certificate(leaves[i]!.der);
    if (!leaf.verify(issuerKey) || !leaf.checkIssued(issuer) || !leaf.checkHost(host(i)))
      throw new Error('not trusted');
  };
  microseconds(perRound, validate);
  let [own, others] = [perRound, 0];
  const openssl = () => {
    const names = leaves
      .slice(0, perRound)
      .map((leaf, i) => file(`leaf${i}.pem`, toPem(leaf.der, 'CERTIFICATE')));
    const roots = file('roots.pem', toPem(root.der, 'CERTIFICATE'));
    const bag = file('bag.pem', toPem(ica.der, 'CERTIFICATE'));
    const at = String(now.getTime() / 1_000);
    return (
      microseconds(
        1,
        () =>
          void execFileSync('openssl', [
            'verify',
            '-x509_strict',
            '-attime',
            at,
            '-CAfile',
            roots,
            '-untrusted',
            bag,
            ...names,
          ]),
      ) / perRound
    );
  };
  const measured = await inTurns(rounds, {
    own: () => microseconds(perRound, () => validate(own++)),
    node: () => microseconds(perRound, () => peer(others++)),
    openssl,
  });
  report("validate a cached issuer's new leaf in four contexts", measured.own, 'µs', {
    name: 'node X509Certificate, parse, verify one link, checkHost',
    value: measured.node,
  });
  report("validate a cached issuer's new leaf in four contexts", measured.own, 'µs', {
    name: 'openssl verify, one context, 500 leaves a process',
    value: measured.openssl,
  });
  report(
    'validate a leaf seen before',
    microseconds(2_000, () => validate(0)),
    'µs',
  );
}

/** Nothing cached: a store is built for each chain. */
{
  const cold = Array.from({ length: 200 }, (_, i) => {
    const store = createTrustStore([{ id: 'MOZ', anchors: [{ certificate: root.certificate }] }]);
    return microseconds(1, () => void store.evaluate({ chain: [leaves[i]!.der, ica.der], now }));
  });
  report('validate a chain of three, nothing cached', median(cold), 'µs');
}

{
  const parsed = await inTurns(rounds, {
    own: () => microseconds(perRound, (i) => void parseCertificate(leaves[i]!.der)),
    node: () => microseconds(perRound, (i) => void new X509Certificate(leaves[i]!.der)),
  });
  report('parse a certificate', parsed.own, 'µs', { name: 'node X509Certificate', value: parsed.node });
}

/** A hundred certificates, each of which might have signed any other. */
{
  const bag = Array.from({ length: 100 }, (_, i) =>
    authority('Same name', {
      key: keyOf(`hostile ${i}`),
      issuerName: authority('Same name').certificate.subject,
    }),
  );
  const leaf = server('host.example.com', bag[0]!);
  const chain = [leaf, ...bag].map(({ der }) => der);
  const times = Array.from({ length: rounds }, () => {
    const store = createTrustStore(contexts.slice(0, 1));
    return microseconds(1, () => void store.evaluate({ chain, now })) / 1_000;
  });
  report('refuse a hostile bag of 100, nothing cached', median(times), 'ms');
}

{
  const revoked = Array.from({ length: crlEntries }, (_, i) => ({ serial: serialAt(i), reason: i % 6 }));
  const bytes = makeCrl(ica, { revoked });
  const path = file('big.crl', bytes);
  const measured = await inTurns(5, {
    own: () => microseconds(1, () => void parseCrl(bytes)) / 1_000,
    openssl: () =>
      microseconds(
        1,
        () => void execFileSync('openssl', ['crl', '-inform', 'DER', '-in', path, '-noout', '-crlnumber']),
      ) / 1_000,
  });
  const size = (bytes.length / 1_000_000).toFixed(1);
  report(`parse and index a CRL of ${crlEntries} entries, ${size} MB`, measured.own, 'ms', {
    name: 'openssl crl, a process',
    value: measured.openssl,
  });
  const crl = parseCrl(bytes);
  report(
    'look up a revoked serial number',
    microseconds(50_000, (i) => void crl.entries.find(revoked[i]!.serial)),
    'µs',
  );
  const absent = Array.from({ length: 50_000 }, (_, i) => serialAt(crlEntries + i));
  report(
    'look up an absent serial number',
    microseconds(50_000, (i) => void crl.entries.find(absent[i]!)),
    'µs',
  );
  const script = fileURLToPath(import.meta.url);
  const peak = (what: string) =>
    Number(execFileSync(process.execPath, [script, '--memory', what], { encoding: 'utf8' }));
  const memory = await inTurns(5, { own: () => peak(path), nothing: () => peak('nothing') });
  report('peak memory of a process that reads that CRL', memory.own, 'MiB', {
    name: 'the same process without it',
    value: memory.nothing,
  });
}

{
  const request = file('request.der', encodeOcspRequest(leaves[0]!.certificate, ica.certificate));
  const key = file('ica.key', ica.key.privateKey.export({ type: 'sec1', format: 'pem' }));
  const serial = Buffer.from(leaves[0]!.certificate.serial).toString('hex').toUpperCase();
  const index = file('index.txt', `V\t490101000000Z\t\t${serial}\tunknown\t/CN=leaf\n`);
  const ca = file('ica.pem', toPem(ica.der, 'CERTIFICATE'));
  const answer = join(directory, 'response.der');
  execFileSync(
    'openssl',
    [
      'ocsp',
      '-index',
      index,
      '-CA',
      ca,
      '-rsigner',
      ca,
      '-rkey',
      key,
      '-reqin',
      request,
      '-respout',
      answer,
      '-ndays',
      '1',
    ],
    { stdio: 'pipe' },
  );
  const response = Uint8Array.from(readFileSync(answer));
  const at = new Date();
  const verify = () => void verifyOcsp(response, leaves[0]!.certificate, ica.certificate, at);
  microseconds(500, verify);
  report('verify an OCSP response', microseconds(2_000, verify), 'µs');
}

{
  const entries = Array.from({ length: 1_000 }, (_, i) => ({
    id: String(i),
    subject: { kind: 'spki' as const, sha256: i.toString(16).padStart(64, '0') },
  }));
  const path = [leaves[0]!, ica, root].map(({ certificate }) => certificate);
  report(
    'match a path of three against 1,000 distrust entries',
    microseconds(100, () => void matchesDistrust(entries, path, 'MOZ', now)),
    'µs',
  );
}

rmSync(directory, { recursive: true });
