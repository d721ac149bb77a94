import { RefusalCode } from '@mecai/proto/signer';
import { expect, it } from 'vitest';
import { HsmHealth } from './hsm-health.ts';
import { refusal } from './testing/attempts.ts';
import { createWorld, coordinator, start, subjectOf } from './testing/world.ts';

function failing() {
  const state = { broken: false, asked: 0, time: start.getTime() };
  const health = new HsmHealth({
    sign: (bytes) => {
      state.asked++;
      if (state.broken) throw new Error('device removed');
      return bytes;
    },
    now: () => state.time,
    uptime: () => state.time,
  });
  return { state, health };
}

it('an HSM that signs is not asked besides', () => {
  const { state, health } = failing();
  expect(health.refusal).toBeUndefined();
  expect(health.sign(Uint8Array.of(1))).toEqual(Uint8Array.of(1));
  state.time += 3_600_000;
  expect([health.refusal, state.asked]).toEqual([undefined, 1]);
});

it('one that does not is tried once a second, and is found again', () => {
  const { state, health } = failing();
  state.broken = true;
  expect(() => health.sign(Uint8Array.of(1))).toThrow('device removed');
  const why = `the HSM does not sign since ${start.toISOString()}`;
  for (let i = 0; i < 40; i++, state.time += 100) expect(health.refusal).toBe(why);
  expect(state.asked).toBe(1 + 3);
  state.broken = false;
  state.time += 1_000;
  expect([health.refusal, state.asked]).toEqual([undefined, 5]);
});

it('meanwhile nobody gets a draw', async () => {
  const { state, health } = failing();
  const world = createWorld({ hsm: health });
  state.broken = true;
  expect(() => health.sign(Uint8Array.of(1))).toThrow('device removed');
  const refused = await refusal(() => world.issuance.draw(subjectOf(), coordinator));
  expect(refused).toMatchObject({ code: RefusalCode.REFUSAL_CODE_INTERNAL, detail: health.refusal });
  state.broken = false;
  state.time += 1_000;
  expect(world.issuance.draw(subjectOf(), coordinator).agents).toHaveLength(6);
});
