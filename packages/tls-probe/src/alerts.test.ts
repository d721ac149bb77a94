import { describe, expect, it } from 'vitest';
import { contentTypes, plainRecord } from './record-format.ts';
import { fails } from './testing/run13.ts';
import { startHandshake } from './testing/setup.ts';

describe('alerts', () => {
  const received = (...records: Buffer[]) => {
    const handshake = startHandshake();
    handshake.takeFlight();
    try {
      handshake.receive(Buffer.concat(records));
    } catch (error) {
      return error;
    }
    return handshake;
  };
  const alert = (level: number, description: number) =>
    plainRecord(contentTypes.alert, Buffer.from([level, description]));

  it('end the handshake with their number', () => {
    expect(received(alert(2, 112))).toEqual(
      expect.objectContaining({ code: 'alert', receivedAlert: 112, owedAlert: undefined }),
    );
    expect(received(alert(1, 0))).toEqual(expect.objectContaining({ code: 'closed' }));
  });

  it('that only warn are ignored, but not for ever', () => {
    expect(received(alert(1, 112), alert(1, 112))).toEqual(expect.objectContaining({ finished: false }));
    expect(received(...Array.from({ length: 17 }, () => alert(1, 112)))).toEqual(
      expect.objectContaining({ code: 'alert' }),
    );
  });

  it('must be of two bytes', () => {
    expect(received(plainRecord(contentTypes.alert, Buffer.from([2])))).toEqual(fails('protocol-error', 50));
    expect(received(alert(3, 40))).toEqual(fails('protocol-error', 47));
  });
});
