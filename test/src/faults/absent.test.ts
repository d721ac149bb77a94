import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestVoucher } from '@mecai/client';
import type { ChainResult } from '@mecai/voucher';
import { discrepancies, readBooks } from './books.ts';
import { type Stage, eventually, setStage } from './stage.ts';

let stage: Stage;
const vouchers: Uint8Array[] = [];

beforeAll(async () => {
  stage = await setStage({
    coordinator: { probe: { timeoutMs: 2_000, transitMs: 500, graceMs: 500, absentAfterMs: 5_000 } },
  });
});
afterAll(() => stage.close());

async function ask(): Promise<ChainResult> {
  const { network, request, ca } = stage;
  const { results } = await requestVoucher(network.vrpUrl, request, { ca, timeoutMs: 20_000 });
  const [result] = results;
  if (result?.voucher) vouchers.push(result.voucher);
  return result!;
}

const untilIssued = () => eventually('a voucher', async () => (await ask()).status === 'issued', 15_000);

async function missing(): Promise<unknown> {
  const response = await fetch(`${stage.network.coordinator.ready['admin']!}/readyz`);
  const body: { missing: string[] } = JSON.parse(await response.text());
  expect(response.status).toBe(body.missing.length === 0 ? 200 : 503);
  return body.missing;
}

describe('absent at the start', () => {
  it('NATS and signer: the coordinator serves, says what is missing, and finds them when they come', async () => {
    const { coordinator, signer, nats } = stage.network;
    await untilIssued();
    for (const one of [coordinator, signer]) await one.signal('SIGKILL');
    await nats.stop();

    await coordinator.restart();
    expect(await missing()).toEqual(['NATS', 'signer']);
    expect(await ask()).toMatchObject({
      status: 'inconclusive',
      detail: 'NATS has not been reached yet',
      retryAfter: 10,
    });

    await nats.restart();
    await eventually('NATS reached', async () => !String(await missing()).includes('NATS'));
    expect(await ask()).toMatchObject({
      status: 'inconclusive',
      detail: 'the signer has not been reached yet',
    });

    await signer.restart();
    await untilIssued();
    expect(await missing()).toEqual([]);
  });

  it('NATS: an agent waits for it', async () => {
    const { nats, agents, coordinator } = stage.network;
    const agent = agents.get('frankfurt')!;
    await agent.signal('SIGKILL');
    await nats.stop();
    await agent.restart();
    expect((await fetch(`${agent.ready['admin']!}/readyz`)).status).toBe(503);
    await nats.restart();
    await eventually('the agent is ready', async () => (await fetch(`${agent.ready['admin']!}/readyz`)).ok);
    await untilIssued();
    await eventually('all are heard', async () => {
      const { perspectives } = await stage.status(coordinator.ready['admin']!);
      return JSON.stringify(perspectives).split('"heard":true').length === 7;
    });
  });
});

describe('stopped, not dead', () => {
  it('the signer: requests end in time, and the next ones work', async () => {
    const { signer } = stage.network;
    await signer.signal('SIGSTOP');
    const result = await ask();
    expect(result).toMatchObject({ status: 'inconclusive', detail: 'the signer did not answer in time' });
    await signer.signal('SIGCONT');
    await untilIssued();
  });

  it('NATS: no voucher, no alarm, and the next ones work', async () => {
    const { nats } = stage.network;
    nats.pause();
    const result = await ask();
    nats.resume();
    expect(result).toMatchObject({ status: 'inconclusive' });
    expect(result.detail).toMatch(/0 another, .*no-answer/);
    await untilIssued();
  });

  it('three agents: known to be absent after a while, which saves the wait', async () => {
    const three = ['frankfurt', 'montreal', 'singapore'].map((name) => stage.network.agents.get(name)!);
    for (const agent of three) await agent.signal('SIGSTOP');
    expect((await ask()).detail).toContain('no-answer');
    await eventually('they count as absent', async () =>
      Boolean((await ask()).detail?.includes('agent-absent')),
    );
    const begun = performance.now();
    const result = await ask();
    expect(performance.now() - begun).toBeLessThan(1_500);
    expect(result.detail).toMatch(/0 another, 3 none \(agent-absent\)/);
    for (const agent of three) await agent.signal('SIGCONT');
    await untilIssued();
  });
});

it('and the books are in order', async () => {
  await eventually('all records stored', async () => {
    const status = await stage.status(stage.network.coordinator.ready['admin']!);
    return status['recordsUnconfirmed'] === 0;
  });
  const books = await readBooks(stage.network);
  expect(vouchers.length).toBeGreaterThan(4);
  expect(discrepancies(books, vouchers)).toEqual([]);
  expect(books.mismatches).toEqual([]);
});
