/** The routes of a voucher through the servers that Debian ships, traps included. */
import { probe, type ProbeOptions } from '@mecai/tls-probe';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from '@mecai/tls-probe/testing';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { encodeServerInfo } from './serverinfo.ts';
import { codepoints, type Identity, type Scene, setScene } from './testing.ts';

const processes = new Processes();
const nginx = program('nginx', 'nginx-light');
const apache = program('apache2', 'apache2');
const stunnel = program('stunnel4', 'stunnel4');
let scene: Scene;
let www: Identity;
let other: Identity;
beforeAll(async () => {
  scene = await setScene(Date.now);
  www = scene.identity('www', ['www.shop.test']);
  other = scene.identity('other', ['other.test']);
});
afterAll(async () => {
  await processes.stop();
  scene.close();
});

const asks = (port: number, serverName: string, options: ProbeOptions = {}) =>
  probe({ address: '127.0.0.1', port, serverName }, { extensions: codepoints, ...options });

/** What arrives, by codepoint: octets of each extension. */
async function sizes(...args: Parameters<typeof asks>): Promise<Record<number, number>> {
  const { extensions, error } = await asks(...args);
  expect(error).toBeUndefined();
  return Object.fromEntries([...extensions].map(([type, data]) => [type, data.length]));
}

const eventually = (what: () => Promise<boolean>) => vi.waitUntil(what, { timeout: 60_000, interval: 30 });
const info = (size: number) =>
  encodeServerInfo(codepoints.map((type) => ({ type, data: Buffer.alloc(size, 1) })));
const all = (size: number) => Object.fromEntries(codepoints.map((type) => [type, size]));

describe('nginx', () => {
  const temporary = () =>
    ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${scene.file(`nginx-${name}`)};`)
      .join(' ');
  const configuration = (name: string, servers: string) =>
    scene.file(
      `${name}.conf`,
      `daemon off; pid ${scene.file(`${name}.pid`)}; error_log ${scene.file(`${name}.log`)};
       events { worker_connections 64; }
       http { access_log off; ${temporary()} ${servers} }`,
    );
  const server = (port: number, { certificate, key }: Identity, more: string) =>
    `server { listen 127.0.0.1:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key}; ${more} }\n`;
  const command = (conf: string, ...more: readonly string[]) => [
    nginx,
    '-p',
    scene.directory,
    '-c',
    conf,
    ...more,
  ];
  const start = async (conf: string, port: number) => {
    const [file, ...args] = command(conf);
    await processes.serve(file!, args, port);
  };

  test('vouchers of three VAs, written, loaded and sent; the traps found by the lint', async () => {
    const port = await freePort();
    const voucherFile = scene.file('vouchers/www.serverinfo');
    const stub = scene.file('vouchers/default.serverinfo');
    const servers = (first: string) =>
      server(port, other, `server_name _; ${first}`) +
      server(
        port,
        www,
        `server_name www.shop.test; ssl_conf_command ServerInfoFile ${voucherFile};
         location ^~ /.well-known/mecai/ { alias ${scene.file('bundles')}/; }`,
      );
    const conf = configuration('nginx', servers(`ssl_conf_command ServerInfoFile ${stub};`));
    const config = scene.config({
      server: { kind: 'nginx', configuration: conf },
      wellKnown: 'bundles',
      test: command(conf, '-t'),
      reload: command(conf, '-s', 'reload'),
    });
    // Before the server has ever run there is nothing to reload, but the files have to be there.
    const first = scene.stapler({ ...config, reload: ['true'] });
    await first.stapler.round();
    await start(conf, port);
    expect(await sizes(port, 'www.shop.test')).toEqual(sizesOf(first.stapler.status, 'www.shop.test'));
    expect(Object.values(await sizes(port, 'www.shop.test')).every((size) => size > 500)).toBe(true);
    expect(await sizes(port, 'www.shop.test', { extensions: [codepoints[1], 64_000] })).toEqual({
      [codepoints[1]]: expect.any(Number),
    });
    first.close();

    // A day later: new vouchers, one reload, no handshake lost.
    const tomorrow = scene.stapler(config, () => Date.now() + 43_000_000);
    const before = readFileSync(voucherFile);
    await tomorrow.stapler.round();
    expect(readFileSync(voucherFile).equals(before)).toBe(false);
    expect(tomorrow.stapler.status.counts).toMatchObject({ issued: 6, reloads: 1 });
    await tomorrow.stapler.round();
    expect(tomorrow.stapler.status.counts).toMatchObject({ issued: 6, reloads: 1 });
    tomorrow.close();
    const wanted = serverInfoOf(voucherFile);
    await eventually(async () => {
      const { extensions } = await asks(port, 'www.shop.test');
      return codepoints.every((type) => wanted.get(type)!.equals(extensions.get(type)!));
    });

    // The default server without types: what the named one has is not sent any more.
    configuration('nginx', servers(''));
    execFileSync(nginx, command(conf, '-s', 'reload').slice(1));
    await eventually(async () => (await asks(port, 'www.shop.test')).extensions.size === 0);
  });

  test('takes an empty file of all types in a default server that refuses handshakes', async () => {
    const port = await freePort();
    const stub = scene.file('stub.serverinfo', info(0));
    const vouchers = scene.file('full.serverinfo', info(1_000));
    const conf = configuration(
      'reject',
      `server { listen 127.0.0.1:${port} ssl default_server; ssl_reject_handshake on; ssl_conf_command ServerInfoFile ${stub}; }` +
        server(port, www, `server_name www.shop.test; ssl_conf_command ServerInfoFile ${vouchers};`),
    );
    await start(conf, port);
    expect(await sizes(port, 'www.shop.test')).toEqual(all(1_000));
  });

  test('with two certificates sends vouchers with the last one only, or with the one selected', async () => {
    const port = await freePort();
    const rsa = scene.identity('www-rsa', ['www.shop.test'], 'rsa');
    const vouchers = scene.file('dual.serverinfo', info(1_000));
    const dual = (more: string) =>
      configuration(
        'dual',
        server(port, www, `ssl_certificate ${rsa.certificate}; ssl_certificate_key ${rsa.key}; ${more}`),
      );
    const conf = dual(`ssl_conf_command ServerInfoFile ${vouchers};`);
    await start(conf, port);
    expect(await sizes(port, 'www.shop.test', { keyType: 'rsa' })).toEqual(all(1_000));
    expect(await sizes(port, 'www.shop.test', { keyType: 'ecdsa' })).toEqual({});
    const select = ({ certificate, key }: Identity) =>
      `ssl_conf_command Certificate ${certificate}; ssl_conf_command PrivateKey ${key};`;
    dual(`${select(www)} ssl_conf_command ServerInfoFile ${vouchers};`);
    execFileSync(nginx, command(conf, '-s', 'reload').slice(1));
    // For a moment the old workers answer, too.
    await eventually(async () => {
      const [ec, old] = await Promise.all(
        (['ecdsa', 'rsa'] as const).map((keyType) => asks(port, 'www.shop.test', { keyType })),
      );
      return ec!.extensions.size === 3 && old!.extensions.size === 0;
    });
    // The same types for both: refused, as the lint says.
    dual(
      `ssl_conf_command ServerInfoFile ${vouchers}; ${select(www)} ssl_conf_command ServerInfoFile ${vouchers};`,
    );
    expect(spawnSync(nginx, command(conf, '-t').slice(1)).status).not.toBe(0);
  });

  test('keeps the vouchers it has when the reload is refused, and the files are as before', async () => {
    const port = await freePort();
    const voucherFile = scene.file('kept/www.serverinfo');
    const servers = server(
      port,
      www,
      `server_name www.shop.test; ssl_conf_command ServerInfoFile ${voucherFile};`,
    );
    const conf = configuration('kept', servers);
    const config = (more: object) =>
      scene.config({
        server: { kind: 'nginx', configuration: conf },
        state: 'kept-state',
        test: command(conf, '-t'),
        reload: command(conf, '-s', 'reload'),
        ...more,
      });
    const first = scene.stapler(config({ reload: ['true'] }));
    await first.stapler.round();
    await start(conf, port);
    const before = readFileSync(voucherFile);
    const served = await sizes(port, 'www.shop.test');
    // Somebody else breaks the configuration: the test before the reload fails.
    configuration('kept', `${servers} nonsense on;`);
    const tomorrow = scene.stapler(config({}), () => Date.now() + 43_000_000);
    await tomorrow.stapler.round();
    expect(tomorrow.stapler.status.counts).toMatchObject({ issued: 3, reloads: 0, reloadsFailed: 1 });
    expect(tomorrow.stapler.status.problems.join()).toContain('unknown directive "nonsense"');
    expect(readFileSync(voucherFile).equals(before)).toBe(true);
    expect(await sizes(port, 'www.shop.test')).toEqual(served);
    // Once it is mended the vouchers that came meanwhile go out.
    configuration('kept', servers);
    await tomorrow.stapler.round();
    expect(tomorrow.stapler.status.counts).toMatchObject({ issued: 3, reloads: 1 });
    expect(readFileSync(voucherFile).equals(before)).toBe(false);
    first.close();
    tomorrow.close();
  });

  test.each(['TLSv1.2', 'TLSv1.3'])('%s: what an extension and a handshake can hold', async (version) => {
    const port = await freePort();
    const large = scene.file(
      `${version}.serverinfo`,
      encodeServerInfo([{ type: codepoints[0], data: Buffer.alloc(65_500) }]),
    );
    const three = scene.file(`${version}-three.serverinfo`, info(16_000));
    const conf = configuration(
      version,
      server(port, www, `ssl_protocols ${version}; ssl_conf_command ServerInfoFile ${large};`),
    );
    await start(conf, port);
    const limits = { bytes: 200_000 };
    expect(await sizes(port, 'www.shop.test', { limits })).toEqual({ [codepoints[0]]: 65_500 });
    configuration(
      version,
      server(port, www, `ssl_protocols ${version}; ssl_conf_command ServerInfoFile ${three};`),
    );
    execFileSync(nginx, command(conf, '-s', 'reload').slice(1));
    await eventually(async () => (await asks(port, 'www.shop.test', { limits })).extensions.size === 3);
  });
});

/** Octets of the vouchers at hand for a name. */
function sizesOf(
  {
    targets,
  }: {
    targets: readonly {
      target: { name?: string };
      vas: ReadonlyMap<string, { voucher?: { der: string } | undefined }>;
    }[];
  },
  name: string,
) {
  const records = targets.find(({ target }) => target.name === name)!.vas;
  return Object.fromEntries(
    codepoints.map((type, i) => [
      type,
      Buffer.from(records.get(`va-${i + 1}`)!.voucher!.der, 'base64').length,
    ]),
  );
}

function serverInfoOf(file: string): Map<number, Buffer> {
  const blocks = [...readFileSync(file, 'latin1').matchAll(/EXTENSION (\d+)-----\n([^-]+)-----END/g)];
  return new Map(blocks.map(([, type, body]) => [Number(type), Buffer.from(body!, 'base64').subarray(8)]));
}

describe('Apache', () => {
  const modules = ['mpm_event', 'ssl', 'socache_shmcb', 'authz_core', 'alias']
    .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
    .join('\n');
  const configuration = (name: string, port: number, hosts: string) =>
    scene.file(
      `${name}.conf`,
      `${modules}\nServerName localhost\nServerRoot ${scene.directory}\nDefaultRuntimeDir ${scene.directory}
Listen 127.0.0.1:${port}\nPidFile ${scene.file(`${name}.pid`)}\nErrorLog ${scene.file(`${name}.log`)}\nSSLSessionCache none\n${hosts}`,
    );
  const host = (port: number, { certificate, key }: Identity, more: string) =>
    `<VirtualHost 127.0.0.1:${port}>\nSSLEngine on\nSSLCertificateFile ${certificate}\nSSLCertificateKeyFile ${key}\n${more}\n</VirtualHost>\n`;
  const start = (conf: string, port: number) =>
    processes.serve(apache, ['-D', 'FOREGROUND', '-f', conf], port);

  test('vouchers of three VAs, written, loaded and sent; the first host has to know the types', async () => {
    const port = await freePort();
    const voucherFile = scene.file('apache/www.serverinfo');
    const stub = scene.file('apache/other.serverinfo');
    const hosts = (first: string) =>
      host(port, other, `ServerName other.test\n${first}`) +
      host(port, www, `ServerName www.shop.test\nSSLOpenSSLConfCmd ServerInfoFile ${voucherFile}`);
    const conf = configuration('apache', port, hosts(`SSLOpenSSLConfCmd ServerInfoFile ${stub}`));
    const graceful = [apache, '-k', 'graceful', '-f', conf];
    const config = scene.config({
      server: { kind: 'apache', configuration: conf, serverRoot: scene.directory },
      state: 'apache-state',
      test: [apache, '-t', '-f', conf],
      reload: graceful,
    });
    const first = scene.stapler({ ...config, test: ['true'], reload: ['true'] });
    await first.stapler.round();
    await start(conf, port);
    for (const name of ['www.shop.test', 'other.test']) {
      expect(await sizes(port, name)).toEqual(sizesOf(first.stapler.status, name));
    }
    const tomorrow = scene.stapler(config, () => Date.now() + 43_000_000);
    await tomorrow.stapler.round();
    expect(tomorrow.stapler.status.counts).toMatchObject({ issued: 6, reloads: 1 });
    const wanted = serverInfoOf(voucherFile);
    await eventually(async () => {
      const { extensions } = await asks(port, 'www.shop.test');
      return codepoints.every((type) => wanted.get(type)!.equals(extensions.get(type) ?? Buffer.alloc(0)));
    });
    // As Apache sees its hosts, so do we.
    const dump = execFileSync(apache, ['-t', '-D', 'DUMP_VHOSTS', '-f', conf], { encoding: 'utf8' });
    for (const { names, place } of tomorrow.server()!.sites) {
      expect(dump).toContain(`namevhost ${names[0]} (${place.file}:${place.line})`);
    }
    first.close();
    tomorrow.close();

    configuration('apache', port, hosts(''));
    execFileSync(graceful[0]!, graceful.slice(1));
    await eventually(async () => (await asks(port, 'www.shop.test')).extensions.size === 0);
  });

  test('does not look into the file in its own test, which is why the lint does', async () => {
    const port = await freePort();
    const broken = scene.file('broken.serverinfo', 'not a serverinfo file\n');
    const conf = configuration('broken', port, host(port, www, `SSLOpenSSLConfCmd ServerInfoFile ${broken}`));
    expect(spawnSync(apache, ['-t', '-f', conf]).status).toBe(0);
    expect(spawnSync(apache, ['-D', 'FOREGROUND', '-f', conf], { timeout: 20_000 }).status).toBe(1);
  });

  test('with two certificates sends vouchers with the last one only', async () => {
    const port = await freePort();
    const rsa = scene.identity('apache-rsa', ['www.shop.test'], 'rsa');
    const vouchers = scene.file('apache-dual.serverinfo', info(1_000));
    const conf = configuration(
      'apache-dual',
      port,
      host(
        port,
        rsa,
        `ServerName www.shop.test\nSSLCertificateFile ${www.certificate}\nSSLCertificateKeyFile ${www.key}\nSSLOpenSSLConfCmd ServerInfoFile ${vouchers}`,
      ),
    );
    await start(conf, port);
    expect(await sizes(port, 'www.shop.test', { keyType: 'ecdsa' })).toEqual(all(1_000));
    expect(await sizes(port, 'www.shop.test', { keyType: 'rsa' })).toEqual({});
  });
});

describe('stunnel', () => {
  const configuration = (name: string, port: number, service: string) =>
    scene.file(
      `${name}.conf`,
      `foreground = yes\npid =\n[tls]\naccept = 127.0.0.1:${port}\nconnect = 127.0.0.1:9\n${service}`,
    );

  test('vouchers of three VAs from a list of sites; a hook in the place of a reload', async () => {
    const port = await freePort();
    const voucherFile = scene.file('stunnel/www.serverinfo');
    const told = scene.file('stunnel-told');
    const { stapler, close } = scene.stapler(
      scene.config({
        sites: [
          {
            name: 'www.shop.test',
            addresses: ['127.0.0.1'],
            port,
            certificate: www.certificate,
            key: www.key,
            serverInfoFile: voucherFile,
          },
        ],
        state: 'stunnel-state',
        reload: ['/bin/sh', '-c', `echo told >> ${told}`],
      }),
    );
    await stapler.round();
    await stapler.round();
    // Once for the empty file, once for the vouchers.
    expect(readFileSync(told, 'utf8')).toBe('told\ntold\n');
    // An EC certificate has to be loaded by the same means, and before.
    const conf = configuration(
      'stunnel',
      port,
      `cert = ${www.certificate}\nkey = ${www.key}\nconfig = Certificate:${www.certificate}\nconfig = PrivateKey:${www.key}\nconfig = ServerInfoFile:${voucherFile}\n`,
    );
    await processes.serve(stunnel, [conf], port);
    expect(await sizes(port, 'www.shop.test')).toEqual(sizesOf(stapler.status, 'www.shop.test'));
    close();
  });
});
