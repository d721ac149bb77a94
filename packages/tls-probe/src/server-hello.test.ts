/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { describe, expect, it } from 'vitest';
import { extension, extensionTypes } from './extensions.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { fails } from './testing/run13.ts';
import { readClientHello, vector16 } from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

describe('ServerHello', () => {
  const answered = (change: (hello: ReturnType<typeof readClientHello>) => Buffer) => {
    const handshake = startHandshake();
    const hello = readClientHello(handshake.takeFlight()!);
    try {
      handshake.receive(plainRecord(contentTypes.handshake, change(hello)));
    } catch (error) {
      return error;
    }
    return handshake;
  };
  const hello = (...parts: (string | Buffer)[]) =>
    message(
      handshakeTypes.serverHello,
      ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : part)),
    );
  const random = Buffer.alloc(32, 1);

  it('of an older version is told apart from nonsense', () => {
    expect(answered(() => hello('0301', random, '00002f00'))).toEqual(fails('no-common-parameters', 70));
    expect(answered(() => hello('0300', random, '00002f00'))).toEqual(fails('no-common-parameters', 70));
    expect(answered(() => hello('0304', random, '00c02b00'))).toEqual(fails('protocol-error', 70));
  });

  it('must keep to what was offered', () => {
    expect(answered(() => hello('0303', random, '00000500'))).toEqual(fails('protocol-error', 47));
    const mixed = answered(() => hello('0303', random, '00130100'));
    expect(mixed).toMatchObject({ message: 'cipher suite 0x1301 does not belong to version 0x0303' });
    expect(answered(() => hello('0303', random, '00c02b01'))).toEqual(fails('protocol-error', 47));
    expect(answered(() => hello('0303', random, '00c02b', '00', '0004', '12340000'))).toEqual(
      fails('protocol-error', 110),
    );
  });

  it('must echo the session id in 1.3 and must not in 1.2', () => {
    const share = Buffer.concat([Buffer.from('00330024001d0020', 'hex'), Buffer.alloc(32, 9)]);
    const extensions = Buffer.concat([Buffer.from('002b00020304', 'hex'), share]);
    const sized = vector16(extensions);
    expect(answered(() => hello('0303', random, '00130100', sized))).toEqual(fails('protocol-error', 47));
    expect(answered(({ sessionId }) => hello('0303', random, '20', sessionId, 'c02b00'))).toEqual(
      fails('protocol-error', 47),
    );
  });

  it('must be alone under its keys in 1.3', () => {
    const extraByte = (client: ReturnType<typeof readClientHello>) => {
      const share = Buffer.concat([Buffer.from('00330024001d0020', 'hex'), Buffer.alloc(32, 9)]);
      const sized = vector16(Buffer.concat([Buffer.from('002b00020304', 'hex'), share]));
      return Buffer.concat([
        hello('0303', random, '20', client.sessionId, '130100', sized),
        Buffer.from([8]),
      ]);
    };
    expect(answered(extraByte)).toEqual(fails('protocol-error', 10));
  });

  it('may not carry a share of low order, or of another group', () => {
    const withShare = (entry: string) => (client: ReturnType<typeof readClientHello>) => {
      const share = extension(extensionTypes.keyShare, Buffer.from(entry, 'hex'));
      const sized = vector16(Buffer.concat([Buffer.from('002b00020304', 'hex'), share]));
      return hello('0303', random, '20', client.sessionId, '130100', sized);
    };
    expect(answered(withShare(`001d0020${'00'.repeat(32)}`))).toEqual(fails('protocol-error', 47));
    expect(answered(withShare(`001d001f${'09'.repeat(31)}`))).toEqual(fails('protocol-error', 47));
    expect(answered(withShare(`00170020${'09'.repeat(32)}`))).toEqual(fails('protocol-error', 47));
  });
});
