import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CurveShare, groups, type KeyShareSource, X25519Share } from './key-exchange.ts';
import { startHandshake } from './testing/setup.ts';

interface Trace {
  readonly clientRandom: string;
  readonly sessionId?: string;
  readonly privateKeys: readonly string[];
  readonly clientHello: string;
  readonly helloRetryRequest?: string;
  readonly clientHello2?: string;
  readonly serverHello: string;
  readonly serverFlight: string;
  readonly certificate: string;
  readonly clientFlight: string;
  readonly clientCloseNotify: string;
  readonly newSessionTicket?: string;
}

const traces: Record<'simple' | 'helloRetryRequest' | 'clientAuthentication' | 'compatibility', Trace> =
  JSON.parse(readFileSync(new URL('./vectors/rfc8448.json', import.meta.url), 'utf8'));

const hex = (text: string) => Buffer.from(text, 'hex');
const x25519Pkcs8 = hex('302e020100300506032b656e04220420');

const sharesOf = ({ privateKeys }: Trace): KeyShareSource => ({
  share: (group) =>
    group === groups.x25519
      ? new X25519Share(
          createPrivateKey({
            key: Buffer.concat([x25519Pkcs8, hex(privateKeys[0]!)]),
            format: 'der',
            type: 'pkcs8',
          }),
        )
      : new CurveShare(group, 'prime256v1', hex(privateKeys[1]!)),
});

/** Plays the client's side of a trace; its hello is the recorded one, everything after that is ours. */
function play(trace: Trace) {
  const hellos = [trace.clientHello, trace.clientHello2 ?? ''].map((record) => hex(record).subarray(5));
  const cookies: (Buffer | undefined)[] = [];
  const handshake = startHandshake({
    // record_size_limit, which this client does not offer, is in the recorded hellos.
    offer: { serverName: 'server', keyType: 'any', alpn: [], extensions: [28] },
    random: () => Buffer.concat([hex(trace.clientRandom), hex(trace.sessionId ?? '')]),
    shares: sharesOf(trace),
    hello: (_, { cookie }) => hellos[cookies.push(cookie) - 1]!,
  });
  handshake.takeFlight();
  return { handshake, cookies };
}

const certificateOf = ({ certificate }: Trace) => {
  const message = hex(certificate);
  return message.subarray(11, 11 + message.readUIntBE(8, 3));
};

describe('RFC 8448', () => {
  it('section 3: a simple handshake, the client Finished byte for byte', () => {
    const { handshake } = play(traces.simple);
    handshake.receive(hex(traces.simple.serverHello));
    expect(handshake.seen.version).toBe(0x0304);
    handshake.receive(hex(traces.simple.serverFlight));
    expect(handshake.finished).toBe(true);
    expect(handshake.seen.possessionProven).toBe(true);
    expect(handshake.seen.signatureScheme).toBe(0x0804);
    expect(Buffer.from(handshake.seen.chain[0]!)).toEqual(certificateOf(traces.simple));
    const flight = handshake.takeFlight()!.toString('hex');
    expect(flight.startsWith(traces.simple.clientFlight)).toBe(true);
    // What follows is not part of what a probe waits for.
    handshake.receive(hex(traces.simple.newSessionTicket!));
    expect(handshake.takeFlight()).toBeUndefined();
  });

  it('section 5: HelloRetryRequest with a cookie for P-256, Finished and close_notify byte for byte', () => {
    const trace = traces.helloRetryRequest;
    const { handshake, cookies } = play(trace);
    handshake.receive(hex(trace.helloRetryRequest!));
    expect(handshake.takeFlight()!.subarray(5)).toEqual(hex(trace.clientHello2!).subarray(5));
    expect(cookies[1]?.length).toBe(114);
    handshake.receive(hex(trace.serverHello));
    handshake.receive(hex(trace.serverFlight));
    expect(handshake.finished).toBe(true);
    expect(handshake.seen.group).toBe(groups.secp256r1);
    expect(handshake.takeFlight()!.toString('hex')).toBe(trace.clientFlight + trace.clientCloseNotify);
  });

  it('section 6: the server asks for a certificate and gets none', () => {
    const trace = traces.clientAuthentication;
    const { handshake } = play(trace);
    handshake.receive(hex(trace.serverHello + trace.serverFlight));
    expect(handshake.finished).toBe(true);
    expect(handshake.seen.signatureScheme).toBe(0x0403);
    expect(Buffer.from(handshake.seen.chain[0]!)).toEqual(certificateOf(trace));
  });

  it('section 7: middlebox compatibility mode, flight byte for byte', () => {
    const trace = traces.compatibility;
    const { handshake } = play(trace);
    handshake.receive(hex(trace.serverHello + trace.serverFlight));
    expect(handshake.takeFlight()!.toString('hex')).toBe(trace.clientFlight + trace.clientCloseNotify);
  });

  it.each(['simple', 'helloRetryRequest', 'clientAuthentication', 'compatibility'] as const)(
    '%s: comes out the same one byte at a time',
    (name) => {
      const trace = traces[name];
      const { handshake } = play(trace);
      for (const byte of hex((trace.helloRetryRequest ?? '') + trace.serverHello + trace.serverFlight)) {
        handshake.receive(Buffer.from([byte]));
      }
      expect(handshake.finished).toBe(true);
    },
  );

  it('one flipped bit anywhere in the encrypted flight is noticed', () => {
    const flight = hex(traces.simple.serverFlight);
    for (let at = 5; at < flight.length; at += 13) {
      const { handshake } = play(traces.simple);
      handshake.receive(hex(traces.simple.serverHello));
      const flipped = Buffer.from(flight);
      flipped[at]! ^= 0x40;
      expect(() => handshake.receive(flipped)).toThrow('does not decrypt');
      expect(handshake.seen.possessionProven).toBe(false);
    }
  });
});
