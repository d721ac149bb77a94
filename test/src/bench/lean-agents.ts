/** Stand in for agents: answer each task at once with what was signed beforehand, and probe nothing. */
import { readFileSync } from 'node:fs';
import { AgentStatus, SignedObservation, inboxPrefix, subjects } from '@mecai/proto';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';

/** Where a Task has its nonce: field 1 of 32 octets. */
const nonceInTask = 2;
/** Where a SignedObservation has it: field 1, of 128 to 16,383 octets, and in it field 1. */
const nonceInEvidence = 5;
const statusEveryMs = 2_000;

export interface LeanAgent {
  readonly name: string;
  /** With the seed of its NATS user. */
  readonly seedFile: string;
  /** About the target that every task is about. The signature does not hold for the nonces to come. */
  readonly observation: SignedObservation;
}

/** @returns what stops them */
export async function startLeanAgents(
  url: string,
  coordinator: string,
  agents: readonly LeanAgent[],
): Promise<() => Promise<void>> {
  const stops = await Promise.all(agents.map((agent) => startOne(url, coordinator, agent)));
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

async function startOne(url: string, coordinator: string, { name, seedFile, observation }: LeanAgent) {
  const nats = await connect({
    servers: url,
    authenticator: nkeyAuthenticator(readFileSync(seedFile)),
    inboxPrefix: inboxPrefix(name),
    noAsyncTraces: true,
  });
  const evidence = Buffer.from(SignedObservation.encode(observation).finish());
  const subject = subjects.observation(name, coordinator);
  nats.subscribe(subjects.task(name), {
    callback: (_error, { data }) => {
      const answer = Buffer.from(evidence);
      answer.set(data.subarray(nonceInTask, nonceInTask + 32), nonceInEvidence);
      nats.publish(subject, answer);
    },
  });
  const sayAlive = () => {
    const status: AgentStatus = {
      sentAt: Date.now(),
      probesInFlight: 0,
      unconfirmed: 0,
      locationCheck: 'agrees',
      contradictions: [],
      roundTrip: undefined,
      stopping: false,
    };
    nats.publish(subjects.agentStatus(name), AgentStatus.encode(status).finish());
  };
  sayAlive();
  const beat = setInterval(sayAlive, statusEveryMs);
  return async () => {
    clearInterval(beat);
    await nats.close();
  };
}
