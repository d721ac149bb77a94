/** The stapler over hours and troubles: time is ours, VAs are real over HTTPS, files are real. */
import {
  encodeRenewalInformation,
  encodeVoucherResponse,
  mediaTypes,
  type ChainResult,
} from '@mecai/voucher';
import { hash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { decodeServerInfo } from './serverinfo.ts';
import { codepoints, type Identity, type Scene, setScene } from './testing.ts';

const start = Date.parse('2026-11-22T13:00:00Z');
const hour = 3_600_000;
let now = start;
let scene: Scene;
let www: Identity;
let run = 0;
beforeAll(async () => {
  scene = await setScene(() => now);
  www = scene.identity('www', ['www.shop.test']);
});
beforeEach(() => {
  now = start;
  run++;
});
afterEach(() => {
  for (const va of scene.vas) {
    va.answerWith();
    va.announce();
  }
});
afterAll(() => scene.close());

const voucherFile = () => scene.file(`run-${run}/www.serverinfo`);
const site = (more: object = {}) => ({
  name: 'www.shop.test',
  addresses: ['192.0.2.1'],
  certificate: www.certificate,
  key: www.key,
  serverInfoFile: voucherFile(),
  ...more,
});
const open = (more: object = {}) =>
  scene.stapler(
    scene.config({ sites: [site()], state: `run-${run}/state`, reload: ['true'], jitter: 0, ...more }),
    () => now,
  );
/** Octets of each VA's voucher in the file. */
const inFile = (file = voucherFile()) =>
  decodeServerInfo(readFileSync(file, 'latin1')).map(({ data }) => (data.length > 0 ? 1 : 0));
const statuses = ({ stapler }: ReturnType<typeof open>) =>
  scene.vas.map((_, i) => stapler.status.targets[0]!.vas.get(`va-${i + 1}`)?.last?.status);
const asked = () => scene.vas.map(({ seen }) => seen.length);

/** From now on: nonces, renewal information if there is some, and this in place of a voucher. */
function answer(va: number, result: Partial<ChainResult>, renewal?: string): void {
  const results = [{ status: 'inconclusive', perspectives: [], ...result } as ChainResult];
  const answers: Record<string, readonly [string, string | Uint8Array]> = {
    '/vrp/nonce': ['application/octet-stream', Buffer.alloc(24)],
    '/vrp': [mediaTypes.response, encodeVoucherResponse({ results })],
    ...(renewal !== undefined && { '/vrp/renewal': [mediaTypes.json, renewal] as const }),
  };
  scene.vas[va]!.answerWith((request, response) => {
    const [type, body] = answers[request.url!] ?? [];
    if (type === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': type, 'retry-after': '10' }).end(body);
  });
}
const dead = (va: number) => scene.vas[va]!.answerWith((request) => request.socket.destroy());

test('vouchers come with proof of the key, twice a day, and survive a restart', async () => {
  const first = open();
  expect(await first.stapler.round()).toBe(now + 60_000);
  expect(inFile()).toEqual([1, 1, 1]);
  expect(scene.vas.map(({ seen }) => seen.at(-1)!.proven)).toEqual([[true], [true], [true]]);
  expect(statSync(voucherFile()).mode & 0o777).toBe(0o644);
  first.close();

  const before = asked();
  const content = readFileSync(voucherFile());
  const second = open();
  now += 12 * hour - 60_000;
  await second.stapler.round();
  expect(asked()).toEqual(before);
  expect(second.stapler.status.counts.reloads).toBe(0);
  expect(readFileSync(voucherFile())).toEqual(content);
  now += 60_000;
  await second.stapler.round();
  expect(asked()).toEqual(before.map((count) => count + 1));
  expect(second.stapler.status.counts).toMatchObject({ issued: 3, reloads: 1 });
  second.close();
});

test('a VA that is down keeps its voucher until it expires, is asked less and less, and disturbs nobody', async () => {
  const stapler = open();
  await stapler.stapler.round();
  dead(1);
  now += 12 * hour;
  const rounds: number[] = [];
  const until = now + 13 * hour;
  let requests = stapler.stapler.status.counts.requests;
  while (now < until) {
    const next = await stapler.stapler.round();
    const made = stapler.stapler.status.counts.requests - requests;
    if (made > 0) rounds.push(now);
    requests += made;
    // The voucher of the dead one goes when it expires, a day after it was produced.
    expect(inFile()).toEqual([1, now < start + 24 * hour ? 1 : 0, 1]);
    now = Math.max(next, now + 600_000);
  }
  // Doubling from a minute to an hour: far fewer requests than rounds.
  expect(rounds.length).toBeGreaterThan(10);
  expect(rounds.length).toBeLessThan(40);
  expect(statuses(stapler)).toEqual(['issued', 'unreachable', 'issued']);
  scene.vas[1]!.answerWith();
  now += hour;
  await stapler.stapler.round();
  expect(inFile()).toEqual([1, 1, 1]);
  stapler.close();
});

test('a VA that is down is tried for one of many certificates, and nothing is lost for the others', async () => {
  let tried = 0;
  scene.vas[1]!.answerWith((request) => {
    if (request.url !== '/vrp/renewal') tried++;
    request.socket.destroy();
  });
  const sites = [443, 8443, 9443, 10443].map((port) => site({ port, serverInfoFile: undefined }));
  const stapler = open({ sites, concurrency: 1 });
  await stapler.stapler.round();
  expect(tried).toBe(1);
  const records = stapler.stapler.status.targets.map(({ vas }) => vas.get('va-2')!);
  expect(records.map(({ last, failures }) => [last!.status, failures])).toEqual(
    Array.from(sites, () => ['unreachable', 1]),
  );
  expect(stapler.stapler.status.counts.issued).toBe(8);
  stapler.close();
});

test('a certificate that cannot be read for a moment costs its server no voucher', async () => {
  const own = scene.identity(`moment-${run}`, ['www.shop.test']);
  const conf = scene.file(
    `run-${run}/nginx.conf`,
    `http { server { listen 192.0.2.1:443 ssl; server_name www.shop.test; ssl_certificate ${own.certificate};
       ssl_certificate_key ${own.key}; ssl_conf_command ServerInfoFile ${voucherFile()}; } }`,
  );
  const stapler = open({ sites: [], server: { kind: 'nginx', configuration: conf } });
  await stapler.stapler.round();
  const content = readFileSync(own.certificate);
  for (const moment of ['', 'half a cert']) {
    writeFileSync(own.certificate, moment);
    await stapler.stapler.round();
    expect(stapler.stapler.status.problems).toEqual([expect.stringContaining('no certificate in it')]);
    expect(inFile()).toEqual([1, 1, 1]);
  }
  writeFileSync(own.certificate, content);
  // A key that is not ours to read is no reason to go without: there is no proof then.
  writeFileSync(own.key, readFileSync(www.key));
  rmSync(voucherFile());
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems).toEqual([
    expect.stringContaining('the key of another certificate'),
  ]);
  expect(inFile()).toEqual([1, 1, 1]);
  stapler.close();
});

test('what VAs answer in place of a voucher is on record, each with its own time to ask again', async () => {
  answer(0, { status: 'on-hold', retryAfter: 7_200, detail: 'new certificate' });
  answer(1, { status: 'mismatch' });
  answer(2, { status: 'refused', reason: 'own-ca' });
  const stapler = open();
  await stapler.stapler.round();
  expect(statuses(stapler)).toEqual(['on-hold', 'mismatch', 'refused (own-ca)']);
  expect(inFile()).toEqual([0, 0, 0]);
  const { vas } = stapler.stapler.status.targets[0]!;
  const next = ['va-1', 'va-2', 'va-3'].map((id) => Math.round((vas.get(id)!.next - now) / 1_000));
  // The lot is one half throughout.
  expect(next).toEqual([7_560, 45, 22_680]);
  stapler.close();
});

test('a voucher that does not hold is not stapled, and the one at hand stays', async () => {
  const stapler = open();
  await stapler.stapler.round();
  const content = readFileSync(voucherFile());
  const others = scene.identity('others', ['www.shop.test']);
  const { certificate, key } = others;
  const wrong = open({ sites: [site({ certificate, key })], state: `run-${run}/other-state` });
  // Vouchers of another certificate, from the right VA.
  await wrong.stapler.round();
  const stolen = wrong.stapler.status.targets[0]!.vas.get('va-1')!.voucher!.der;
  writeFileSync(voucherFile(), content);
  answer(0, { status: 'issued', voucher: Buffer.from(stolen, 'base64') });
  now += 12 * hour;
  await stapler.stapler.round();
  expect(statuses(stapler)).toEqual(['bad-voucher', 'issued', 'issued']);
  expect(stapler.stapler.status.targets[0]!.vas.get('va-1')!.last!.detail).toContain('other-leaf');
  expect(inFile()).toEqual([1, 1, 1]);
  stapler.close();
  wrong.close();
});

test('a VA that asks for it is asked early; if it has taken back its word the voucher is withdrawn', async () => {
  const stapler = open();
  await stapler.stapler.round();
  const at = (milliseconds: number) => new Date(start + milliseconds);
  const about = { selector: 'certificate', sha256: hash('sha256', www.leaf.der, 'buffer') } as const;
  const entry = { producedBefore: at(hour), start: at(hour), end: at(3 * hour), about };
  const elsewhere = { ...entry, about: { ...about, sha256: Buffer.alloc(32) } };
  scene.vas[0]!.announce(encodeRenewalInformation({ entries: [entry] }));
  scene.vas[1]!.announce(encodeRenewalInformation({ entries: [elsewhere] }));
  const before = asked();
  // Known since the last answer of an hour ago; the lot of one half puts it in the middle of the window.
  now = start + 2 * hour - 1;
  await stapler.stapler.round();
  expect(asked()).toEqual(before);
  now = start + 2 * hour;
  await stapler.stapler.round();
  expect(asked()).toEqual([before[0]! + 1, before[1], before[2]]);
  expect(stapler.stapler.status.counts.renewedEarly).toBe(1);
  // The new voucher is not from before.
  now += 11_000;
  await stapler.stapler.round();
  expect(stapler.stapler.status.counts.renewedEarly).toBe(1);
  expect(inFile()).toEqual([1, 1, 1]);

  const again = { ...entry, producedBefore: at(3 * hour), start: at(3 * hour), end: at(3 * hour) };
  answer(0, { status: 'refused', reason: 'distrusted' }, encodeRenewalInformation({ entries: [again] }));
  now = start + 3 * hour;
  await stapler.stapler.round();
  expect(statuses(stapler)).toEqual(['refused (distrusted)', 'issued', 'issued']);
  expect(inFile()).toEqual([0, 1, 1]);
  expect(stapler.log.some(({ event, fields }) => event === 'asked' && fields['withdrawn'] === true)).toBe(
    true,
  );
  stapler.close();
});

test('renewal information that always says "now" does not make it ask without end', async () => {
  const stapler = open();
  const always = {
    producedBefore: new Date('2099-01-01T00:00:00Z'),
    start: new Date(start),
    end: new Date(start),
  };
  scene.vas[0]!.announce(encodeRenewalInformation({ entries: [always] }));
  for (let minute = 0; minute < 60; minute++) {
    await stapler.stapler.round();
    now += 60_000;
  }
  expect(stapler.stapler.status.targets[0]!.vas.get('va-1')!.last!.status).toBe('issued');
  expect(stapler.stapler.status.counts.renewedEarly).toBeLessThanOrEqual(6);
  stapler.close();
});

test('a certificate that is replaced has no old vouchers, and new ones at once', async () => {
  const stapler = open();
  await stapler.stapler.round();
  const before = readFileSync(voucherFile());
  const renewed = scene.identity('renewed', ['www.shop.test']);
  const keep = [www.certificate, www.key].map((file) => readFileSync(file));
  writeFileSync(www.certificate, readFileSync(renewed.certificate));
  writeFileSync(www.key, readFileSync(renewed.key));
  try {
    for (const va of [0, 1, 2]) answer(va, { status: 'on-hold', retryAfter: 86_400 });
    now += 60_000;
    await stapler.stapler.round();
    expect(inFile()).toEqual([0, 0, 0]);
    for (const va of scene.vas) va.answerWith();
    now += 27 * hour;
    await stapler.stapler.round();
    expect(inFile()).toEqual([1, 1, 1]);
    expect(readFileSync(voucherFile())).not.toEqual(before);
    // What belongs to the old one is tidied away with its last voucher.
    expect(readdirSync(scene.file(`run-${run}/state`)).filter((name) => name.endsWith('.json'))).toHaveLength(
      1,
    );
  } finally {
    writeFileSync(www.certificate, keep[0]!);
    writeFileSync(www.key, keep[1]!);
  }
  stapler.close();
});

test('bundles go where the server finds them by the certificate, and need no reload', async () => {
  const stapler = open({
    sites: [{ ...site(), serverInfoFile: undefined }],
    wellKnown: `run-${run}/bundles`,
  });
  await stapler.stapler.round();
  const file = scene.file(`run-${run}/bundles/${hash('sha256', www.leaf.der)}`);
  expect(existsSync(file)).toBe(true);
  expect(statSync(file).size).toBeGreaterThan(3_000);
  stapler.close();
});

test('what is broken around it is told and survived', async () => {
  const stapler = open();
  await stapler.stapler.round();
  // The list of VAs: the last good one counts.
  const list = readFileSync(scene.file('va-list.jws'));
  writeFileSync(scene.file('va-list.jws'), 'nonsense');
  now += 12 * hour;
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems.join()).toContain('va-list.jws');
  expect(stapler.stapler.status.counts.issued).toBe(6);
  writeFileSync(scene.file('va-list.jws'), list);
  // The certificate: its target is gone until it is back, and the file stays.
  const certificate = readFileSync(www.certificate);
  rmSync(www.certificate);
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems.join()).toContain('www.pem');
  writeFileSync(www.certificate, certificate);
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems).toEqual([]);
  expect(inFile()).toEqual([1, 1, 1]);
  expect(stapler.stapler.status.counts.issued).toBe(6);
  // The state: asked anew.
  const state = scene.file(`run-${run}/state`);
  const [record] = readdirSync(state).filter((name) => name.endsWith('.json'));
  writeFileSync(`${state}/${record}`, '{');
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems.join()).toContain(record);
  expect(stapler.stapler.status.counts.issued).toBe(9);
  stapler.close();
});

test('a reload that fails is owed, and files are as before', async () => {
  const told = scene.file(`run-${run}/told`, '');
  const script = scene.file(`run-${run}/reload`, '#!/bin/sh\nexit 1\n');
  chmodSync(script, 0o755);
  const stapler = open({ test: ['true'], reload: [script] });
  await stapler.stapler.round();
  // There was nothing before: the file stays, so that the server can start.
  expect(stapler.stapler.status.counts).toMatchObject({ reloads: 0, reloadsFailed: 2 });
  expect(inFile()).toEqual([0, 0, 0]);
  writeFileSync(script, `#!/bin/sh\necho told >> ${told}\n`);
  await stapler.stapler.round();
  expect(inFile()).toEqual([1, 1, 1]);
  await stapler.stapler.round();
  expect(readFileSync(told, 'utf8')).toBe('told\n');
  expect(stapler.stapler.status.counts).toMatchObject({ reloads: 1, issued: 3 });
  stapler.close();
});

test('one file for two certificates is left empty, and said', async () => {
  const second = scene.identity('second', ['second.shop.test']);
  const both = [
    site(),
    {
      name: 'second.shop.test',
      addresses: ['192.0.2.1'],
      certificate: second.certificate,
      key: second.key,
      serverInfoFile: voucherFile(),
    },
  ];
  const stapler = open({ sites: both });
  await stapler.stapler.round();
  expect(stapler.stapler.status.problems).toEqual([
    expect.stringContaining('for two certificates or endpoints'),
  ]);
  expect(inFile()).toEqual([0, 0, 0]);
  expect(decodeServerInfo(readFileSync(voucherFile(), 'latin1')).map(({ type }) => type)).toEqual([
    ...codepoints,
  ]);
  stapler.close();
});
