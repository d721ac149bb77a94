import { encodeVoucherBundle } from '@mecai/voucher';
import { type Directory, encodeDirectory, prepareDirectory } from '@mecai/voucher';
import { testCertificate, testVoucher } from '@mecai/voucher/testing';
import { sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pem, portOf } from '../test-va-server.ts';
import { startServer, type TestServer } from '../testing/tls-server.ts';
import {
  chainOf,
  listedVa,
  listOf,
  serverCertificate,
  signedList,
  vendorKey,
  voucherFor,
  webIntermediate,
  webRoot,
} from '../testing/world.ts';
import { runCommand } from './commands.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-connect-'));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
const start = new Date();
const vaTls = testCertificate({ subject: 'VA server', dnsNames: ['localhost'] });
const told: { path: string; body: string }[] = [];
let perspectives = '';
const vaServer = createServer(
  { cert: pem(vaTls.der), key: vaTls.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      told.push({ path: request.url!, body });
      if (request.method === 'GET')
        response.writeHead(200, { 'content-type': 'application/jose' }).end(perspectives);
      else response.writeHead(202, { 'content-type': 'application/json' }).end('{}');
    });
  },
);
const leaf = serverCertificate({ dnsNames: ['localhost', 'www.example.org'] });
let server: TestServer;
let one: ReturnType<typeof listedVa>;
let common: string[];
beforeAll(async () => {
  await new Promise<void>((resolve) => vaServer.listen(0, 'localhost', resolve));
  one = listedVa(1, { vrp: `https://localhost:${portOf(vaServer)}/vrp` }, start);
  const list = listOf([one, listedVa(2, {}, start)], { expires: new Date(start.getTime() + 86_400_000) });
  server = await startServer({ certificates: [{ leaf }] });
  const key = vendorKey.publicKey.export({ type: 'spki', format: 'pem' });
  common = ['--list', file('list.jws', signedList(list)), '--list-key', file('vendor.pem', key)];
});
afterAll(() => {
  server.close();
  vaServer.close();
  rmSync(directory, { recursive: true });
});

async function mecai(...args: string[]) {
  let [out, err] = ['', ''];
  const code = await runCommand(args, {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    now: () => new Date(),
  });
  return { code, out, err };
}
const connect = (...args: string[]) =>
  mecai(
    'connect',
    `https://localhost:${server.port}/`,
    ...common,
    '--address',
    '127.0.0.1',
    '--ca',
    ca(),
    ...args,
  );
const ca = () => file('ca.pem', pem(webRoot.der));
const vouched = () => {
  const at = new Date(Math.floor(Date.now() / 1000) * 1000);
  const chain = chainOf(leaf, webIntermediate);
  return one.issue(voucherFor({ chain, address: '127.0.0.1', port: server.port, at }));
};
const bundle = () => {
  const octets = Buffer.from(encodeVoucherBundle([vouched()]));
  server.show({
    bundle: (_, response) => void response.writeHead(200, { 'content-length': octets.length }).end(octets),
  });
};

test('a server with a voucher: what was chosen, what came how, and the verdict', async () => {
  bundle();
  const { code, out } = await connect();
  expect(out).toContain('1 of them must vouch');
  expect(out).toMatch(/voucher +VA 1: ✔ holds/);
  expect(out).toContain("in the server's own file, on this connection");
  expect(out).toContain('6 perspectives agree, in 5 regions');
  expect(out).toContain('accepted: a second opinion agrees');
  expect(code).toBe(0);
});

test('a server without: refused, in colour where the terminal shows it, and as JSON', async () => {
  server.show({ bundle: (_, response) => void response.writeHead(404, { 'content-length': 0 }).end() });
  const { code, out } = await connect();
  expect(out).toContain('no-voucher: the server has shown no voucher');
  expect(out).toContain('refused: nothing of a request has left this machine');
  expect(code).toBe(1);
  let coloured = '';
  const args = ['connect', `localhost:${server.port}`, ...common, '--address', '127.0.0.1', '--ca', ca()];
  await runCommand(args, {
    out: (text) => void (coloured += text),
    err: () => undefined,
    now: () => new Date(),
    colour: true,
  });
  expect(coloured).toContain('\u001b[31mno-voucher\u001b[39m');
  const json = JSON.parse((await connect('--json')).out) as Record<string, unknown>;
  expect(json).toMatchObject({ verdict: 'reject', mode: 'enforce', address: '127.0.0.1', status: 'unknown' });
});

test('a policy: a host in mode warn, another off', async () => {
  const policy = (json: object) => ['--policy', file('policy.json', JSON.stringify(json))];
  const warned = await connect(...policy({ hosts: { localhost: 'warn' }, routes: ['ocsp'] }));
  expect(warned.out).toContain('goes on with a warning');
  expect(warned.code).toBe(1);
  const off = await connect(...policy({ mode: 'off' }));
  expect(off).toMatchObject({ code: 0, out: 'localhost: the mode for this host is off\n' });
  expect(await connect(...policy({ mode: 'maybe' }))).toMatchObject({ code: 3 });
});

test('a failed check goes to the VA that the user names, and only then', async () => {
  told.length = 0;
  const policy = ['--policy', file('policy.json', '{"routes":[]}')];
  await connect(...policy);
  expect(told).toEqual([]);
  const va = ['--report', 'va-1', '--va-ca', file('va-ca.pem', pem(vaTls.der))];
  expect((await connect(...policy, ...va)).err).toContain('reported to');
  expect(told.map(({ path }) => path)).toEqual(['/vrp/reports']);
  expect(JSON.parse(told[0]!.body)).toMatchObject({
    address: '127.0.0.1',
    port: server.port,
    serverName: 'localhost',
    chain: chainOf(leaf, webIntermediate).map((certificate) => Buffer.from(certificate).toString('base64')),
    codes: ['certificate-status-unknown', 'no-voucher'],
    mode: 'enforce',
    vouchers: [],
  });
  bundle();
  expect((await connect(...va)).err).toContain('nothing to report');
});

test('what cannot be used is said', async () => {
  expect(await connect('--report', 'va-9')).toMatchObject({ code: 2 });
  expect(await connect('--country', 'de')).toMatchObject({ code: 2 });
  expect(await mecai('connect', 'http://localhost/', ...common)).toMatchObject({ code: 2 });
  expect(await mecai('connect', 'https://localhost:1/', ...common, '--address', '127.0.0.1')).toMatchObject({
    code: 3,
  });
  expect(await connect('--geoip', file('none.mmdb', 'x'))).toMatchObject({ code: 3 });
  expect(await connect('--list', file('other.jws', 'x'))).toMatchObject({ code: 3 });
});

test('mecai perspectives shows the directory of a VA of the list, and its history', async () => {
  const content: Directory = {
    version: 3,
    publishedAt: new Date('2026-11-20T00:00:00Z'),
    quorum: testVoucher.quorum,
    trustContexts: ['MOZ'],
    perspectives: [
      { country: 'DE', city: 'Frankfurt', latitude: 50, longitude: 9, rir: 'ripencc', asn: 64_496 },
    ],
  };
  const prepared = prepareDirectory(encodeDirectory(content), [one.certificate.der, one.intermediate.der]);
  perspectives = prepared.finish(sign('sha256', prepared.toBeSigned, one.certificate.privateKey));
  const vaCa = ['--va-ca', file('va-ca.pem', pem(vaTls.der))];
  const { code, out } = await mecai('perspectives', 'va-1', ...common, ...vaCa);
  expect(out).toContain('version 3 of 2026-11-20T00:00:00.000Z');
  expect(out).toContain('perspective Frankfurt DE (50°N 9°E), ripencc, AS64496');
  expect(code).toBe(0);
  const history = await mecai(
    'perspectives',
    one.entry.vrp,
    '--roots',
    file('root.pem', pem(one.root.der)),
    '--history',
    ...vaCa,
  );
  const [, mark] = /remember for --since: (3:[0-9a-f]{64})/.exec(history.out)!;
  const since = (text: string) =>
    mecai('perspectives', 'va-1', ...common, ...vaCa, '--history', '--since', text);
  expect((await since(mark!)).code).toBe(0);
  expect((await since(`3:${'0'.repeat(64)}`)).code).toBe(1);
  expect((await since('3')).code).toBe(2);
  const stranger = await mecai('perspectives', one.entry.vrp, '--roots', ca(), ...vaCa);
  expect(stranger.code).toBe(1);
});
