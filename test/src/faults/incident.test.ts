import { requestVoucher } from '@mecai/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stage, eventually, setStage } from './stage.ts';

let stage: Stage;

beforeAll(async () => {
  stage = await setStage({ analytics: { detection: { everySeconds: 0.5 } } });
});
afterAll(() => stage.close());

interface Status {
  readonly detection: { readonly openIncidents: number };
}

const analyticsStatus = async () =>
  (await (await fetch(`${stage.network.analytics!.ready['admin']!}/status`)).json()) as Status;

async function ask() {
  const { network, request, ca } = stage;
  return (await requestVoucher(network.vrpUrl, request, { ca })).results[0]!;
}

it('an interception in front of one region is an open incident within a minute, and none before', async () => {
  expect((await ask()).status).toBe('issued');
  expect((await analyticsStatus()).detection.openIncidents).toBe(0);
  stage.intercept(['singapore', 'sydney']);
  expect((await ask()).status).toBe('issued');
  await eventually(
    'an incident',
    async () => (await analyticsStatus()).detection.openIncidents === 1,
    60_000,
  );
});
