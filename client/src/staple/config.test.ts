/** That each option bites; those of routes and servers do so in the tests of the stock servers. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadStapleConfig } from './config.ts';
import { type Identity, type Scene, setScene } from './testing.ts';

const start = Date.parse('2026-11-22T13:00:00Z');
const hour = 3_600_000;
const root = join(import.meta.dirname, '../../..');
let scene: Scene;
let www: Identity;
let run = 0;
let now = start;
beforeAll(async () => {
  scene = await setScene(() => now);
  www = scene.identity('www', ['www.shop.test']);
});
beforeEach(() => {
  now = start;
  run++;
});
afterEach(() => {
  for (const va of scene.vas) va.answerWith();
});
afterAll(() => scene.close());

const voucherFile = () => scene.file(`${run}/www.serverinfo`);
const site = (more: object = {}) => ({
  name: 'www.shop.test',
  addresses: ['192.0.2.1'],
  certificate: 'www.pem',
  key: 'www.key',
  serverInfoFile: voucherFile(),
  ...more,
});
const open = (more: object = {}) =>
  scene.stapler(scene.config({ sites: [site()], state: `${run}/state`, ...more }), () => now);
type Opened = ReturnType<typeof open>;
const records = ({ stapler }: Opened) => stapler.status.targets.flatMap(({ vas }) => [...vas.values()]);

describe('options', () => {
  test('vas: whom to ask', async () => {
    const opened = open({ vas: ['va-2'] });
    const before = scene.vas.map(({ seen }) => seen.length);
    await opened.stapler.round();
    expect(scene.vas.map(({ seen }, i) => seen.length - before[i]!)).toEqual([0, 1, 0]);
    opened.close();
  });

  test('fileMode: of what is written', async () => {
    const opened = open({ fileMode: '640' });
    await opened.stapler.round();
    expect(statSync(voucherFile()).mode & 0o777).toBe(0o640);
    opened.close();
  });

  test('commandTimeoutSeconds: how long a program may take', async () => {
    const opened = open({ test: ['sleep', '30'], commandTimeoutSeconds: 1 });
    await opened.stapler.round();
    expect(opened.stapler.status.problems).toEqual(['sleep 30: not done after 1 s']);
    opened.close();
  });

  test('renewEverySeconds and jitter: when vouchers are renewed', async () => {
    const opened = open({ renewEverySeconds: 36_000, jitter: 0.5 });
    await opened.stapler.round();
    // The lot is one half throughout: a quarter of the interval.
    expect(records(opened).map(({ next }) => next - now)).toEqual([7.5 * hour, 7.5 * hour, 7.5 * hour]);
    opened.close();
  });

  test('lookEverySeconds: when the next round is', async () => {
    const opened = open({ lookEverySeconds: 17 });
    expect(await opened.stapler.round()).toBe(now + 17_000);
    opened.close();
  });

  test('renewalInformationSeconds: how often VAs are asked for it', async () => {
    const opened = open({ renewalInformationSeconds: 600 });
    await opened.stapler.round();
    let asked = 0;
    scene.vas[0]!.answerWith((request, response) => {
      if (request.url === '/vrp/renewal') asked++;
      response.writeHead(404).end();
    });
    for (const seconds of [599, 1, 599, 1]) {
      now += seconds * 1_000;
      await opened.stapler.round();
    }
    expect(asked).toBe(2);
    opened.close();
  });

  test('requestTimeoutSeconds: how long a VA is waited for', async () => {
    scene.vas[1]!.answerWith(() => {});
    const opened = open({ requestTimeoutSeconds: 1, vas: ['va-2'] });
    await opened.stapler.round();
    expect(records(opened)[0]!.last!.detail).toContain('no answer within 1000 ms');
    opened.close();
  });

  test('concurrency: requests to one VA at the same time', async () => {
    const sites = [443, 8443, 9443].map((port) => site({ port, serverInfoFile: undefined }));
    for (const concurrency of [1, 2]) {
      let [open_, most] = [0, 0];
      scene.vas[0]!.answerWith((request, response) => {
        if (request.url === '/vrp/renewal') return void response.writeHead(404).end();
        most = Math.max(most, ++open_);
        // Long enough for whoever else may come.
        return void setTimeout(() => {
          open_--;
          response.writeHead(500).end();
        }, 50);
      });
      const opened = open({ concurrency, sites, vas: ['va-1'], state: `${run}/state-${concurrency}` });
      await opened.stapler.round();
      expect(most).toBe(concurrency);
      opened.close();
    }
  });

  test('nat and addresses: as whom the world knows us', async () => {
    const conf = scene.file(
      `${run}/nginx.conf`,
      `http { ${['10.0.0.1:443', '8443', '[::]:9443']
        .map(
          (listen) =>
            `server { listen ${listen} ssl; server_name www.shop.test; ssl_certificate ${www.certificate}; ssl_certificate_key ${www.key}; }`,
        )
        .join(' ')} }`,
    );
    const opened = open({
      sites: [],
      server: { kind: 'nginx', configuration: conf },
      nat: { '10.0.0.1': '192.0.2.77' },
      addresses: ['192.0.2.78', '2001:db8::78'],
    });
    await opened.stapler.round();
    const asked = opened.stapler.status.targets.map(({ target }) => [
      target.ipv4?.at(-1),
      target.ipv6?.at(-1),
      target.port,
    ]);
    expect(asked).toEqual([
      [77, undefined, 443],
      [78, undefined, 8443],
      [undefined, 0x78, 9443],
    ]);
    opened.close();
  });

  test('sites: startTls is part of what is asked', async () => {
    const opened = open({ sites: [site({ port: 25, startTls: 'smtp' })] });
    await opened.stapler.round();
    expect(scene.vas[0]!.seen.at(-1)!.request).toMatchObject({ port: 25, startTls: 'smtp' });
    opened.close();
  });
});

describe('docs/stapling.md', () => {
  const text = readFileSync(join(root, 'docs/stapling.md'), 'utf8');

  test('begins with a configuration that is one', () => {
    const [, example] = /```json\n([^`]*"vaList"[^`]*)```/.exec(text)!;
    const config = loadStapleConfig(scene.file(`${run}/example.json`, example));
    expect(config).toMatchObject({
      server: { configuration: '/etc/nginx/nginx.conf' },
      listen: '127.0.0.1:9180',
    });
  });

  test('names every member, and no other', () => {
    const table = text.slice(text.indexOf('## Configuration'));
    const named = [...table.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`(\w+)`/g)].map(([, name]) => name!),
    );
    const file = scene.file(`${run}/empty.json`, JSON.stringify(scene.config({})));
    const known = Object.keys(loadStapleConfig(file));
    const optional = ['vas', 'server', 'wellKnown', 'ocsp', 'test', 'reload', 'listen'];
    const said = table.includes('`commandTimeoutSeconds`') ? ['commandTimeoutSeconds'] : [];
    expect([...named, ...said].toSorted()).toEqual([...new Set([...known, ...optional])].toSorted());
  });
});

test('the systemd units are well-formed, and leave the stapler little', () => {
  const units = join(root, 'client/systemd');
  const copies = readdirSync(units).map((name) =>
    // It is installed nowhere here.
    scene.file(
      `${run}/${name}`,
      readFileSync(join(units, name), 'utf8').replaceAll('/usr/bin/mecai', '/bin/true'),
    ),
  );
  expect(copies).toHaveLength(3);
  const analyze = (...args: readonly string[]) =>
    execFileSync('systemd-analyze', [...args], { encoding: 'utf8', stdio: 'pipe' });
  expect(analyze('verify', '--man=no', ...copies)).toBe('');
  const [unit] = copies.filter((one) => one.endsWith('mecai-staple.service'));
  // 0 to 10; 9.6 is a unit without any of it.
  expect(analyze('security', '--offline=true', '--threshold=35', unit!)).toContain('exposure level');
});
