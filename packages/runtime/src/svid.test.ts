import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  Client,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { der, implicit, toPem } from '@mecai/pki';
import { type TestCertificate, keyUsages, testCertificate, testExtension } from '@mecai/voucher/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { type Logger, createLogger } from './process.ts';
import { mutualTls, spiffeIdOf } from './spiffe.ts';
import { Svid, type SvidMaterial } from './svid.ts';

const serverId = 'spiffe://mecai.test/signer';
const clientId = 'spiffe://mecai.test/coordinator';
const ca = testCertificate({ subject: 'Internal CA', ca: true, keyUsage: keyUsages.keyCertSign });
const otherCa = testCertificate({ subject: 'Other CA', ca: true, keyUsage: keyUsages.keyCertSign });

function issue(id: string, issuer = ca, changes: { notAfter?: Date; serial?: number } = {}): TestCertificate {
  return testCertificate({
    subject: id,
    issuer,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'],
    extensions: [testExtension('2.5.29.17', false, der.sequence(der.tlv(implicit(6), Buffer.from(id))))],
    ...changes,
  });
}
const keyOf = ({ privateKey }: TestCertificate) => privateKey.export({ type: 'pkcs8', format: 'der' });
const material = (own: TestCertificate, trusted = ca): SvidMaterial => ({
  certificate: Buffer.from(toPem(own.der, 'CERTIFICATE')),
  key: Buffer.from(toPem(keyOf(own), 'PRIVATE KEY')),
  ca: Buffer.from(toPem(trusted.der, 'CERTIFICATE')),
});

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));
const directory = () => {
  const made = mkdtempSync(join(tmpdir(), 'mecai-svid-'));
  closing.push(() => rmSync(made, { recursive: true, force: true }));
  return made;
};

/** Lines of a log, by message. */
function keptLog(): { log: Logger; messages: string[] } {
  const messages: string[] = [];
  const log = createLogger('test', 'silent');
  for (const level of ['info', 'warn'] as const) {
    log[level] = (_: unknown, message = '') => void messages.push(`${level}: ${message}`);
  }
  return { log, messages };
}

const raw = (bytes: Buffer) => bytes;
const who = {
  path: '/test/Who',
  requestStream: false,
  responseStream: false,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
} as const;

/** A server that says whom it sees, and of which serial number. */
async function serve(svid: Svid): Promise<number> {
  const server = new Server();
  server.addService(
    { who },
    {
      who(call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) {
        const seen = call.getAuthContext()?.sslPeerCertificate;
        respond(null, Buffer.from(`${seen && spiffeIdOf(seen.raw)} ${Number(`0x${seen?.serialNumber}`)}`));
      },
    },
  );
  closing.push(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', svid.serverCredentials(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

/** One question over a connection of its own. */
function ask(port: number, svid: Svid, server = serverId): Promise<string> {
  const client = new Client(`127.0.0.1:${port}`, svid.clientCredentials(server), {
    'grpc.ssl_target_name_override': 'signer',
    'grpc.use_local_subchannel_pool': 1,
  });
  return new Promise<string>((resolve, reject) => {
    client.makeUnaryRequest(
      who.path,
      raw,
      raw,
      Buffer.alloc(0),
      { deadline: Date.now() + 5_000 },
      (error, answer) => (error ? reject(error) : resolve(String(answer))),
    );
  }).finally(() => client.close());
}
const refused = expect.objectContaining({ code: status.UNAVAILABLE }) as Error;

test('both ends see each other’s identity', async () => {
  const port = await serve(Svid.fixed(material(issue(serverId))));
  const client = Svid.fixed(material(issue(clientId, ca, { serial: 5 })));
  expect(await ask(port, client)).toBe(`${clientId} 5`);
  await expect(ask(port, client, 'spiffe://mecai.test/other')).rejects.toEqual(refused);
});

describe('refused at the handshake:', () => {
  const yesterday = new Date(Date.now() - 86_400_000);
  test.each([
    ['a client whose SVID has expired', () => material(issue(clientId, ca, { notAfter: yesterday }))],
    ['a client of another trust domain’s CA', () => material(issue(clientId, otherCa))],
  ])('%s', async (_, client) => {
    const port = await serve(Svid.fixed(material(issue(serverId))));
    await expect(ask(port, Svid.fixed(client()))).rejects.toEqual(refused);
  });

  test.each([
    ['a server whose SVID has expired', () => material(issue(serverId, ca, { notAfter: yesterday }))],
    ['a server of another trust domain’s CA', () => material(issue(serverId, otherCa), otherCa)],
  ])('%s', async (_, server) => {
    const port = await serve(Svid.fixed(server()));
    await expect(ask(port, Svid.fixed(material(issue(clientId))))).rejects.toEqual(refused);
  });
});

describe('files', () => {
  function files(first: SvidMaterial) {
    const at = directory();
    const names = { certificate: join(at, 'svid.pem'), key: join(at, 'svid.key'), ca: join(at, 'ca.pem') };
    const write = (part: keyof SvidMaterial, content: Buffer | string) => {
      writeFileSync(`${names[part]}.new`, content);
      renameSync(`${names[part]}.new`, names[part]);
    };
    const writeAll = (one: SvidMaterial) =>
      (['certificate', 'key', 'ca'] as const).forEach((part) => write(part, one[part]));
    writeAll(first);
    const { log, messages } = keptLog();
    const svid = Svid.of(mutualTls().parse(names), log);
    closing.push(() => svid.close());
    return { svid, messages, write, writeAll };
  }

  test('a rotation is taken up without a restart, at both ends, CAs too', async () => {
    const server = files(material(issue(serverId)));
    const client = files(material(issue(clientId, ca, { serial: 1 })));
    const port = await serve(server.svid);
    expect(await ask(port, client.svid)).toBe(`${clientId} 1`);
    // The CA changes: first both ends trust the two of them, then the SVIDs follow.
    const both = Buffer.concat([material(ca, ca).ca, material(ca, otherCa).ca]);
    server.write('ca', both);
    client.write('ca', both);
    await expect
      .poll(() => [server.messages.length, client.messages.length], { timeout: 60_000 })
      .toEqual([1, 1]);
    client.writeAll({ ...material(issue(clientId, otherCa, { serial: 2 })), ca: both });
    server.writeAll({ ...material(issue(serverId, otherCa)), ca: both });
    await expect
      .poll(() => ask(port, client.svid).catch(() => ''), { timeout: 60_000 })
      .toBe(`${clientId} 2`);
    expect(new Set(server.messages)).toEqual(new Set(['info: SVID rotated']));
  });

  test('what does not fit together is not taken up, and told once', async () => {
    const { svid, messages, write, writeAll } = files(material(issue(clientId, ca, { serial: 1 })));
    const port = await serve(Svid.fixed(material(issue(serverId))));
    const next = material(issue(clientId, ca, { serial: 2 }));
    write('certificate', next.certificate);
    await expect.poll(() => messages, { timeout: 60_000 }).toEqual(['warn: SVID not renewed']);
    expect(await ask(port, svid)).toBe(`${clientId} 1`);
    writeAll(next);
    await expect.poll(() => messages.at(-1), { timeout: 60_000 }).toBe('info: SVID rotated');
    expect(await ask(port, svid)).toBe(`${clientId} 2`);
    expect(messages).toHaveLength(2);
  });

  test.each([
    [
      'no SVID but another certificate',
      () => ({ ...material(issue(clientId)), certificate: material(ca).certificate }),
    ],
    ['a key that is another’s', () => ({ ...material(issue(clientId)), key: material(issue(clientId)).key })],
    ['no PEM', () => ({ ...material(issue(clientId)), ca: Buffer.from('nothing') })],
  ])('at the start: %s', (_, given) => {
    expect(() => files(given())).toThrow(expect.objectContaining({ code: 'bad-configuration' }));
  });

  test('files that are not there', () => {
    const names = { certificate: '/nowhere/a', key: '/nowhere/b', ca: '/nowhere/c' };
    expect(() => Svid.of(names, keptLog().log)).toThrow(expect.objectContaining({ code: 'unreadable-file' }));
  });
});

describe('a SPIFFE Workload API', () => {
  /** As SPIRE's agent serves it. */
  async function agent() {
    const socket = `unix://${join(directory(), 'agent.sock')}`;
    const streams = new Set<ServerWritableStream<Buffer, Buffer>>();
    let current = issue(clientId, ca, { serial: 1 });
    let server: Server;
    const fetchX509Svid = {
      ...who,
      path: '/SpiffeWorkloadAPI/FetchX509SVID',
      responseStream: true,
    };
    const start = async () => {
      server = new Server();
      server.addService(
        { fetchX509Svid },
        {
          fetchX509Svid(call: ServerWritableStream<Buffer, Buffer>) {
            if (call.metadata.get('workload.spiffe.io')[0] !== 'true') {
              call.emit('error', { code: status.INVALID_ARGUMENT, details: 'security header missing' });
              return;
            }
            streams.add(call);
            call.on('cancelled', () => streams.delete(call));
            call.write(response(current));
          },
        },
      );
      const insecure = ServerCredentials.createInsecure();
      await new Promise<void>((resolve, reject) => {
        server.bindAsync(socket, insecure, (error) => (error ? reject(error) : resolve()));
      });
    };
    await start();
    closing.push(() => server.forceShutdown());
    return {
      socket,
      send: (bytes: Buffer) => streams.forEach((call) => call.write(bytes)),
      rotate(next: TestCertificate) {
        current = next;
        this.send(response(next));
      },
      async restart() {
        server.forceShutdown();
        await start();
      },
    };
  }
  function response(own: TestCertificate): Buffer {
    const svid = new BinaryWriter();
    svid.tag(1, WireType.LengthDelimited).string(clientId);
    svid.tag(2, WireType.LengthDelimited).bytes(Buffer.concat([own.der, ca.der]));
    svid.tag(3, WireType.LengthDelimited).bytes(keyOf(own));
    svid.tag(4, WireType.LengthDelimited).bytes(Buffer.concat([ca.der, otherCa.der]));
    svid.tag(5, WireType.LengthDelimited).string('internal');
    // A certificate revocation list, which nothing here reads.
    return Buffer.from(
      new BinaryWriter()
        .tag(2, WireType.LengthDelimited)
        .bytes(new Uint8Array(3))
        .tag(1, WireType.LengthDelimited)
        .bytes(svid.finish())
        .finish(),
    );
  }

  test('hands out the SVID and its rotations, also after the agent restarted', async () => {
    const port = await serve(Svid.fixed(material(issue(serverId))));
    const workload = await agent();
    const svid = Svid.of(mutualTls().parse({ workloadApi: workload.socket }), keptLog().log);
    closing.push(() => svid.close());
    expect(await ask(port, svid)).toBe(`${clientId} 1`);
    workload.rotate(issue(clientId, ca, { serial: 2 }));
    await expect.poll(() => ask(port, svid)).toBe(`${clientId} 2`);
    workload.send(Buffer.from([0x0a, 0x7f]));
    await workload.restart();
    workload.rotate(issue(clientId, ca, { serial: 3 }));
    await expect.poll(() => ask(port, svid), { timeout: 60_000 }).toBe(`${clientId} 3`);
  });
});

test.each([
  [{ workloadApi: '/run/agent.sock' }],
  [{ certificate: 'a', key: 'b' }],
  [{ certificate: 'a', key: 'b', ca: 'c', workloadApi: 'unix:///x' }],
])('configuration %j is refused', (given) => {
  expect(mutualTls().safeParse(given).success).toBe(false);
});
