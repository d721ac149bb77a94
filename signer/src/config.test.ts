import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { parseAddress } from '@mecai/addresses';
import { credentials } from '@grpc/grpc-js';
import { signRegistry } from '@mecai/corroboration';
import { OperatorServiceClient } from '@mecai/proto/signer';
import { createLogger } from '@mecai/runtime';
import { describe, expect, it } from 'vitest';
import { segmentsOf, verifySegments } from './audit-segments.ts';
import { signerConfig } from './config.ts';
import { sha256Hex } from './digest.ts';
import { startSigner } from './start.ts';
import { keyPem, pem, svid, testCa } from './testing/certificates.ts';
import { draws, judgementOptions, quorum, revocation } from './testing/judgement-options.ts';
import { registryKey } from './testing/operator.ts';
import { signerBed } from './testing/signer-bed.ts';
import { agentNames, coordinator, registryText, webIntermediate, webRoot } from './testing/world.ts';

const bed = signerBed();
const { start, stop, ask, asking, issued, asIs } = bed;
const refusal = (action: Promise<unknown>) => expect(action).rejects;
const tls = (changes: object) => ({
  tls: {
    certificate: bed.files.at('signer.pem'),
    key: bed.files.at('signer.key'),
    ca: bed.files.at('internal-ca.pem'),
    ...changes,
  },
});
const hsm = (changes: object) => ({
  hsm: { module: bed.files.soft.module, token: 'test', key: 'va', pinFile: bed.files.at('pin'), ...changes },
});

const recordsOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): { event: string } => JSON.parse(line));

/** By option: that changing it changes what the signer does. */
const tests: Record<string, () => Promise<void>> = {
  ...judgementOptions(bed),
  async listen() {
    const { grpc } = await start({ listen: '127.0.0.2:0' });
    expect(grpc).toMatch(/^127\.0\.0\.2:\d+$/);
    expect((await start({ listen: grpc })).grpc).toBe(grpc);
  },
  async 'tls.certificate'() {
    const certificate = svid(bed.files.internalCa, 'spiffe://mecai.test/renewed');
    const changed = tls({
      certificate: bed.files.write('renewed.pem', pem(certificate)),
      key: bed.files.write('renewed.key', keyPem(certificate)),
    });
    const shown = async ({ grpc }: { grpc: string }) => {
      const [host, port] = grpc.split(':');
      const { certificate: cert, key, ca } = bed.files.identity();
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
    const other = bed.files.write('other.key', keyPem(svid(bed.files.internalCa, 'spiffe://mecai.test/x')));
    await refusal(start(tls({ key: other }))).toThrow(/key/i);
  },
  async 'tls.ca'() {
    const otherCa = testCa('Other Internal CA');
    const server = await start(tls({ ca: bed.files.write('other-ca.pem', pem(otherCa)) }));
    await refusal(ask(server).voucher()).toThrow(/UNAVAILABLE/);
    expect(await ask(server, bed.files.identity([coordinator], otherCa)).voucher()).toBe('issued');
  },
  async coordinators() {
    const other = 'spiffe://mecai.test/coordinator-9';
    const server = await start({ coordinators: [other] });
    await refusal(ask(server).voucher()).toThrow(/PERMISSION_DENIED/);
    expect(await ask(server, bed.files.identity([other])).voucher()).toBe('issued');
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
    await refusal(start(hsm({ module: bed.files.at('none.so') }))).toThrow(/none\.so/);
  },
  async 'hsm.token'() {
    await refusal(start(hsm({ token: 'other' }))).toThrow(/no token labelled other/);
  },
  async 'hsm.key'() {
    await refusal(start(hsm({ key: 'other' }))).toThrow(/no key labelled other/);
  },
  async 'hsm.pinFile'() {
    await refusal(start(hsm({ pinFile: bed.files.write('wrong', '1111') }))).toThrow(/PIN/);
  },
  async vaCertificate() {
    const chain = readFileSync(bed.files.at('va-chain.pem'), 'utf8');
    const alone = bed.files.write('alone.pem', chain.slice(0, chain.indexOf('-----BEGIN', 10)));
    const certificates = async (changes: object) =>
      (await (await asking(changes)).describe()).certificates.length;
    expect(await certificates({})).toBe(2);
    expect(await certificates({ vaCertificate: alone })).toBe(1);
    const other = bed.files.write('other.pem', pem(bed.files.vaRoot));
    await refusal(start({ vaCertificate: other })).toThrow(/another key/);
  },
  async 'nextVa.key'() {
    const nextVa = { key: 'other', certificate: bed.files.at('va-chain.pem') };
    await refusal(start({ nextVa })).toThrow(/no key labelled other/);
  },
  async 'nextVa.certificate'() {
    const links = async (changes: object) => (await (await asking(changes)).describe()).links.length;
    const nextVa = { key: 'va', certificate: bed.files.at('va-chain.pem') };
    expect([await links({}), await links({ nextVa })]).toEqual([2, 4]);
    const certificate = bed.files.at('va-root.pem');
    await refusal(start({ nextVa: { ...nextVa, certificate } })).toThrow(/another key/);
  },
  async logLevel() {
    const log = createLogger('signer', 'silent');
    const config = bed.files.configure({ logLevel: 'warn' });
    const running = await startSigner({ log, config, environment: {}, fail: () => undefined });
    await running.stop();
    expect(log.level).toBe('warn');
  },
  async ownCa() {
    expect(await asIs({ ownCa: [bed.files.write('web.pem', pem(webRoot))] })).toBe('own-ca');
    const both = [bed.files.at('va-root.pem'), bed.files.write('issuing.pem', pem(webIntermediate))];
    expect(await asIs({ ownCa: both })).toBe('own-ca');
  },
  async registry() {
    const registry = bed.files.write('five.json', registryText(agentNames.slice(0, 5), 8));
    const auditLog = bed.files.at('fewer.jsonl');
    expect(await asIs({ registry, auditLog })).toBe('too-few-perspectives');
    expect((await (await asking({ registry, auditLog })).describe()).registryVersion).toBe(8);
  },
  async trustContexts() {
    const other = testCa('Another Web Root');
    const trustContexts = bed.files.contexts('other-trust', { OTHER: pem(other) });
    expect(await asIs({ trustContexts })).toBe('untrusted');
    const both = bed.files.contexts('more-trust', { ONE: pem(webRoot), TWO: pem(webRoot, other) });
    expect((await issued({ trustContexts: both })).trustContexts).toEqual(['ONE', 'TWO']);
  },
  async sctLogKeys() {
    const directory = bed.files.contexts('constrained', { MOZ: pem(webRoot) });
    const constraints = { [sha256Hex(webRoot.der)]: [{ sctUntil: new Date().toISOString() }] };
    bed.files.write('constrained/MOZ/context.json', JSON.stringify({ constraints }));
    // What keys do to SCTs is tested beside the trust contexts; here, that they are read.
    const { publicKey } = webRoot;
    const key = bed.files.write('log.pem', publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await asIs({ trustContexts: directory, sctLogKeys: [key] })).toBe('untrusted');
    await refusal(start({ sctLogKeys: [bed.files.at('va-root.pem')] })).toThrow(/no public key/);
  },
  async auditLog() {
    const auditLog = bed.files.at('elsewhere.jsonl');
    expect(await asIs({ auditLog })).toBe('issued');
    expect(readFileSync(auditLog, 'utf8')).toContain('"event":"issued"');
    await refusal(start({ auditLog: bed.files.write('bad.jsonl', 'x\n') })).toThrow(/line 1/);
  },
  async auditSegmentOctets() {
    const auditLog = bed.files.at('segments.jsonl');
    const client = await asking({ auditLog, auditSegmentOctets: 4_096 });
    while ((await segmentsOf(auditLog)).length === 0) expect(await client.voucher()).toBe('issued');
    expect(await verifySegments(auditLog)).toMatchObject({ first: 1, segments: 2 });
    // The registry, its directory, which vouchers name, and who signs are known from the last file alone.
    expect(
      recordsOf(auditLog)
        .map(({ event }) => event)
        .filter((one) => one === 'restated'),
    ).toHaveLength(3);
    expect(await asIs({ auditLog, auditSegmentOctets: 4_096 })).toBe('issued');
    const published = recordsOf(auditLog).filter(({ event }) => event === 'directory-published');
    expect(published).toEqual([]);
  },
  async operators() {
    const operator = 'spiffe://mecai.test/operator';
    const list = ({ grpc }: { grpc: string }) => {
      const { ca, key, certificate } = bed.files.identity([operator]);
      const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
      const client = new OperatorServiceClient(grpc, secure, { 'grpc.ssl_target_name_override': 'signer' });
      bed.stops.push(() => client.close());
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
      const { ca, key, certificate } = bed.files.identity([operator]);
      const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
      const client = new OperatorServiceClient(grpc, secure, { 'grpc.ssl_target_name_override': 'signer' });
      bed.stops.push(() => client.close());
      const request = { registry, signature, reason: 'test', author: 'Kim' };
      return new Promise((resolve, reject) => {
        client.updateRegistry(request, (error, found) => (error ? reject(error) : resolve(found)));
      });
    };
    const pem = registryKey.publicKey.export({ type: 'spki', format: 'pem' });
    const registryKeys = [bed.files.write('registry.pub', pem)];
    await refusal(update(await start({ operators: [operator] }))).toThrow(/not signed/);
    expect(await update(await start({ operators: [operator], registryKeys }))).toMatchObject({ version: 4 });
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
    const other = bed.files.write('other.pub', p384.export({ type: 'spki', format: 'pem' }));
    await refusal(start({ registryKeys: [other] })).toMatchObject({ code: 'unusable-configuration' });
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
