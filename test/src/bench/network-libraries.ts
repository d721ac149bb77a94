/**
 * What the libraries alone cost for one voucher's messages, measured on the same machine just after the real parts: as
 * fast as they can, and as often as the real parts did it. They are far apart: at full speed one turn of the event loop
 * serves many messages with warm caches, and at a few hundred a second nearly each message wakes its process by itself.
 */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { keyPem, pem, rootCa, svid } from '../network/certificates.ts';
import { Workshop } from '../network/workshop.ts';
import { startNatsServer } from '../parts/nats-server.ts';
import type { Plan } from './bare-parts.ts';
import { cpuSeconds } from './process-cpu.ts';

const secondsOfWarmUp = 5;
const secondsPerRun = 5;

const perspectives = 6;
const evidence = 4;
const outstanding = 64;

/** Microseconds of CPU a voucher, by part. */
export type Costs = Readonly<Record<string, number>>;

/**
 * @param directory of a network: files of its own are put beside
 * @param chain octets of the certificates asked about
 * @param perSecond vouchers that the real parts issued; without it nothing is paced
 */
export async function librariesAlone(
  directory: string,
  chain: number,
  perSecond?: number,
): Promise<{ readonly saturated: Costs; readonly paced: Costs }> {
  const workshop = new Workshop(directory, ['bare']);
  const ca = rootCa('Bare CA');
  // For both ends of each connection.
  const certificate = svid(ca, 'spiffe://bare.test/part', { dns: ['localhost'] });
  const tls = {
    certificate: workshop.write('bare.pem', pem(certificate)),
    key: workshop.write('bare.key', keyPem(certificate), 0o600),
    ca: workshop.write('bare-ca.pem', pem(ca)),
  };
  const nats = await startNatsServer({ directory: workshop.at('bare', 'nats') });
  const operator = await connect({ servers: nats.url });
  await (await jetstreamManager(operator)).streams.add({ name: 'RECORDS', subjects: ['record'] });
  await operator.close();

  // As measured between the real parts, in round figures.
  const octets = {
    draw: chain + 100,
    drawn: 2 * chain + 300,
    task: 150,
    observation: chain + 350,
    evidence: evidence * (chain + 350),
    issued: 1_600,
    record: 2_300,
    answer: 1_800,
  };
  const plan: Plan = { nats: nats.url, tls, perspectives, octets };
  const children: ReturnType<typeof fork>[] = [];
  const start = async (role: string, more: Partial<Plan> = {}) => {
    const child = fork(join(import.meta.dirname, 'bare-parts.ts'), [
      role,
      JSON.stringify({ ...plan, ...more }),
    ]);
    children.push(child);
    const [{ at }] = (await once(child, 'message')) as [{ at: string }];
    return { at, pid: child.pid! };
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 64, ca: readFileSync(tls.ca) });
  try {
    const signer = await start('signer');
    await start('agents');
    const coordinator = await start('coordinator', { signer: signer.at });
    const parts = { coordinator: coordinator.pid, signer: signer.pid, NATS: nats.pid };
    const body = Buffer.alloc(octets.draw);
    await load(coordinator.at, agent, body, secondsOfWarmUp);
    const cost = async (rate?: number): Promise<Costs> => {
      const before = Object.values(parts).map(cpuSeconds);
      const answered = await load(coordinator.at, agent, body, secondsPerRun, rate);
      const each = Object.entries(parts).map(
        ([name, pid], i) => [name, ((cpuSeconds(pid) - before[i]!) * 1e6) / answered] as const,
      );
      return Object.fromEntries(each);
    };
    return { saturated: await cost(), paced: perSecond === undefined ? {} : await cost(perSecond) };
  } finally {
    agent.destroy();
    for (const child of children) if (child.connected) child.disconnect();
    await nats.stop();
  }
}

/** @returns how many were answered */
async function load(
  url: string,
  agent: Agent,
  body: Buffer,
  seconds: number,
  perSecond = Number.POSITIVE_INFINITY,
): Promise<number> {
  const since = performance.now();
  const until = since + seconds * 1000;
  let begun = 0;
  let answered = 0;
  await Promise.all(
    Array.from({ length: outstanding }, async () => {
      for (;;) {
        const due = Math.max(since + (begun++ * 1000) / perSecond, performance.now());
        if (due >= until) return;
        if (due > performance.now()) await delay(due - performance.now());
        const sent = request(url, { agent, method: 'POST', headers: { 'content-length': body.length } });
        sent.end(body);
        const [answer] = (await once(sent, 'response')) as [IncomingMessage];
        await once(answer.resume(), 'end');
        answered++;
      }
    }),
  );
  return answered;
}
