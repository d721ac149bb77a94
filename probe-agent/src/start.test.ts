import { Observation, SignedObservation, Task, subjects } from '@mecai/proto';
import { describe, expect, it } from 'vitest';
import {
  answerOf,
  ask,
  campaignAnswer,
  configFile,
  failures,
  heard,
  nats,
  running,
  server,
  setBed,
  start,
  statuses,
  stop,
  until,
  va1,
} from './testing/agent-bed.ts';
import { silentServer } from './testing/servers.ts';

setBed();

describe('an agent', () => {
  it('that is asked twice answers twice, octet for octet, and looks once', async () => {
    await start();
    const { signed } = await answerOf();
    const { nonce, target } = Observation.decode(signed.observation);
    const looked = server.peers.length;
    const task = { nonce, targets: [target!], timeoutMs: 5_000, coordinator: 'va1' };
    va1.publish(subjects.task('oslo'), Task.encode(task).finish());
    const both = await until(() => heard.length === 2 && heard);
    expect(
      both.map(({ signed: one }) => Buffer.from(SignedObservation.encode(one).finish()).toString('hex')),
    ).toEqual(
      [signed, signed].map((one) => Buffer.from(SignedObservation.encode(one).finish()).toString('hex')),
    );
    expect(server.peers.length).toBe(looked);
  });

  it('says every two seconds that it is alive', async () => {
    await start();
    await until(() => statuses.length >= 2);
    expect(statuses[1]!.status.sentAt - statuses[0]!.status.sentAt).toBeGreaterThan(1_500);
  });

  it('answers campaigns where coordinators do not hear it', async () => {
    await start();
    const { observation, subject } = await campaignAnswer();
    expect(observation.failure).toBeUndefined();
    expect(observation.chain).not.toEqual([]);
    expect(subject).toBe('mecai.observation.oslo.campaign.campaigns');
    await va1.flush();
    expect(heard).toEqual([]);
  });

  it('that is stopped answers what it has accepted, and keeps it', async () => {
    const silent = await silentServer();
    await start();
    await ask({ port: silent.port }, 1_000);
    await silent.connected;
    await stop();
    await silent.close();
    expect(heard.map(({ observation }) => observation.failure?.class)).toEqual(['timeout-handshake']);
    const kept = (await nats.stored()).map(({ nonce }) => Buffer.from(nonce).toString('hex'));
    expect(kept).toContain(Buffer.from(heard[0]!.observation.nonce).toString('hex'));
    expect(failures).toEqual([]);
  });

  it('is ready only while NATS is there, comes back by itself, and stops without it', async () => {
    await start();
    const readyz = async () => (await fetch(`${String(running!.ready['admin'])}/readyz`)).status;
    await answerOf();
    expect(await readyz()).toBe(200);
    await nats.server.stop();
    while ((await readyz()) !== 503);
    await nats.server.restart();
    while ((await readyz()) !== 200);
    heard.length = 0;
    await va1.flush().catch(() => undefined);
    expect((await answerOf()).observation.possessionProven).toBe(true);
    await nats.server.stop();
    while ((await readyz()) !== 503);
    await stop();
    await nats.server.restart();
    expect(failures).toEqual([]);
  });
});

it('reloads its limits while it runs; a name is for good', async () => {
  await start({ probe: { inFlight: 1 } });
  configFile({ probe: { inFlight: 5 }, allowedTargets: [] });
  expect(await running!.reload!()).toEqual(['probe.inFlight', 'allowedTargets']);
  const asked = await ask();
  expect((await asked.answer()).observation.failure).toMatchObject({ class: 'forbidden-target' });
  configFile({ name: 'bergen' });
  await expect(running!.reload!()).rejects.toMatchObject({
    code: 'needs-restart',
    message: expect.stringContaining(': name; ') as string,
  });
  configFile({ allowedTargets: ['127.0.0.0/33'] });
  await expect(running!.reload!()).rejects.toMatchObject({
    code: 'bad-configuration',
    message: expect.stringMatching(/allowedTargets\.0: expected a prefix.*, in line 1$/) as string,
  });
});

it('says that it stops before it takes no more, and answers what comes until then', async () => {
  await start();
  const { admin } = running!.ready;
  await until(() => statuses.length > 0);
  const stopped = stop();
  await until(() => statuses.some(({ status }) => status.stopping));
  // Whoever asks before it has heard is answered.
  const asked = await ask();
  const readiness = await fetch(`${String(admin)}/readyz`);
  expect([readiness.status, await readiness.json()]).toEqual([503, { ready: false, missing: ['stopping'] }]);
  expect((await asked.answer()).observation.possessionProven).toBe(true);
  await stopped;
});
