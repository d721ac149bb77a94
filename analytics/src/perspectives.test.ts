import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signEcho, signRoundTrip } from '@mecai/corroboration';
import { AgentStatus, subjects } from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agents } from './agents.ts';
import { Perspectives } from './perspectives.ts';
import { type TestNetwork, startNetwork } from './testing/network.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-perspectives-'));
let network: TestNetwork;
beforeAll(async () => {
  network = await startNetwork(directory);
});
afterAll(async () => {
  await network.nats.stop();
  rmSync(directory, { recursive: true });
});

it('knows who lives, who fell silent, who was never heard, and whose clock is ahead', async () => {
  let now = 1_700_000_000_000;
  const perspectives = new Perspectives(new Agents(network.registry, createLogger('x', 'silent')), () => now);
  const analytics = await network.as('analytics');
  perspectives.follow(analytics);
  await analytics.flush();
  const say = async (name: string, status: Partial<AgentStatus>) => {
    const agent = await network.as(name);
    const whole = {
      sentAt: now,
      probesInFlight: 0,
      unconfirmed: 0,
      locationCheck: 'agrees',
      contradictions: [],
      roundTrip: undefined,
      stopping: false,
    };
    agent.publish(subjects.agentStatus(name), AgentStatus.encode({ ...whole, ...status }).finish());
    agent.publish(subjects.agentStatus(name), Uint8Array.of(0xff));
    await agent.drain();
  };
  const of = (name: string) => perspectives.list().find(({ agent }) => agent === name)!;
  expect(new Set(perspectives.list().map(({ state }) => state))).toEqual(new Set(['unheard']));
  await say('lima', { sentAt: now + 250, probesInFlight: 3 });
  await expect.poll(() => of('lima').state).toBe('alive');
  expect(of('lima')).toMatchObject({ city: 'Lima', clockAheadMs: 250, probesInFlight: 3 });
  now += 11_000;
  await say('oslo', { locationCheck: 'contradicts', contradictions: ['country: declared NO, GeoIP SE'] });
  await expect.poll(() => of('oslo').state).toBe('alive');
  expect(of('oslo').contradictions).toEqual(['country: declared NO, GeoIP SE']);
  expect([of('lima').state, of('tokyo').state]).toEqual(['silent', 'unheard']);
  expect(of('tokyo')).toMatchObject({ locationCheck: 'not-checked', contradictions: [] });
  // Half around the world and back in 3 ms.
  const nonce = new Uint8Array(32).fill(7);
  const echo = signEcho('oslo', 'tokyo', nonce, network.keys.get('tokyo')!);
  const trip = { peer: 'tokyo', micros: 3_000, nonce, echo };
  await say('oslo', { roundTrip: signRoundTrip('oslo', trip, network.keys.get('oslo')!) });
  await expect
    .poll(() => of('tokyo').contradictions)
    .toEqual([expect.stringMatching(/^place: oslo is 3.0 ms/)]);
  expect(of('tokyo').locationCheck).toBe('contradicts');
  await analytics.close();
});
