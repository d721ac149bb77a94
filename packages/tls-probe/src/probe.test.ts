/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest';
import { defaultLimits, errorClasses, probe, type ProbeOptions, type ProbeTarget } from './index.ts';
import { groups } from './key-exchange.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { type Issued, TestCertificates } from './testing/certificates.ts';
import { portOf } from './testing/processes.ts';
import { helloRetryRequest, readClientHello, type Script, serverFlight } from './testing/scripted-server.ts';

const certificates = new TestCertificates();
let leaf: Issued;
let stranger: Issued;
beforeAll(() => {
  leaf = certificates.issue('leaf', 'p256');
  stranger = certificates.issue('stranger', 'p256');
});
afterAll(() => certificates.remove());

const open: { close(): void }[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of open.splice(0)) server.close();
});

/** A TCP server in this process; what clients send first is `hello`. */
async function served(behave: (socket: Socket, hello: Promise<Buffer>) => void): Promise<ProbeTarget> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    behave(socket, new Promise((resolve) => socket.once('data', resolve)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server);
  return { address: '127.0.0.1', port: portOf(server), serverName: 'localhost' };
}

const answering = (answer: (hello: Buffer) => Buffer) =>
  served((socket, hello) => void hello.then((bytes) => socket.write(answer(bytes))));
const scripted = (script: Partial<Script>) =>
  answering((hello) => serverFlight({ chain: [leaf.der], key: leaf.key, ...script }, hello));

const limits = (changes: NonNullable<ProbeOptions['limits']>): ProbeOptions => ({ limits: changes });
const errorOf = async (target: ProbeTarget, options?: ProbeOptions) => {
  const { error, ...rest } = await probe(target, options);
  if (error) expect(errorClasses).toContain(error.class);
  return { class: error?.class, alert: error?.alert, ...rest };
};

describe('each way to fail has its class', () => {
  it('refused', async () => {
    const target = await served(() => {});
    open.pop()!.close();
    expect((await errorOf(target)).class).toBe('refused');
  });

  it('unreachable', async () => {
    // No TCP to a multicast group: the kernel says so itself, wherever this runs.
    expect((await errorOf({ address: '224.0.0.1', port: 443 })).class).toBe('unreachable');
  });

  it('timeout-handshake, of a server that never answers, at the deadline', async () => {
    const result = await errorOf(await served(() => {}), limits({ handshakeMs: 200 }));
    expect(result.class).toBe('timeout-handshake');
    expect(result.timings.end).toBeGreaterThanOrEqual(199_000);
    expect(result.timings.end).toBeLessThan(1_000_000);
    expect(result.timings.firstByte).toBeUndefined();
  });

  it('timeout-handshake, of a tarpit that sends a byte now and then', async () => {
    const trickle = async (socket: Socket, flight: Buffer) => {
      for (const byte of flight) {
        if (!socket.writable) return;
        socket.write(Buffer.from([byte]));
        await pause(20);
      }
    };
    const target = await served(
      (socket, hello) =>
        void hello.then((bytes) =>
          trickle(socket, serverFlight({ chain: [leaf.der], key: leaf.key }, bytes)),
        ),
    );
    const result = await errorOf(target, limits({ handshakeMs: 300 }));
    expect(result.class).toBe('timeout-handshake');
    expect(result.timings.end).toBeLessThan(1_200_000);
    expect(result.timings.firstByte).toBeDefined();
  });

  it('timeout-preamble, of a mail server that never greets', async () => {
    const target = { ...(await served(() => {})), startTls: 'smtp' as const };
    const result = await errorOf(target, limits({ preambleMs: 150 }));
    expect(result.class).toBe('timeout-preamble');
  });

  it('reset', async () => {
    const target = await served((socket, hello) => void hello.then(() => socket.resetAndDestroy()));
    expect((await errorOf(target)).class).toBe('reset');
  });

  it('closed, before and in the middle of an answer', async () => {
    const early = await served((socket, hello) => void hello.then(() => socket.end()));
    expect((await errorOf(early)).class).toBe('closed');
    const middle = await served(
      (socket, hello) =>
        void hello.then((bytes) =>
          socket.end(serverFlight({ chain: [leaf.der], key: leaf.key }, bytes).subarray(0, 300)),
        ),
    );
    const result = await errorOf(middle);
    expect(result.class).toBe('closed');
    expect(result.version).toBe(0x0304);
  });

  it.each(['HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-OpenSSH_9.2\r\n', '\0', '\x16\x02', '\x80\x03\x01'])(
    'not-tls: %j',
    async (text) => {
      expect((await errorOf(await answering(() => Buffer.from(text, 'latin1')))).class).toBe('not-tls');
    },
  );

  it('alert, with its number', async () => {
    const result = await errorOf(await answering(() => Buffer.from([21, 3, 3, 0, 2, 2, 40])));
    expect([result.class, result.alert]).toEqual(['alert', 40]);
  });

  it('no-common-parameters', async () => {
    const hello = Buffer.concat([
      Buffer.from('020000260301', 'hex'),
      Buffer.alloc(32),
      Buffer.from('00002f00', 'hex'),
    ]);
    const result = await errorOf(await answering(() => plainRecord(contentTypes.handshake, hello)));
    expect(result.class).toBe('no-common-parameters');
  });

  it('protocol-error, of a server that retries for ever', async () => {
    const target = await served((socket) => {
      let asked = 0;
      socket.on('data', (bytes: Buffer) => {
        const record = bytes[0] === contentTypes.changeCipherSpec ? bytes.subarray(6) : bytes;
        const group = asked++ % 2 === 0 ? groups.secp256r1 : groups.secp384r1;
        if (record[0] !== contentTypes.handshake) return;
        socket.write(
          plainRecord(contentTypes.handshake, helloRetryRequest(readClientHello(record), 0x1301, group)),
        );
      });
    });
    expect((await errorOf(target)).class).toBe('protocol-error');
  });

  it('bad-signature, of a key that is not in the certificate', async () => {
    const result = await errorOf(await scripted({ key: stranger.key }));
    expect(result.class).toBe('bad-signature');
    expect(result.possessionProven).toBe(false);
    expect(result.chain.map((der) => Buffer.from(der))).toEqual([leaf.der]);
  });

  it('bad-certificate', async () => {
    expect((await errorOf(await scripted({ chain: [Buffer.from('3000', 'hex')] }))).class).toBe(
      'bad-certificate',
    );
  });

  it('too-large: 1,000 certificates, 16 MB, too many bytes or records', async () => {
    const many = await scripted({ chain: Array.from({ length: 1_000 }, () => leaf.der) });
    expect((await errorOf(many)).class).toBe('too-large');
    const huge = await scripted({
      corrupt: (name, whole) => (name === 'certificate' ? Buffer.from('0bfffff000', 'hex') : whole),
    });
    expect((await errorOf(huge)).class).toBe('too-large');
    const normal = await scripted({});
    expect((await errorOf(normal, limits({ bytes: 500 }))).class).toBe('too-large');
    expect((await errorOf(normal, limits({ records: 4 }))).class).toBe('too-large');
    expect((await errorOf(normal, limits({ certificates: 0 }))).class).toBe('too-large');
    expect((await errorOf(normal)).class).toBeUndefined();
  });

  it('local-error, of what cannot be asked', async () => {
    const target = await served(() => {});
    const wrong: [ProbeTarget, ProbeOptions?][] = [
      [{ address: 'localhost', port: 443 }],
      [{ address: '127.0.0.1', port: 0 }],
      [{ address: '127.0.0.1', port: 70_000 }],
      [{ ...target, serverName: '' }],
      [{ ...target, serverName: '192.0.2.1' }],
      [{ ...target, serverName: 'host.example.' }],
      [{ ...target, serverName: 'x'.repeat(256) }],
      [target, { alpn: [''] }],
      [target, { alpn: ['x'.repeat(256)] }],
      [target, { extensions: [0] }],
      [target, { extensions: [35] }],
      [target, { extensions: [41] }],
      [target, { extensions: [70_000] }],
      [target, { extensions: [64_000, 64_000] }],
      [target, { localAddress: '203.0.113.1' }],
      [target, { localAddress: 'nonsense' }],
      [target, limits({ handshakeMs: Number.NaN })],
      [target, limits({ connectMs: 2 ** 40 })],
      [target, limits({ bytes: -1 })],
    ];
    for (const [asked, options] of wrong) {
      expect((await errorOf(asked, options)).class, JSON.stringify([asked, options])).toBe('local-error');
    }
  });
});

it('nothing a caller hands over makes it reject', async () => {
  for (const nonsense of [undefined, null, 7, {}, { address: 7 }, { address: '127.0.0.1', port: '443' }]) {
    const { error } = await Reflect.apply(probe, undefined, [nonsense, null]);
    expect(error?.class).toBe('local-error');
  }
  const target = await served(() => {});
  for (const startTls of ['gopher', 'toString']) {
    const { error } = await Reflect.apply(probe, undefined, [{ ...target, startTls }]);
    expect(error?.class).toBe('local-error');
  }
});

describe('towards the server', () => {
  it('one connection, one flight, then the alert that says what was wrong', async () => {
    let connections = 0;
    const heard = Promise.withResolvers<Buffer>();
    const target = await served((socket, hello) => {
      connections++;
      const answer = (bytes: Buffer) => {
        const flight = serverFlight({ chain: [leaf.der], key: leaf.key }, bytes);
        const supportedVersions = flight.indexOf(Buffer.from('002b00020304', 'hex'));
        flight.writeUInt16BE(0x0309, supportedVersions + 4);
        return flight;
      };
      socket.once('data', () => socket.once('data', heard.resolve));
      void hello.then((bytes) => socket.write(answer(bytes)));
    });
    expect((await errorOf(target)).class).toBe('protocol-error');
    expect(await heard.promise).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 47]));
    expect(connections).toBe(1);
  });

  it('reads to the end, so that the server never sees a reset', async () => {
    const ended = Promise.withResolvers<string>();
    const farewell = async (socket: Socket) => {
      // Tickets that were on their way when the client had already said goodbye: a reset shows at the second.
      for (let ticket = 0; ticket < 3; ticket++) {
        socket.write(Buffer.alloc(500));
        await pause(20);
      }
      socket.end();
    };
    const target = await served((socket, hello) => {
      socket.on('error', (error) => ended.resolve(error.message));
      socket.on('end', () => void farewell(socket));
      socket.on('close', (failed) => ended.resolve(failed ? 'error' : 'clean'));
      void hello.then((bytes) => socket.write(serverFlight({ chain: [leaf.der], key: leaf.key }, bytes)));
    });
    expect((await errorOf(target)).class).toBeUndefined();
    expect(await ended.promise).toBe('clean');
  });

  it('2,000 silent servers at once: each ends at its deadline, and the process lives', async () => {
    const target = await served(() => {});
    const results = await Promise.all(
      Array.from({ length: 2_000 }, () => probe(target, limits({ connectMs: 10_000, handshakeMs: 1_000 }))),
    );
    expect(new Set(results.map(({ error }) => error?.class))).toEqual(new Set(['timeout-handshake']));
    const latest = Math.max(...results.map(({ timings }) => timings.end - timings.connect!));
    expect(latest).toBeLessThan(3_000_000);
  });
});

it('the defaults are sane', () => {
  for (const value of Object.values(defaultLimits)) expect(value).toBeGreaterThan(0);
});
