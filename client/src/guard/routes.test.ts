import { freePort } from '@mecai/addresses/testing';
import { encodeVoucherBundle } from '@mecai/voucher';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { vaAgent } from '../request.ts';
import { encodeServerInfo } from '../staple/serverinfo.ts';
import { pem, portOf, startTestVa } from '../test-va-server.ts';
import { serverCertificate, voucherFor, webIntermediate } from '../testing/world.ts';
import {
  ca,
  closing,
  connected,
  ecdsaLeaf,
  failures,
  guardOf,
  list,
  one,
  place,
  serve,
  three,
  two,
  voucher,
} from './guard-bed.ts';
import { openTls } from './tls-socket.ts';

describe('TLS extensions', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-guard-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  /** nginx sends whoever asks for them the extensions of its serverinfo file. */
  async function stockServer(vas: (typeof one)[]) {
    const port = await freePort();
    file('leaf.pem', pem(ecdsaLeaf.der, webIntermediate.der));
    file('leaf.key', ecdsaLeaf.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const extensions = vas.map((va) => ({ type: va!.entry.codepoint, data: voucher(port, va) }));
    file('serverinfo.pem', encodeServerInfo(extensions));
    const config = `
      daemon off; master_process off; pid nginx.pid; error_log stderr;
      events {}
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path tmp;`).join(' ')}
        server {
          listen 127.0.0.1:${port} ssl;
          ssl_certificate leaf.pem; ssl_certificate_key leaf.key;
          ssl_conf_command ServerInfoFile ${join(directory, 'serverinfo.pem')};
        }
      }`;
    const args = ['-p', directory, '-c', file('nginx.conf', config), '-e', 'stderr'];
    const child = spawn('nginx', args, { stdio: 'ignore' });
    closing.push(async () => {
      child.kill();
      await once(child, 'exit');
    });
    await vi.waitFor(
      async () => {
        const socket = connectTcp(port, '127.0.0.1');
        await once(socket, 'connect');
        socket.destroy();
      },
      { timeout: 60_000 },
    );
    return port;
  }

  test('are read on a second connection, and the chain is then the one that was sent', async () => {
    const port = await stockServer([one, two, three]);
    const outcome = await connected(guardOf({ routes: ['tls-extension'] }).guard, port);
    expect(outcome).toMatchObject({ verdict: 'accept', routes: ['tls-extension'] });
    expect(outcome.check.vouchers[0]).toMatchObject({ route: 'tls-extension', failures: [] });
    expect(outcome.handshake.rebuiltChain).toBeUndefined();
    expect(outcome.handshake.chain).toHaveLength(2);
  });

  test('of VAs that were not chosen are not even asked for', async () => {
    const port = await stockServer([one, two]);
    const { guard } = guardOf({
      routes: ['tls-extension'],
      choice: { choose: 1, accept: 1, rules: [{ vas: { in: [three!.entry.country] } }] },
    });
    expect(await failures(guard.connect(place(port)))).toEqual(['no-voucher', 'certificate-status-unknown']);
  });
});

describe('asking the VAs themselves', () => {
  test('is done only where the policy says so, and tells them of the server', async () => {
    const vaServer = await startTestVa({ now: () => new Date() });
    closing.push(() => vaServer.close());
    const server = await serve();
    const own = { ...one!.entry, vrp: vaServer.url, roots: [vaServer.va.root.der] };
    const direct = { agent: vaAgent({ ca: vaServer.tlsCaPem }) };
    closing.push(() => direct.agent.destroy());
    const options = { list: { ...list, vas: [own] }, direct };
    const lenient = { vaStatus: 'if-known', serverStatus: 'if-known' } as const;
    expect(await failures(guardOf(lenient, options).guard.connect(place(server.port)))).toEqual([
      'no-voucher',
    ]);
    expect(vaServer.seen).toEqual([]);
    const { guard } = guardOf({ ...lenient, routes: ['direct'] }, options);
    const outcome = await connected(guard, server.port);
    expect(outcome.check.vouchers[0]).toMatchObject({ route: 'direct', failures: [] });
    expect(vaServer.seen.map(({ request: { port, serverName } }) => [port, serverName])).toEqual([
      [server.port, 'www.example.org'],
    ]);
    vaServer.answerWith((_, response) => void response.writeHead(500).end());
    expect(await failures(guard.connect(place(server.port)))).toEqual(['no-voucher']);
  });
});

test('a second connection that shows another certificate, with the first behind it, lends nothing to the first', async () => {
  const [shown, other] = [ecdsaLeaf, serverCertificate({ serial: 77 })];
  const key = (leaf: typeof shown) => leaf.privateKey.export({ type: 'pkcs8', format: 'pem' });
  let connections = 0;
  const contexts = [
    createSecureContext({ cert: pem(shown.der, webIntermediate.der), key: key(shown) }),
    createSecureContext({ cert: pem(other.der, shown.der, webIntermediate.der), key: key(other) }),
  ];
  const chain = [other.der, shown.der, webIntermediate.der];
  const server = createServer(
    { SNICallback: (_, done) => done(null, contexts[connections++ === 0 ? 0 : 1]) },
    (_, response) => {
      const at = new Date(Math.floor(Date.now() / 1000) * 1000);
      const about = voucherFor({ chain, address: '127.0.0.1', port: portOf(server), at });
      const file = Buffer.from(encodeVoucherBundle([one!.issue(about)]));
      response.writeHead(200, { 'content-length': file.length }).end(file);
    },
  );
  closing.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { guard } = guardOf({ routes: ['well-known', 'tls-extension'], serverStatus: 'if-known' });
  expect(await failures(guard.connect({ ...place(portOf(server)), http: true }))).toEqual(['other-leaf']);
});

test('what Node built of a chain that it did not verify is no path', async () => {
  const server = await serve();
  const at = { host: '127.0.0.1', port: server.port, servername: 'www.example.org' };
  const verified = await openTls({ ...at, ca });
  const anything = await openTls({ ...at, rejectUnauthorized: false });
  verified.socket.destroy();
  anything.socket.destroy();
  expect(verified.handshake.above).toHaveLength(1);
  expect(anything.handshake).toMatchObject({ above: [], rebuiltChain: true });
});
