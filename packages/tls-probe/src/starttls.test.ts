import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { probe, type StartTlsProtocol, startTlsProtocols } from './index.ts';
import { type Issued, TestCertificates } from './testing/certificates.ts';
import { portOf } from './testing/processes.ts';
import { serverFlight } from './testing/scripted-server.ts';

const certificates = new TestCertificates();
let leaf: Issued;
beforeAll(() => {
  leaf = certificates.issue('leaf', 'p256');
});
afterAll(() => certificates.remove());

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Says the first line, then one for each thing it hears; the last is followed by TLS. */
type Lines = readonly (string | Buffer)[];

async function spoken(
  lines: Lines,
  startTls: StartTlsProtocol,
  { chunk = Number.POSITIVE_INFINITY, preambleMs = 5_000 } = {},
) {
  const heard: string[] = [];
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {});
    let next = 0;
    const say = () => {
      const bytes = Buffer.from(lines[next++] ?? '');
      for (let at = 0; at < bytes.length; at += chunk) socket.write(bytes.subarray(at, at + chunk));
    };
    if (lines[0] !== '') say();
    else next++;
    socket.on('data', (bytes: Buffer) => {
      if (bytes[0] === 20) return;
      // MySQL's request and the hello may come together.
      const hello = bytes.indexOf(Buffer.from([22, 3, 1]));
      if (hello >= 0) {
        socket.write(serverFlight({ chain: [leaf.der], key: leaf.key }, bytes.subarray(hello)));
        return;
      }
      heard.push(bytes.toString('latin1'));
      say();
    });
  });
  server.listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const port = portOf(server);
  const limits = { preambleMs };
  const result = await probe(
    { address: '127.0.0.1', port, serverName: 'mail.example', startTls },
    { limits },
  );
  return { result, heard, class: result.error?.class };
}

const features = (inner: string) =>
  `<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>` +
  `<stream:features>${inner}</stream:features>`;
const starttls = `<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>`;
const proceed = `<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`;

const mysqlGreeting = (capabilities: number) => {
  const payload = Buffer.concat([
    Buffer.from([10]),
    Buffer.from('8.0.1-test\0'),
    Buffer.alloc(12, 1),
    Buffer.from([0, capabilities & 0xff, capabilities >> 8]),
    Buffer.alloc(30),
  ]);
  return Buffer.concat([Buffer.from([payload.length, 0, 0, 0]), payload]);
};

const ldap = (result: number) =>
  Buffer.from(`300c02010178070a01${result.toString(16).padStart(2, '0')}04000400`, 'hex');

/** Talks that lead to TLS, that refuse it, and that make no sense. */
const talks: Record<StartTlsProtocol, { good: Lines; refused: Lines; nonsense: Lines }> = {
  smtp: {
    good: [
      '220-mail.example\r\n220 ESMTP\r\n',
      '250-mail.example\r\n250-SIZE 1\r\n250 STARTTLS\r\n',
      '220 go\r\n',
    ],
    refused: ['220 hi\r\n', '250-mail.example\r\n250 SIZE 1\r\n'],
    nonsense: ['hello\r\n'],
  },
  lmtp: {
    good: ['220 LMTP\r\n', '250-mail.example\r\n250-STARTTLS\r\n250 8BITMIME\r\n', '220 go\r\n'],
    refused: ['220 LMTP\r\n', '250-x\r\n250 STARTTLS\r\n', '454 not now\r\n'],
    nonsense: ['220 LMTP\r\n', '500 what?\r\n'],
  },
  imap: {
    good: ['* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n', '* CAPABILITY x\r\na OK begin\r\n'],
    refused: ['* OK ready\r\n', 'a BAD unknown\r\n'],
    nonsense: ['* BYE busy\r\n'],
  },
  pop3: {
    good: ['+OK ready\r\n', '+OK begin\r\n'],
    refused: ['+OK ready\r\n', '-ERR no\r\n'],
    nonsense: ['-ERR busy\r\n'],
  },
  sieve: {
    good: ['"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK "ready"\r\n', 'OK "begin"\r\n'],
    refused: ['OK\r\n', 'NO "no"\r\n'],
    nonsense: ['BYE "busy"\r\n'],
  },
  nntp: {
    good: ['201 ready\r\n', '382 begin\r\n'],
    refused: ['200 ready\r\n', '580 no\r\n'],
    nonsense: ['400 busy\r\n'],
  },
  ftp: {
    good: ['220-welcome\r\n text of any kind\r\n220 ready\r\n', '234 begin\r\n'],
    refused: ['220 ready\r\n', '530 no\r\n'],
    nonsense: ['421 busy\r\n'],
  },
  'xmpp-client': {
    good: ['', features(starttls), proceed],
    refused: ['', features('<mechanisms/>')],
    nonsense: ['', `<stream:stream><stream:error><host-unknown/></stream:error></stream:stream>`],
  },
  'xmpp-server': {
    good: ['', features(starttls), `<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>`],
    refused: ['', features(starttls), `<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`],
    nonsense: ['', '</stream:stream>'],
  },
  ldap: { good: ['', ldap(0)], refused: ['', ldap(53)], nonsense: ['', Buffer.from('HTTP/1.1 400\r\n')] },
  postgres: { good: ['', 'S'], refused: ['', 'N'], nonsense: ['', 'E'] },
  mysql: {
    good: [mysqlGreeting(0xffff)],
    refused: [mysqlGreeting(0xf7ff)],
    nonsense: [Buffer.from([3, 0, 0, 0, 0xff, 1, 2])],
  },
};

describe.each(startTlsProtocols)('%s', (protocol) => {
  const { good, refused, nonsense } = talks[protocol];

  it('leads to a handshake', async () => {
    const { result } = await spoken(good, protocol);
    expect(result.error).toBeUndefined();
    expect(result.possessionProven).toBe(true);
  });

  it('leads to a handshake when each byte comes alone', async () => {
    expect((await spoken(good, protocol, { chunk: 1 })).class).toBeUndefined();
  });

  it('tells a refusal from nonsense', async () => {
    expect((await spoken(refused, protocol)).class).toBe('starttls-refused');
    expect((await spoken(nonsense, protocol)).class).toBe('protocol-error');
  });

  it('does not take bytes in the clear for TLS', async () => {
    const last = Buffer.concat([Buffer.from(good.at(-1)!), Buffer.from('injected')]);
    const { class: found } = await spoken([...good.slice(0, -1), last], protocol);
    expect(found).toBe('protocol-error');
  });

  it('waits for what does not come, until its deadline', async () => {
    const cut = Buffer.from(good[0] === '' ? good[1]! : good[0]!).subarray(0, -1);
    const { class: found } = await spoken(good[0] === '' ? ['', cut] : [cut], protocol, { preambleMs: 100 });
    expect(['timeout-preamble', 'protocol-error']).toContain(found);
  });
});

it('an endless greeting is cut off', async () => {
  expect((await spoken(['220-x\r\n'.repeat(300)], 'smtp')).class).toBe('protocol-error');
  expect((await spoken([`220-${'x'.repeat(70_000)}`], 'smtp')).class).toBe('too-large');
});

it('the name asked for stands in the XMPP stream, quoted', async () => {
  const { heard } = await spoken(talks['xmpp-client'].good, 'xmpp-client');
  expect(heard[0]).toContain("to='mail.example'");
});
