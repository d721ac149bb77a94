import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Server, type Socket as Connection, createServer } from 'node:net';
import { type Answer, type Packet, type Question, decode, encode } from 'dns-packet';

/** `nxdomain` and `servfail` are answered, `silence` is not; bytes go out as they are, after the question's id. */
export type DnsReply = Answer[] | 'nxdomain' | 'servfail' | 'silence' | Buffer;
export type DnsZone = (question: Question) => DnsReply;

export interface TestDns extends AsyncDisposable {
  /** As `setServers` takes it. */
  readonly address: string;
  /** `type name` of each question, in the order they came. */
  readonly asked: string[];
  zone: DnsZone;
}

/** A resolver on loopback, UDP and TCP on one port: what is too long for 1,232 octets is truncated over UDP. */
export async function startDns(zone: DnsZone): Promise<TestDns> {
  const { udp, tcp, port } = await bothOnOnePort();
  const connections = new Set<Connection>();
  const dns: TestDns = {
    address: `127.0.0.1:${port}`,
    asked: [],
    zone,
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy();
      udp.close();
      tcp.close();
      await Promise.all([once(udp, 'close'), once(tcp, 'close')]);
    },
  };
  const answer = (message: Buffer): Buffer | undefined => {
    const { id, questions = [] } = decode(message);
    const [question] = questions;
    if (!question) return undefined;
    dns.asked.push(`${question.type} ${question.name}`);
    const reply = dns.zone(question);
    if (reply === 'silence') return undefined;
    if (Buffer.isBuffer(reply)) return Buffer.concat([message.subarray(0, 2), reply]);
    const rcode = reply === 'nxdomain' ? 3 : reply === 'servfail' ? 2 : 0;
    const packet: Packet = {
      type: 'response',
      ...(id !== undefined && { id }),
      flags: 0x0180 | rcode,
      questions,
      answers: Array.isArray(reply) ? reply : [],
    };
    return encode(packet);
  };
  udp.on('message', (message, { port: to, address }) => {
    const bytes = answer(message);
    if (!bytes) return;
    if (bytes.length > 1_232) {
      const { id, questions = [] } = decode(message);
      const cut = { type: 'response', flags: 0x0380, questions, ...(id !== undefined && { id }) } as const;
      udp.send(encode(cut), to, address);
    } else udp.send(bytes, to, address);
  });
  tcp.on('connection', (connection) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection)).on('error', () => undefined);
    let held = Buffer.alloc(0);
    connection.on('data', (data: Buffer) => {
      held = Buffer.concat([held, data]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const length = held.readUInt16BE(0);
        const bytes = answer(held.subarray(2, 2 + length));
        held = held.subarray(2 + length);
        if (!bytes) continue;
        connection.write(Buffer.of(bytes.length >> 8, bytes.length & 0xff));
        connection.write(bytes);
      }
    });
  });
  return dns;
}

/** The system picks a port for TCP, which may be taken for UDP. */
async function bothOnOnePort(): Promise<{ udp: Socket; tcp: Server; port: number }> {
  for (;;) {
    const tcp = createServer();
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const at = tcp.address();
    if (at === null || typeof at === 'string') throw new TypeError('not on an IP address');
    const udp = createSocket('udp4');
    try {
      udp.bind(at.port, '127.0.0.1');
      await once(udp, 'listening');
      return { udp, tcp, port: at.port };
    } catch {
      tcp.close();
    }
  }
}
