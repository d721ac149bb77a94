import { isIPv6 } from 'node:net';
import { ProbeFailure } from './failure.ts';
import type { Dialogue, PreambleContext } from './preamble.ts';
import type { StartTlsProtocol } from './prober.ts';

const refused = (detail: string) => new ProbeFailure('starttls-refused', detail);
const unknown = (detail: string) => new ProbeFailure('protocol-error', detail);

const shown = (text: string) => JSON.stringify(text.slice(0, 100));

function* line(): Generator<'line', string, Buffer> {
  return (yield 'line').toString('latin1').replace(/\r?\n$/, '');
}

const sendLine = (context: PreambleContext, text: string) =>
  context.send(Buffer.from(`${text}\r\n`, 'latin1'));

/** Lines a server may spend on one answer. */
const mostLines = 256;

/** A reply of SMTP's kind: `250-text` goes on, `250 text` ends (RFC 5321 section 4.2; RFC 959 section 4.2). */
function* reply(expected: string, failure: (detail: string) => ProbeFailure) {
  const lines: string[] = [];
  for (;;) {
    const text: string = yield* line();
    if (lines.length >= mostLines) throw unknown('an endless reply');
    // FTP's continuation lines need no code of their own.
    const code = /^(\d{3})([ -]|$)/.exec(text);
    if (lines.length === 0 && !code) throw unknown(`no reply but ${shown(text)}`);
    lines.push(text.slice(4));
    if (code && code[2] !== '-') {
      if (code[1] !== expected) throw failure(`the server replied ${shown(text)}`);
      return lines;
    }
  }
}

/** EHLO wants a name; a client without one gives its address (RFC 5321 section 4.1.3). */
const addressLiteral = (address: string) => (isIPv6(address) ? `[IPv6:${address}]` : `[${address}]`);

// S: 220  C: EHLO  S: 250-…STARTTLS…  C: STARTTLS  S: 220     RFC 3207; LMTP says LHLO (RFC 2033)
const mail = (greeting: 'EHLO' | 'LHLO') =>
  function* (context: PreambleContext): Dialogue {
    yield* reply('220', unknown);
    sendLine(context, `${greeting} ${addressLiteral(context.localAddress)}`);
    const offered = yield* reply('250', unknown);
    if (!offered.some((keyword) => keyword.trim().toUpperCase() === 'STARTTLS')) {
      throw refused('the server does not offer STARTTLS');
    }
    sendLine(context, 'STARTTLS');
    yield* reply('220', refused);
  };

// S: * OK  C: a STARTTLS  S: a OK     RFC 3501 section 6.2.1
function* imap(context: PreambleContext): Dialogue {
  const greeting = yield* line();
  if (!/^\* (OK|PREAUTH)\b/i.test(greeting)) throw unknown(`the server greets with ${shown(greeting)}`);
  sendLine(context, 'a STARTTLS');
  for (let lines = 0; lines < mostLines; lines++) {
    const text = yield* line();
    if (/^a OK\b/i.test(text)) return;
    if (!text.startsWith('* ')) throw refused(`the server replied ${shown(text)}`);
  }
  throw unknown('an endless reply');
}

// S: +OK  C: STLS  S: +OK     RFC 2595 section 4
function* pop3(context: PreambleContext): Dialogue {
  const greeting = yield* line();
  if (!greeting.startsWith('+OK')) throw unknown(`the server greets with ${shown(greeting)}`);
  sendLine(context, 'STLS');
  const answer = yield* line();
  if (!answer.startsWith('+OK')) throw refused(`the server replied ${shown(answer)}`);
}

/** Capability lines, then OK, NO or BYE (RFC 5804 section 1.3). */
function* sieveResponse() {
  const capabilities: string[] = [];
  for (let lines = 0; lines < mostLines; lines++) {
    const text: string = yield* line();
    const status = /^(OK|NO|BYE)\b/i.exec(text);
    if (status) return { status: status[1]!.toUpperCase(), text, capabilities };
    capabilities.push(text);
  }
  throw unknown('an endless reply');
}

// S: capabilities OK  C: STARTTLS  S: OK     RFC 5804 section 2.2
function* sieve(context: PreambleContext): Dialogue {
  const greeting = yield* sieveResponse();
  if (greeting.status !== 'OK') throw unknown(`the server greets with ${shown(greeting.text)}`);
  sendLine(context, 'STARTTLS');
  const answer = yield* sieveResponse();
  if (answer.status !== 'OK') throw refused(`the server replied ${shown(answer.text)}`);
}

// S: 200 or 201  C: STARTTLS  S: 382     RFC 4642 section 2.2
function* nntp(context: PreambleContext): Dialogue {
  const greeting = yield* line();
  if (!/^20[01]\b/.test(greeting)) throw unknown(`the server greets with ${shown(greeting)}`);
  sendLine(context, 'STARTTLS');
  const answer = yield* line();
  if (!/^382\b/.test(answer)) throw refused(`the server replied ${shown(answer)}`);
}

// S: 220  C: AUTH TLS  S: 234     RFC 4217 section 4
function* ftp(context: PreambleContext): Dialogue {
  yield* reply('220', unknown);
  sendLine(context, 'AUTH TLS');
  yield* reply('234', refused);
}

const xmlAttribute = (text: string) => text.replace(/[&<>'"]/g, (char) => `&#${char.charCodeAt(0)};`);

// C: <stream:stream>  S: <stream:stream><stream:features>…<starttls/>…  C: <starttls/>  S: <proceed/>
// RFC 6120 section 5.4
const xmpp = (namespace: 'jabber:client' | 'jabber:server') =>
  function* (context: PreambleContext): Dialogue {
    const tls = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'";
    context.send(
      Buffer.from(
        `<?xml version='1.0'?><stream:stream to='${xmlAttribute(context.serverName)}' version='1.0' ` +
          `xmlns='${namespace}' xmlns:stream='http://etherx.jabber.org/streams'>`,
      ),
    );
    let features = '';
    while (!/<\/stream:features>|<stream:features\s*\/>/.test(features)) {
      const piece: Buffer = yield { until: '>' };
      features += piece.toString('latin1');
      if (/<\/stream:stream>|<\/stream:error>/.test(features)) throw unknown('the server ended the stream');
    }
    if (!/<starttls\b[^>]*urn:ietf:params:xml:ns:xmpp-tls/.test(features)) {
      throw refused('the server does not offer STARTTLS');
    }
    context.send(Buffer.from(`<starttls ${tls}/>`));
    const answer: Buffer = yield { until: '>' };
    const text = answer.toString('latin1');
    if (!/^\s*<proceed\b/.test(text)) throw refused(`the server replied ${shown(text)}`);
    // <proceed></proceed> is the same element written in full.
    if (!text.endsWith('/>')) yield { until: '</proceed>' };
  };

// LDAPMessage ::= SEQUENCE { messageID INTEGER, protocolOp, controls [0] OPTIONAL }
// ExtendedRequest ::= [APPLICATION 23] SEQUENCE { requestName [0] LDAPOID, … }
// ExtendedResponse ::= [APPLICATION 24] SEQUENCE { resultCode ENUMERATED, … }     RFC 4511 sections 4.12, 4.14
const startTlsOid = Buffer.from('1.3.6.1.4.1.1466.20037');
const ldapRequest = Buffer.concat([
  Buffer.from([
    0x30,
    startTlsOid.length + 7,
    0x02,
    1,
    1,
    0x77,
    startTlsOid.length + 2,
    0x80,
    startTlsOid.length,
  ]),
  startTlsOid,
]);

/** The length octets of a BER element whose tag has just been read; definite, at most two octets. */
function* berLength(): Generator<number, number, Buffer> {
  const first = (yield 1)[0]!;
  if (first < 0x80) return first;
  if (first === 0x80 || first > 0x82) throw unknown('an LDAP message of a strange length');
  return (yield first & 0x7f).readUIntBE(0, first & 0x7f);
}

/** One element inside a message that is here as a whole. */
function berElement(bytes: Buffer, at: number): { tag: number; content: Buffer; end: number } {
  const tag = bytes[at];
  let length = bytes[at + 1];
  let start = at + 2;
  if (length !== undefined && length > 0x80 && length <= 0x84) {
    const size = length & 0x7f;
    length = start + size <= bytes.length ? bytes.readUIntBE(start, size) : undefined;
    start += size;
  }
  if (tag === undefined || length === undefined || length === 0x80 || start + length > bytes.length) {
    throw unknown('an LDAP message that is cut short');
  }
  return { tag, content: bytes.subarray(start, start + length), end: start + length };
}

function* ldap(context: PreambleContext): Dialogue {
  context.send(ldapRequest);
  if ((yield 1)[0] !== 0x30) throw unknown('no LDAP message');
  const body: Buffer = yield yield* berLength();
  const id = berElement(body, 0);
  const response = berElement(body, id.end);
  if (id.tag !== 0x02 || response.tag !== 0x78) throw unknown('no LDAP extended response');
  const result = berElement(response.content, 0);
  if (result.tag !== 0x0a || result.content.length !== 1) throw unknown('an LDAP response without result');
  if (result.content[0] !== 0) throw refused(`LDAP result code ${result.content[0]}`);
}

// SSLRequest: Int32 length 8, Int32 80877103; answered by one byte, 'S' or 'N'
// PostgreSQL documentation, "Message Formats"
function* postgres(context: PreambleContext): Dialogue {
  context.send(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]));
  const answer = (yield 1).toString('latin1');
  if (answer === 'N') throw refused('the server does not offer TLS');
  // 'E' begins an error message in the clear.
  if (answer !== 'S') throw unknown(`the server answered ${shown(answer)}`);
}

const mysqlClientSsl = 0x0800;

// Packet: 3 bytes length (little endian), 1 byte sequence, payload
// HandshakeV10: 1 byte 10, version text, 0, 4 bytes, 8 bytes, 0, 2 bytes capabilities (low half), …
// SSLRequest: 4 bytes capabilities, 4 bytes largest packet, 1 byte character set, 23 zeros
// MySQL documentation, "Connection Phase"
function* mysql(context: PreambleContext): Dialogue {
  const header = yield 4;
  const size = header.readUIntLE(0, 3);
  const greeting = yield size;
  if (greeting[0] === 0xff) throw unknown('the server refuses the connection');
  const versionEnd = greeting.indexOf(0, 1);
  const at = versionEnd + 1 + 4 + 8 + 1;
  if (greeting[0] !== 10 || versionEnd < 0 || at + 2 > greeting.length) throw unknown('no MySQL greeting');
  if ((greeting.readUInt16LE(at) & mysqlClientSsl) === 0) throw refused('the server does not offer TLS');
  const request = Buffer.alloc(36);
  request.writeUIntLE(32, 0, 3);
  request[3] = (header[3]! + 1) & 0xff;
  // PROTOCOL_41, SSL, SECURE_CONNECTION
  request.writeUInt32LE(0x0200 | mysqlClientSsl | 0x8000, 4);
  request.writeUInt32LE(0x0100_0000, 8);
  // utf8mb3_general_ci, which every version knows
  request[12] = 33;
  context.send(request);
}

export const preambles: Record<StartTlsProtocol, (context: PreambleContext) => Dialogue> = {
  smtp: mail('EHLO'),
  lmtp: mail('LHLO'),
  imap,
  pop3,
  sieve,
  nntp,
  ftp,
  'xmpp-client': xmpp('jabber:client'),
  'xmpp-server': xmpp('jabber:server'),
  ldap,
  postgres,
  mysql,
};
