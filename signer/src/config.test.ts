import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { parseAddress } from '@mecai/addresses';
import { credentials } from '@grpc/grpc-js';
import { signRegistry } from '@mecai/corroboration';
import { OperatorServiceClient } from '@mecai/proto/signer';
import { createLogger } from '@mecai/runtime';
import { parseSignedVoucher } from '@mecai/voucher';
import { testCrl } from '@mecai/voucher/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { segmentsOf, verifySegments } from './audit-segments.ts';
import { signerConfig } from './config.ts';
import { sha256Hex } from './digest.ts';
import { startSigner } from './start.ts';
import { keyPem, pem, svid, testCa } from './testing/certificates.ts';
import { TestCoordinator, nameOf } from './testing/client.ts';
import { registryKey } from './testing/operator.ts';
import { type SignerFiles, createSignerFiles } from './testing/signer-files.ts';
import {
  agentNames,
  chainOf,
  coordinator,
  registryText,
  todaysLeaf,
  webIntermediate,
  webRoot,
} from './testing/world.ts';

let files: SignerFiles;
beforeAll(() => {
  files = createSignerFiles();
  Object.assign(process.env, files.soft.environment);
  files.ceremony();
});
afterAll(() => files.remove());

const stops: (() => unknown)[] = [];
async function stop(): Promise<void> {
  for (const one of stops.splice(0).toReversed()) await one();
}
afterEach(stop);

/** The signer with these members of the configuration changed, in place of the one before. */
async function start(changes: object = {}): Promise<{ grpc: string; admin: string }> {
  await stop();
  const running = await startSigner({
    log: createLogger('signer', 'silent'),
    config: files.configure(changes),
    environment: {},
    fail: () => undefined,
  });
  stops.push(() => running.stop());
  const { ready } = running;
  return { grpc: String(ready['grpc']), admin: String(ready['admin']) };
}

function ask({ grpc }: { grpc: string }, tls = files.identity()): TestCoordinator {
  const client = new TestCoordinator(grpc, tls);
  stops.push(() => client.close());
  return client;
}
const asking = async (changes: object) => ask(await start(changes));

/** What one voucher with evidence of six says. */
async function issued(changes: object) {
  const client = await asking(changes);
  const drawn = await client.draw();
  if (typeof drawn === 'string') throw new Error(drawn);
  const step = await client.prove(drawn, drawn.agents.length);
  if (step.$case !== 'issued') throw new Error(nameOf(step));
  return parseSignedVoucher(step.issued.voucher).voucher;
}

const asIs = async (changes: object, matching = 4) => (await asking(changes)).voucher(matching);
const quorum = (changes: object) => ({ quorum: changes });
const revocation = (changes: object) => ({ revocation: { policy: 'allow-unknown', ...changes } });
const draws = (changes: object) => ({ draws: changes });
const refusal = (action: Promise<unknown>) => expect(action).rejects;
const tls = (changes: object) => ({
  tls: {
    certificate: files.at('signer.pem'),
    key: files.at('signer.key'),
    ca: files.at('internal-ca.pem'),
    ...changes,
  },
});
const hsm = (changes: object) => ({
  hsm: { module: files.soft.module, token: 'test', key: 'va', pinFile: files.at('pin'), ...changes },
});

const recordsOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): { event: string } => JSON.parse(line));

/** By option: that changing it changes what the signer does. */
const tests: Record<string, () => Promise<void>> = {
  async listen() {
    const { grpc } = await start({ listen: '127.0.0.2:0' });
    expect(grpc).toMatch(/^127\.0\.0\.2:\d+$/);
    expect((await start({ listen: grpc })).grpc).toBe(grpc);
  },
  async 'tls.certificate'() {
    const certificate = svid(files.internalCa, 'spiffe://mecai.test/renewed');
    const changed = tls({
      certificate: files.write('renewed.pem', pem(certificate)),
      key: files.write('renewed.key', keyPem(certificate)),
    });
    const shown = async ({ grpc }: { grpc: string }) => {
      const [host, port] = grpc.split(':');
      const { certificate: cert, key, ca } = files.identity();
      const socket = connect({
        host: host!,
        port: Number(port),
        cert,
        key,
        ca,
        checkServerIdentity: () => undefined,
        ALPNProtocols: ['h2'],
      });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      const name = socket.getPeerCertificate().subjectaltname;
      socket.destroy();
      return name;
    };
    expect(await shown(await start())).toBe('URI:spiffe://mecai.test/signer');
    expect(await shown(await start(changed))).toBe('URI:spiffe://mecai.test/renewed');
  },
  async 'tls.key'() {
    const other = files.write('other.key', keyPem(svid(files.internalCa, 'spiffe://mecai.test/x')));
    await refusal(start(tls({ key: other }))).toThrow(/key/i);
  },
  async 'tls.ca'() {
    const otherCa = testCa('Other Internal CA');
    const server = await start(tls({ ca: files.write('other-ca.pem', pem(otherCa)) }));
    await refusal(ask(server).voucher()).toThrow(/UNAVAILABLE/);
    expect(await ask(server, files.identity([coordinator], otherCa)).voucher()).toBe('issued');
  },
  async coordinators() {
    const other = 'spiffe://mecai.test/coordinator-9';
    const server = await start({ coordinators: [other] });
    await refusal(ask(server).voucher()).toThrow(/PERMISSION_DENIED/);
    expect(await ask(server, files.identity([other])).voucher()).toBe('issued');
  },
  async admin() {
    const { admin } = await start({ admin: '127.0.0.3:0' });
    expect(admin).toMatch(/^http:\/\/127\.0\.0\.3:\d+$/);
    expect(await (await fetch(`${admin}/status`)).json()).toMatchObject({
      perspectives: 8,
      registryVersion: 3,
    });
  },
  async 'hsm.module'() {
    await refusal(start(hsm({ module: files.at('none.so') }))).toThrow(/none\.so/);
  },
  async 'hsm.token'() {
    await refusal(start(hsm({ token: 'other' }))).toThrow(/no token labelled other/);
  },
  async 'hsm.key'() {
    await refusal(start(hsm({ key: 'other' }))).toThrow(/no key labelled other/);
  },
  async 'hsm.pinFile'() {
    await refusal(start(hsm({ pinFile: files.write('wrong', '1111') }))).toThrow(/PIN/);
  },
  async vaCertificate() {
    const chain = readFileSync(files.at('va-chain.pem'), 'utf8');
    const alone = files.write('alone.pem', chain.slice(0, chain.indexOf('-----BEGIN', 10)));
    const certificates = async (changes: object) =>
      (await (await asking(changes)).describe()).certificates.length;
    expect(await certificates({})).toBe(2);
    expect(await certificates({ vaCertificate: alone })).toBe(1);
    const other = files.write('other.pem', pem(files.vaRoot));
    await refusal(start({ vaCertificate: other })).toThrow(/another key/);
  },
  async 'nextVa.key'() {
    const nextVa = { key: 'other', certificate: files.at('va-chain.pem') };
    await refusal(start({ nextVa })).toThrow(/no key labelled other/);
  },
  async 'nextVa.certificate'() {
    const links = async (changes: object) => (await (await asking(changes)).describe()).links.length;
    const nextVa = { key: 'va', certificate: files.at('va-chain.pem') };
    expect([await links({}), await links({ nextVa })]).toEqual([2, 4]);
    const certificate = files.at('va-root.pem');
    await refusal(start({ nextVa: { ...nextVa, certificate } })).toThrow(/another key/);
  },
  async logLevel() {
    const log = createLogger('signer', 'silent');
    const config = files.configure({ logLevel: 'warn' });
    const running = await startSigner({ log, config, environment: {}, fail: () => undefined });
    await running.stop();
    expect(log.level).toBe('warn');
  },
  async ownCa() {
    expect(await asIs({ ownCa: [files.write('web.pem', pem(webRoot))] })).toBe('own-ca');
    const both = [files.at('va-root.pem'), files.write('issuing.pem', pem(webIntermediate))];
    expect(await asIs({ ownCa: both })).toBe('own-ca');
  },
  async registry() {
    const registry = files.write('five.json', registryText(agentNames.slice(0, 5), 8));
    expect(await asIs({ registry })).toBe('too-few-perspectives');
    expect((await (await asking({ registry })).describe()).registryVersion).toBe(8);
  },
  async trustContexts() {
    const other = testCa('Another Web Root');
    const trustContexts = files.contexts('other-trust', { OTHER: pem(other) });
    expect(await asIs({ trustContexts })).toBe('untrusted');
    const both = files.contexts('more-trust', { ONE: pem(webRoot), TWO: pem(webRoot, other) });
    expect((await issued({ trustContexts: both })).trustContexts).toEqual(['ONE', 'TWO']);
  },
  async sctLogKeys() {
    const directory = files.contexts('constrained', { MOZ: pem(webRoot) });
    const constraints = { [sha256Hex(webRoot.der)]: [{ sctUntil: new Date().toISOString() }] };
    files.write('constrained/MOZ/context.json', JSON.stringify({ constraints }));
    // What keys do to SCTs is tested beside the trust contexts; here, that they are read.
    const { publicKey } = webRoot;
    const key = files.write('log.pem', publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await asIs({ trustContexts: directory, sctLogKeys: [key] })).toBe('untrusted');
    await refusal(start({ sctLogKeys: [files.at('va-root.pem')] })).toThrow(/no public key/);
  },
  async auditLog() {
    const auditLog = files.at('elsewhere.jsonl');
    expect(await asIs({ auditLog })).toBe('issued');
    expect(readFileSync(auditLog, 'utf8')).toContain('"event":"issued"');
    await refusal(start({ auditLog: files.write('bad.jsonl', 'x\n') })).toThrow(/line 1/);
  },
  async auditSegmentOctets() {
    const auditLog = files.at('segments.jsonl');
    const client = await asking({ auditLog, auditSegmentOctets: 4_096 });
    while ((await segmentsOf(auditLog)).length === 0) expect(await client.voucher()).toBe('issued');
    expect(await verifySegments(auditLog)).toMatchObject({ first: 1, segments: 2 });
    // The perspective directory, which vouchers name, and who signs are known from the last file alone.
    expect(
      recordsOf(auditLog)
        .map(({ event }) => event)
        .filter((one) => one === 'restated'),
    ).toHaveLength(2);
    expect(await asIs({ auditLog, auditSegmentOctets: 4_096 })).toBe('issued');
    const published = recordsOf(auditLog).filter(({ event }) => event === 'directory-published');
    expect(published).toEqual([]);
  },
  async 'quorum.perspectives'() {
    expect((await issued(quorum({ perspectives: 3 }))).quorum).toMatchObject({ asked: 3, matches: 2 });
    expect((await issued(quorum({ perspectives: 8 }))).quorum).toMatchObject({ asked: 8, matches: 6 });
  },
  async 'quorum.minRegions'() {
    expect((await issued(quorum({ minRegions: 5 }))).quorum.regions).toBe(5);
    expect(await asIs(quorum({ minRegions: 5 }))).toBe('no-quorum');
  },
  async 'quorum.minNetworks'() {
    expect((await issued(quorum({ minNetworks: 6 }))).quorum.networks).toBe(6);
    expect(await asIs(quorum({ minNetworks: 6 }))).toBe('no-quorum');
  },
  async 'quorum.minDistanceKm'() {
    expect((await issued(quorum({ minDistanceKm: 0 }))).quorum.kilometres).toBe(0);
    expect(await asIs(quorum({ minDistanceKm: 9000 }))).toBe('too-few-perspectives');
  },
  async 'quorum.matchIntermediates'() {
    const leafOnly = { chain: chainOf(todaysLeaf) };
    expect(await (await asking({})).voucher(6, leafOnly)).toBe('no-quorum');
    expect(await (await asking(quorum({ matchIntermediates: false }))).voucher(6, leafOnly)).toBe('issued');
  },
  async operators() {
    const operator = 'spiffe://mecai.test/operator';
    const list = ({ grpc }: { grpc: string }) => {
      const { ca, key, certificate } = files.identity([operator]);
      const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
      const client = new OperatorServiceClient(grpc, secure, { 'grpc.ssl_target_name_override': 'signer' });
      stops.push(() => client.close());
      return new Promise((resolve, reject) => {
        client.listDistrust({ lifted: true }, (error, found) => (error ? reject(error) : resolve(found)));
      });
    };
    await refusal(list(await start())).toThrow(/PERMISSION_DENIED/);
    expect(await list(await start({ operators: [operator] }))).toEqual({ records: [] });
  },
  async registryKeys() {
    const operator = 'spiffe://mecai.test/operator';
    const registry = Buffer.from(registryText(undefined, 4));
    const signature = Buffer.from(signRegistry(registry, registryKey.privateKey));
    const update = ({ grpc }: { grpc: string }) => {
      const { ca, key, certificate } = files.identity([operator]);
      const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
      const client = new OperatorServiceClient(grpc, secure, { 'grpc.ssl_target_name_override': 'signer' });
      stops.push(() => client.close());
      const request = { registry, signature, reason: 'test', author: 'Kim' };
      return new Promise((resolve, reject) => {
        client.updateRegistry(request, (error, found) => (error ? reject(error) : resolve(found)));
      });
    };
    const pem = registryKey.publicKey.export({ type: 'spki', format: 'pem' });
    const registryKeys = [files.write('registry.pub', pem)];
    await refusal(update(await start({ operators: [operator] }))).toThrow(/not signed/);
    expect(await update(await start({ operators: [operator], registryKeys }))).toMatchObject({ version: 4 });
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
    const other = files.write('other.pub', p384.export({ type: 'spki', format: 'pem' }));
    await refusal(start({ registryKeys: [other] })).toMatchObject({ code: 'unusable-configuration' });
  },
  async 'revocation.policy'() {
    expect(await asIs(revocation({ policy: 'require' }))).toBe('revocation-unknown');
    expect(await asIs(revocation({ policy: 'allow-unknown' }))).toBe('issued');
  },
  async 'revocation.vaPolicy'() {
    expect(await asIs(revocation({ vaPolicy: 'require' }))).toBe('internal');
    expect(await asIs(revocation({ vaPolicy: 'allow-unknown' }))).toBe('issued');
  },
  async 'revocation.newestCrls'() {
    /** CRLs in use after one with this number was handed in to a signer that has just started. */
    const inUse = async (file: string, number: number) => {
      const server = await start(revocation({ newestCrls: files.at(file) }));
      const client = ask(server);
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      const thisUpdate = new Date(Date.now() - 60_000 + number * 1_000);
      const crl = testCrl(webIntermediate, { number, thisUpdate });
      expect(await client.supply(drawn, 0, crl)).toEqual({ accepted: true, detail: '' });
      const answer = await fetch(`${server.admin}/status`);
      return (JSON.parse(await answer.text()) as { revocationEvidence: number }).revocationEvidence;
    };
    expect(await inUse('one.crls', 5)).toBe(1);
    expect(await inUse('one.crls', 4)).toBe(0);
    expect(await inUse('other.crls', 4)).toBe(1);
  },
  async 'revocation.crlOctets'() {
    const crl = testCrl(webIntermediate, { number: 1, padding: 100 });
    const supplied = async (crlOctets: number) => {
      const client = await asking(revocation({ crlOctets }));
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      return client.supply(drawn, 0, crl);
    };
    expect(await supplied(crl.length)).toEqual({ accepted: true, detail: '' });
    expect(await supplied(crl.length - 1)).toMatchObject({
      accepted: false,
      detail: `longer than ${crl.length - 1} octets`,
    });
  },
  async 'revocation.cacheOctets'() {
    const kept = async (cacheOctets: number) => {
      const server = await start(revocation({ cacheOctets }));
      const client = ask(server);
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      for (const [link, ca] of [webIntermediate, webRoot].entries()) {
        const crl = testCrl(ca, { number: 1, padding: 1_000 });
        expect(await client.supply(drawn, link, crl, 10_000)).toEqual({ accepted: true, detail: '' });
      }
      const status: { revocationEvidence?: number } = JSON.parse(
        await (await fetch(`${server.admin}/status`)).text(),
      );
      return status.revocationEvidence;
    };
    expect(await kept(200_000)).toBe(2);
    expect(await kept(100_000)).toBe(1);
  },
  async voucherLifetimeSeconds() {
    const { producedAt, notAfter } = await issued({ voucherLifetimeSeconds: 600 });
    expect(notAfter.getTime() - producedAt.getTime()).toBe(600_000);
  },
  async clockToleranceMs() {
    const late = () => ({ observedAt: Date.now() - 60_000 });
    const changes = { maxClockOffsetMs: 600_000 };
    expect(await (await asking(changes)).voucher(4, late())).toBe('issued');
    expect(await (await asking({ ...changes, clockToleranceMs: 30_000 })).voucher(4, late())).toBe(
      'no-quorum',
    );
  },
  async maxClockOffsetMs() {
    const late = () => ({ observedAt: Date.now() - 60_000 });
    expect(await (await asking({ maxClockOffsetMs: 70_000 })).voucher(4, late())).toBe('issued');
    expect(await (await asking({ maxClockOffsetMs: 50_000 })).voucher(4, late())).toBe('clock');
  },
  async 'draws.ttlMs'() {
    const drawn = await (await asking(draws({ ttlMs: 200_000 }))).draw();
    expect(typeof drawn === 'object' && drawn.expiresAt - Date.now()).toBeGreaterThan(150_000);
  },
  async 'draws.open'() {
    const client = await asking(draws({ open: 1 }));
    expect(typeof (await client.draw())).toBe('object');
    expect(await client.draw({ port: 444 })).toBe('draw-limit');
  },
  async 'draws.attempts'() {
    const client = await asking(draws({ attempts: 1 }));
    const drawn = await client.draw();
    if (typeof drawn === 'string') throw new Error(drawn);
    expect(nameOf(await client.prove(drawn, 3))).toBe('no-quorum');
    expect(nameOf(await client.prove(drawn, 4))).toBe('draw-limit');
  },
  async 'draws.perEndpoint'() {
    const client = await asking(draws({ perEndpoint: 1 }));
    expect(typeof (await client.draw())).toBe('object');
    expect(await client.draw()).toBe('draw-limit');
    expect(typeof (await client.draw({ port: 444 }))).toBe('object');
  },
  async 'draws.windowMs'() {
    // What expires stays on the count for so long after: a second here, a minute by default.
    const client = await asking(draws({ perEndpoint: 1, ttlMs: 1000, windowMs: 1000 }));
    const drawn = await client.draw();
    if (typeof drawn === 'string') throw new Error(drawn);
    let again = await client.draw();
    while (again === 'draw-limit') {
      await delay(50);
      again = await client.draw();
    }
    const waited = Date.now() - drawn.expiresAt;
    expect(waited).toBeGreaterThanOrEqual(1000);
    expect(waited).toBeLessThan(20_000);
  },
  async drainMs() {
    const stopped = async (drainMs: number) => {
      await (await asking({ drainMs })).draw();
      const began = performance.now();
      await stop();
      return performance.now() - began;
    };
    // The coordinator has gone, and will never come with the evidence.
    expect(await stopped(500)).toBeGreaterThanOrEqual(490);
    expect(await stopped(0)).toBeLessThan(490);
  },
  async allowedTargets() {
    const addresses = [parseAddress('127.0.0.1')];
    expect(await (await asking({})).draw({ addresses })).toBe('forbidden-target');
    expect(typeof (await (await asking({ allowedTargets: ['127.0.0.0/8'] })).draw({ addresses }))).toBe(
      'object',
    );
  },
};

describe('each option changes what the signer does', () => {
  it.each(Object.entries(tests))('%s', async (_, test) => {
    await test();
  });

  it('and none is left out', () => {
    expect(Object.keys(tests).toSorted()).toEqual(optionsOf(signerConfig.shape).toSorted());
  });

  /** Dotted names of what can be set. */
  function optionsOf(shape: Readonly<Record<string, unknown>>, prefix = ''): string[] {
    return Object.entries(shape).flatMap(([name, type]) => {
      const inner = shapeOf(type);
      return inner ? optionsOf(inner, `${prefix}${name}.`) : [`${prefix}${name}`];
    });
  }
  /** Of an object, under whatever gives it a default. */
  function shapeOf(type: unknown): Record<string, unknown> | undefined {
    if (typeof type !== 'object' || type === null) return undefined;
    if ('shape' in type) return type.shape as Record<string, unknown>;
    // Of what may be given in several ways, the first.
    if ('options' in type && Array.isArray(type.options)) return shapeOf(type.options[0]);
    return 'unwrap' in type && typeof type.unwrap === 'function' ? shapeOf(type.unwrap()) : undefined;
  }
});

describe('what is no configuration', () => {
  it.each<[string, object]>([
    ['quorum.perspectives', quorum({ perspectives: 1 })],
    ['quorum.perspectives', quorum({ perspectives: 65 })],
    ['quorum', quorum({ perspectives: 4, minRegions: 5 })],
    ['quorum', quorum({ perspectives: 4, minNetworks: 5 })],
    ['allowedTargets.0', { allowedTargets: ['127.0.0.1/8'] }],
    ['allowedTargets.0', { allowedTargets: ['localhost'] }],
    ['coordinators', { coordinators: [] }],
    ['coordinators.0', { coordinators: ['coordinator-1'] }],
    ['coordinators.0', { coordinators: ['spiffe://mecai.test'] }],
    ['ownCa', { ownCa: [] }],
    ['operators', { operators: [coordinator] }],
    ['revocation.policy', revocation({ policy: 'ignore' })],
    ['listen', { listen: '8443' }],
    ['voucherLifetimeSeconds', { voucherLifetimeSeconds: 86_401 }],
    ['draws.ttlMs', draws({ ttlMs: 0 })],
    ['draws', draws({ ttl: 1 })],
    ['(top)', { surprise: true }],
  ])('names %s', async (option, changes) => {
    await refusal(start(changes)).toMatchObject({
      code: 'bad-configuration',
      message: expect.stringContaining(`\n  ${option}: `),
    });
  });
});
