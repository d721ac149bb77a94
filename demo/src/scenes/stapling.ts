import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@mecai/addresses/testing';
import { keyPem, pem, type TestCertificate } from '@mecai/test/network';
import { type Stage, serverName } from '../story.ts';
import { mecai, writeVaList } from './vendor.ts';

const nginx = '/usr/sbin/nginx';
const shopAddress = '127.20.0.3';
/** Where the victim's connections end. */
const middleAddress = '127.20.0.4';

/** A stock nginx gets its voucher by `mecai staple`; a client accepts it, and refuses the man in the middle. */
export async function sceneStapling(stage: Stage): Promise<boolean> {
  const { printer, network, genuine, forged, tally } = stage;
  printer.scene(
    '(g) A voucher in the TLS handshake',
    'A stock nginx, mecai staple beside it, and clients that want a second opinion before they send anything.',
  );
  if (!existsSync(nginx)) {
    printer.step(
      { step: 'stapled', ok: true, nginx: false },
      'not shown: no nginx here (apt-get install nginx-light)',
    );
    return true;
  }
  const directory = join(network.directory, 'stapling');
  mkdirSync(directory, { recursive: true });
  const file = (name: string, content?: string | Uint8Array) => {
    if (content !== undefined) writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const port = await freePort(shopAddress);
  const configure = (name: string, address: string, chain: Chain, serverInfo?: string) =>
    file(`${name}.conf`, nginxConfiguration(file, name, `${address}:${port}`, chain, serverInfo));
  const list = writeVaList(stage, file);
  const roots = file('roots.pem', pem(network.pki.webRoot, network.pki.brokenRoot));
  const run = (conf: string) => [nginx, '-p', directory, '-c', conf];
  const url = `https://${serverName}:${port}`;
  const believing = ['--ca', roots, '--list', list.file, '--list-key', list.key, '--json'];
  const connect = (address: string) => mecai('connect', url, '--address', address, ...believing);
  const servers: ChildProcess[] = [];
  const serve = async (name: string, conf: string) => {
    const [program, ...args] = run(conf);
    servers.push(spawn(program!, args, { stdio: 'ignore' }));
    await until(() => Promise.resolve(existsSync(file(`${name}.pid`))));
  };
  try {
    // A server that ran before anybody thought of vouchers gets one line.
    const conf = configure('shop', shopAddress, genuine);
    await serve('shop', conf);
    configure('shop', shopAddress, genuine, file('shop.serverinfo'));
    const config = {
      vaList: list.file,
      vaListKeys: { vendor: list.key },
      vaCa: network.files.httpsCa,
      server: { kind: 'nginx', configuration: conf },
      test: [...run(conf), '-t'],
      reload: [...run(conf), '-s', 'reload'],
      state: 'state',
    };
    const stapled = await mecai(
      'staple',
      '--config',
      file('staple.json', JSON.stringify(config)),
      '--once',
      '--json',
    );
    const { targets, counts } = JSON.parse(stapled.out) as Stapled;
    for (let i = 0; i < counts.requests; i++) tally(network.cities.length, 0);
    const said = targets.flatMap(({ vas }) => vas.map(({ status }) => status)).join(', ');
    const issued = stapled.code === 0 && said === 'issued';
    printer.step(
      { step: 'stapled', ok: issued, nginx: true, status: said },
      `mecai staple --once: ${said}, written to the file that nginx.conf names, nginx -t, nginx reloaded`,
    );

    // For a moment after the reload old workers answer, too.
    let honest = await connect(shopAddress);
    await until(async () => honest.code === 0 || (honest = await connect(shopAddress)).code === 0);
    printer.step({ step: 'connected', ok: honest.code === 0 }, 'mecai connect to the shop: accepted');

    // Who comes between has everything that the shop shows in public.
    copyFileSync(file('shop.serverinfo'), file('middle.serverinfo'));
    await serve('middle', configure('middle', middleAddress, forged, file('middle.serverinfo')));
    const middle = await connect(middleAddress);
    const codes = [...new Set([...middle.out.matchAll(/"code":\s*"([a-z-]+)"/g)].map(([, code]) => code!))];
    const refused = middle.code === 1 && codes.includes('other-leaf');
    printer.step(
      { step: 'middle-refused', ok: refused, codes },
      `mecai connect, led to a man in the middle with the shop's voucher and a forged certificate: refused (${codes.join(', ')})`,
    );
    return issued && honest.code === 0 && refused;
  } finally {
    await Promise.all(servers.map(ended));
  }
}

type Chain = readonly [TestCertificate, TestCertificate];
interface Stapled {
  readonly targets: readonly { readonly vas: readonly { readonly status: string }[] }[];
  readonly counts: { readonly requests: number };
}

function nginxConfiguration(
  file: (name: string, content?: string) => string,
  name: string,
  listen: string,
  chain: Chain,
  serverInfo?: string,
): string {
  const certificate = file(`${name}.pem`, pem(...chain));
  const key = file(`${name}.key`, keyPem(chain[0]));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (one) => `${one}_temp_path ${file(one)};`,
  );
  const info = serverInfo === undefined ? '' : `ssl_conf_command ServerInfoFile ${serverInfo};`;
  return `daemon off; pid ${file(`${name}.pid`)}; error_log ${file(`${name}.log`)};
events { worker_connections 64; }
http { access_log off; ${temporary.join(' ')}
  server { listen ${listen} ssl; server_name ${serverName};
    ssl_certificate ${certificate}; ssl_certificate_key ${key}; ${info} } }`;
}

async function until(done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !(await done()); i++) await delay(50);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
