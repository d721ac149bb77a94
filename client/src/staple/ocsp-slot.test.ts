/** Vouchers in the OCSP slot of stock servers: nginx from a file, nginx and Apache from the stapler's responder. */
import { constructed, implicit, der, parseCertificate, verifyOcsp } from '@mecai/pki';
import { probe } from '@mecai/tls-probe';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from '@mecai/tls-probe/testing';
import { vouchersInOcspResponse } from '@mecai/voucher';
import {
  type TestCertificate,
  testCertificate,
  testExtension,
  testKey,
  testOcsp,
} from '@mecai/voucher/testing';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { afterEach, afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { pem, portOf } from '../test-va-server.ts';
import { requestedCertId } from './ocsp.ts';
import { type StatusServer, startStatusServer } from './status-page.ts';
import { type Scene, setScene } from './testing.ts';

const processes = new Processes();
const name = 'www.shop.test';
let scene: Scene;
let responder: Server;
let page: StatusServer;
let asked = 0;
const leaves = new Map<'ecdsa' | 'rsa', TestCertificate>();
const files = (kind: 'ecdsa' | 'rsa') => ({ certificate: `${kind}.pem`, key: `${kind}.key` });

beforeAll(async () => {
  scene = await setScene(Date.now);
  // The CA's own responder answers by the order in which certificates are asked about, each once.
  responder = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      asked++;
      const serial = requestedCertId(Buffer.concat(chunks))!.split(' ')[2];
      const about = [...leaves.values()].find(
        (one) => Buffer.from(parseCertificate(one.der).serial).toString('hex') === serial,
      )!;
      const thisUpdate = new Date(Date.now() - 3_600_000);
      const nextUpdate = new Date(Date.now() + 86_400_000);
      response.end(testOcsp({ about, issuer: scene.ca, thisUpdate, nextUpdate }));
    });
  });
  await new Promise<void>((resolve) => responder.listen(0, '127.0.0.1', resolve));
  const url = Buffer.from(`http://127.0.0.1:${portOf(responder)}/`);
  // id-ad-ocsp in AuthorityInfoAccess (RFC 5280 section 4.2.2.1).
  const access = der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1'), der.tlv(implicit(6), url)));
  for (const [i, kind] of (['ecdsa', 'rsa'] as const).entries()) {
    const leaf = testCertificate({
      subject: name,
      issuer: scene.ca,
      key: kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : testKey(),
      serial: 40 + i,
      dnsNames: [name],
      extensions: [testExtension('1.3.6.1.5.5.7.1.1', false, access)],
    });
    leaves.set(kind, leaf);
    scene.file(`${kind}.pem`, pem(leaf.der, scene.ca.der));
    scene.file(`${kind}.key`, leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  }
});
afterEach(() => processes.stop());
afterAll(async () => {
  await page?.close();
  responder.close();
  responder.closeAllConnections();
  scene.close();
});

/** The vouchers that came in the OCSP slot, once the server has a response. */
async function stapled(port: number, keyType: 'ecdsa' | 'rsa'): Promise<Buffer[]> {
  let response: Uint8Array | undefined;
  await vi.waitUntil(
    async () => {
      const { ocspResponses } = await probe({ address: '127.0.0.1', port, serverName: name }, { keyType });
      response = ocspResponses[0]?.der;
      return response !== undefined;
    },
    { timeout: 60_000, interval: 50 },
  );
  const [leaf, issuer] = [leaves.get(keyType)!, scene.ca].map(({ der: bytes }) => parseCertificate(bytes));
  expect(verifyOcsp(response!, leaf!, issuer!, new Date()).status).toBe('good');
  return vouchersInOcspResponse(response!).map((one) => Buffer.from(one));
}

/** In the order of VAs: the status has them in the order in which they answered. */
const held = (stapler: ReturnType<Scene['stapler']>, leaf: TestCertificate) =>
  stapler.stapler.status.targets
    .filter(({ target }) => Buffer.compare(target.chain[0]!, leaf.der) === 0)
    .flatMap(({ vas }) =>
      [...vas]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([, { voucher }]) => Buffer.from(voucher!.der, 'base64')),
    );

const nginxConfiguration = (file: string, port: number, more: string) =>
  scene.file(
    file,
    `daemon off; pid ${scene.file(`${file}.pid`)}; error_log ${scene.file(`${file}.log`)};
     events { worker_connections 64; }
     http { access_log off; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
       .map((one) => `${one}_temp_path ${scene.file(one)};`)
       .join(' ')}
       server { listen 127.0.0.1:${port} ssl; server_name ${name}; ssl_stapling on; ${more} } }`,
  );
const pair = (kind: 'ecdsa' | 'rsa') =>
  `ssl_certificate ${scene.file(`${kind}.pem`)}; ssl_certificate_key ${scene.file(`${kind}.key`)};`;

describe('the OCSP slot', () => {
  test('of nginx, from a file that is written once as long as nothing changes', async () => {
    const port = await freePort();
    const response = scene.file('stapled/ocsp.der');
    const conf = nginxConfiguration('file.conf', port, `${pair('ecdsa')} ssl_stapling_file ${response};`);
    const config = scene.config({
      server: { kind: 'nginx', configuration: conf },
      state: 'file-state',
      ocsp: {},
      reload: ['true'],
    });
    const first = scene.stapler(config);
    await first.stapler.round();
    expect(first.stapler.status.problems).toEqual([]);
    await processes.serve(program('nginx', 'nginx-light'), ['-p', scene.directory, '-c', conf], port);
    expect(await stapled(port, 'ecdsa')).toEqual(held(first, leaves.get('ecdsa')!));
    first.close();
    // After a restart: another key for the containers, the same file.
    const again = scene.stapler(config);
    await again.stapler.round();
    expect(again.stapler.status.counts).toMatchObject({ requests: 0, reloads: 0 });
    again.close();
  });

  test('of nginx and Apache with two certificates each, from the stapler as the responder', async () => {
    const [nginxPort, apachePort, pagePort] = [await freePort(), await freePort(), await freePort()];
    const listen = `127.0.0.1:${pagePort}`;
    const conf = nginxConfiguration(
      'responder.conf',
      nginxPort,
      `${pair('ecdsa')} ${pair('rsa')} ssl_stapling_responder http://${listen}/ocsp;`,
    );
    const sites = (['ecdsa', 'rsa'] as const).map((kind) => ({
      name,
      addresses: ['127.0.0.1'],
      port: apachePort,
      ...files(kind),
    }));
    const stapler = scene.stapler(
      scene.config({
        server: { kind: 'nginx', configuration: conf },
        sites,
        state: 'responder-state',
        ocsp: { vas: ['va-1', 'va-3'] },
        listen,
      }),
    );
    page = await startStatusServer(listen, () => stapler.stapler.status, Date.now);
    await stapler.stapler.round();
    await processes.serve(program('nginx', 'nginx-light'), ['-p', scene.directory, '-c', conf], nginxPort);
    const modules = ['mpm_event', 'ssl', 'socache_shmcb', 'authz_core']
      .map((one) => `LoadModule ${one}_module /usr/lib/apache2/modules/mod_${one}.so`)
      .join('\n');
    const apacheConf = scene.file(
      'apache.conf',
      `${modules}\nServerName ${name}\nServerRoot ${scene.directory}\nDefaultRuntimeDir ${scene.directory}
Listen 127.0.0.1:${apachePort}\nPidFile ${scene.file('apache.pid')}\nErrorLog ${scene.file('apache.log')}
SSLUseStapling on\nSSLStaplingCache shmcb:${scene.file('stapling')}(128000)\nSSLStaplingForceURL http://${listen}/ocsp\nSSLEngine on
${(['ecdsa', 'rsa'] as const).map((kind) => `SSLCertificateFile ${scene.file(`${kind}.pem`)}\nSSLCertificateKeyFile ${scene.file(`${kind}.key`)}`).join('\n')}\n`,
    );
    await processes.serve(program('apache2', 'apache2'), ['-D', 'FOREGROUND', '-f', apacheConf], apachePort);
    const before = asked;
    for (const kind of ['ecdsa', 'rsa'] as const) {
      const ofNginx = held(stapler, leaves.get(kind)!).filter((_, i) => i === 0 || i === 2);
      for (const port of [nginxPort, apachePort]) {
        const arrived = await stapled(port, kind);
        expect(arrived).toHaveLength(2);
        // The responder is asked about a certificate, not about an address: the first target's vouchers.
        expect(ofNginx).toEqual(expect.arrayContaining(arrived));
      }
    }
    // The CA was asked by the stapler alone.
    expect(asked).toBe(before);
    stapler.close();
  });

  test('of HAProxy, which takes the file beside its certificate', async () => {
    const port = await freePort();
    const combined = scene.file(
      'haproxy.pem',
      ['ecdsa.pem', 'ecdsa.key'].map((one) => readFileSync(scene.file(one))).join(''),
    );
    const stapler = scene.stapler(
      scene.config({
        sites: [{ name, addresses: ['127.0.0.1'], port, ...files('ecdsa'), ocspFile: `${combined}.ocsp` }],
        state: 'haproxy-state',
        ocsp: {},
      }),
    );
    await stapler.stapler.round();
    const conf = scene.file(
      'haproxy.cfg',
      `defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\nfrontend tls\n  bind 127.0.0.1:${port} ssl crt ${combined}\n`,
    );
    await processes.serve(program('haproxy', 'haproxy'), ['-db', '-f', conf], port);
    expect(await stapled(port, 'ecdsa')).toEqual(held(stapler, leaves.get('ecdsa')!));
    stapler.close();
  });

  test('of a certificate whose CA answers no OCSP stays as it is, and the problem is told', async () => {
    const other = scene.identity('silent', ['silent.test']);
    const { stapler, close } = scene.stapler(
      scene.config({
        sites: [
          {
            name: 'silent.test',
            addresses: ['127.0.0.1'],
            certificate: other.certificate,
            key: other.key,
            ocspFile: 'silent.der',
          },
        ],
        state: 'silent-state',
        ocsp: {},
      }),
    );
    await stapler.round();
    expect(stapler.status.problems).toEqual([expect.stringContaining('the CA answers no OCSP')]);
    expect(stapler.status.counts.issued).toBe(3);
    close();
  });
});

describe('the responder', () => {
  test('answers about strangers and nonsense that it knows nothing', async () => {
    const listen = `127.0.0.1:${await freePort()}`;
    const { stapler, close } = scene.stapler(scene.config({ state: 'empty-state' }));
    const server = await startStatusServer(listen, () => stapler.status, Date.now);
    const ask = async (init: RequestInit, path = '/ocsp') =>
      Buffer.from(await (await fetch(`http://${listen}${path}`, init)).arrayBuffer()).toString('hex');
    expect(await ask({ method: 'POST', body: Buffer.from('nonsense') })).toBe('30030a0106');
    expect(await ask({}, '/ocsp/%zz')).toBe('30030a0106');
    await expect(ask({ method: 'POST', body: Buffer.alloc(5_000) })).rejects.toThrow('fetch failed');
    await server.close();
    close();
  });

  test('reads the first certificate of a request, with a version and a requestor', () => {
    const certId = der.sequence(
      der.sequence(der.oid('1.3.14.3.2.26'), der.nullValue()),
      ...[Uint8Array.of(1), Uint8Array.of(2)].map((one) => der.octetString(one)),
      der.integer(5),
    );
    const list = der.sequence(der.sequence(certId));
    const version = der.tlv(constructed(0), der.integer(0));
    const requestor = der.tlv(constructed(1), der.tlv(constructed(4), der.sequence()));
    expect(requestedCertId(der.sequence(der.sequence(version, requestor, list)))).toBe('01 02 05');
    expect(requestedCertId(der.sequence(der.sequence(list)))).toBe('01 02 05');
    expect(requestedCertId(der.sequence())).toBeUndefined();
  });
});
