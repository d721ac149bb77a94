/**
 * What each process may publish and subscribe to, and nothing else. The lists go into the `permissions` of a
 * user of nats-server; names are single subject tokens (`isName`).
 *
 * The answers of JetStream come to the reply subject, hence to the inbox, which every name has of its own:
 * connect with `inboxPrefix: inboxPrefix(name)`, or nothing ever comes back.
 */
import { deadLetters } from './streams.ts';
import { isName, leaderElected, streams, subjects } from './subjects.ts';

export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Only the holder of `name` can read replies below it. */
export const inboxPrefix = (name: string): string => `_INBOX.${token(name)}`;

const inbox = (name: string) => `${inboxPrefix(name)}.>`;

/** Creating a stream that is there already, with other settings, is refused: no right to update or delete. */
const ensure = (stream: string) => [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.CREATE.${stream}`];

/** A durable consumer named after the process: look, create, pull, acknowledge. */
const consume = (stream: string, name: string) => [
  `$JS.API.CONSUMER.INFO.${stream}.${name}`,
  `$JS.API.CONSUMER.CREATE.${stream}.${name}`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`,
  `$JS.ACK.${stream}.${name}.>`,
  // By number: what the consumer has passed over.
  `$JS.API.STREAM.MSG.GET.${stream}`,
];

export const natsPermissions = {
  /** Answers its own tasks; does not see other agents' tasks or answers. */
  agent: (name: string): NatsPermissions => ({
    publish: [
      subjects.observation(token(name), '*'),
      subjects.campaignObservation(name, '*'),
      subjects.agentStatus(name),
      subjects.echo(name),
      subjects.echoed('*', name),
    ],
    subscribe: [
      subjects.task(name),
      subjects.campaignTask(name),
      subjects.echo('*'),
      subjects.echoed(name, '*'),
      leaderElected(streams.observations.name),
      inbox(name),
    ],
  }),

  /** A region's leaf node, towards the cluster: what its agents may do, and nothing else. */
  leaf: (agents: readonly string[]): NatsPermissions => {
    const theirs = agents.map((name) => natsPermissions.agent(name));
    return {
      publish: [...new Set(theirs.flatMap(({ publish }) => publish))],
      subscribe: [...new Set(theirs.flatMap(({ subscribe }) => subscribe))],
    };
  },

  coordinator: (name: string): NatsPermissions => ({
    publish: [
      subjects.task('*'),
      subjects.registry(token(name)),
      subjects.decision(name),
      subjects.mismatch(name),
      subjects.report(name),
      '$JS.API.INFO',
      ...ensure(streams.observations.name),
      ...ensure(streams.records.name),
    ],
    subscribe: [
      subjects.observation('*', name),
      subjects.agentStatus('*'),
      leaderElected(streams.records.name),
      inbox(name),
    ],
  }),

  analytics: (name: string): NatsPermissions => ({
    publish: [
      deadLetters.subject(token(name)),
      '$JS.API.INFO',
      ...ensure(streams.observations.name),
      ...ensure(streams.records.name),
      ...ensure(deadLetters.name),
      ...consume(streams.observations.name, name),
      ...consume(streams.records.name, name),
    ],
    subscribe: [subjects.agentStatus('*'), subjects.registry('*'), inbox(name)],
  }),

  /** Asks agents to look once more at what is known. No coordinator hears the answers, so none can count for a voucher. */
  campaigns: (name: string): NatsPermissions => ({
    publish: [subjects.campaignTask('*')],
    subscribe: [subjects.agentStatus('*'), inbox(token(name))],
  }),

  /** Administers the streams, saves and restores them, and reads everything; cannot ask, answer or decide. */
  operator: {
    publish: ['$JS.API.>', '$JS.SNAPSHOT.>'],
    subscribe: ['mecai.>', '$JS.EVENT.ADVISORY.>', inbox('operator')],
  } satisfies NatsPermissions as NatsPermissions,
} as const;

/** @throws TypeError for what would be a wildcard, or more than one token */
function token(name: string): string {
  if (!isName(name)) throw new TypeError(`${JSON.stringify(name)} is not a name`);
  return name;
}
