/** Every role tries every subject that there is, in its own name and in another's: what is not its own is refused. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inboxPrefix, natsPermissions } from '@mecai/proto';
import { connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from './nats-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-permissions-'));
const roles = {
  lima: natsPermissions.agent('lima'),
  va1: natsPermissions.coordinator('va1'),
  sink: natsPermissions.analytics('sink'),
  campaigns: natsPermissions.campaigns('campaigns'),
  operator: natsPermissions.operator,
  leaf: natsPermissions.leaf(['lima', 'rome']),
};
type Role = keyof typeof roles;
const users = new Map(Object.keys(roles).map((name) => [name, nkeys.createUser()]));

let server: NatsServer;
beforeAll(async () => {
  // No streams: whoever may delete one finds none.
  server = await startNatsServer({
    directory,
    users: Object.entries(roles).map(([name, { publish, subscribe }]) => ({
      name,
      publicNkey: users.get(name)!.getPublicKey(),
      publish,
      subscribe,
    })),
  });
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

const product = (...parts: readonly (readonly string[])[]): string[] =>
  parts.reduce<string[]>(
    (all, part) => all.flatMap((a) => part.map((b) => (a === '' ? b : `${a}.${b}`))),
    [''],
  );

const agents = ['lima', 'oslo', 'rome'];
const coordinators = ['va1', 'va2'];
const streams = ['OBSERVATIONS', 'RECORDS', 'DEAD_LETTERS', 'OTHER'];
const everywhere = [
  ...product(['mecai'], ['task', 'campaign', 'agent', 'echo'], agents),
  ...product(['mecai.observation'], agents, coordinators),
  ...product(['mecai.observation'], agents, ['campaign.campaigns', 'campaign.others']),
  ...product(['mecai.echoed'], agents, agents),
  ...product(['mecai'], ['registry', 'decision', 'mismatch', 'report'], coordinators),
  ...product(['mecai.dead-letter'], ['sink', 'sink2']),
  'mecai.other',
  'other',
  ...product(['_INBOX'], [...Object.keys(roles), 'oslo', 'rome', 'va2', 'sink2'], ['x']),
  ...product(['$JS.API'], ['INFO', 'STREAM.NAMES', 'STREAM.LIST', 'ACCOUNT.PURGE.x', 'SERVER.REMOVE']),
  // All of the server's API, as its sources have it (jsapi).
  ...product(
    ['$JS.API.STREAM'],
    [
      'CREATE',
      'UPDATE',
      'INFO',
      'DELETE',
      'PURGE',
      'SNAPSHOT',
      'RESTORE',
      'MSG.GET',
      'MSG.DELETE',
      'PEER.REMOVE',
      'LEADER.STEPDOWN',
      'TEMPLATE.CREATE',
    ],
    streams,
  ),
  ...product(['$JS.API.DIRECT.GET'], streams),
  ...product(['$JS.API.CONSUMER'], ['NAMES', 'LIST', 'CREATE'], streams),
  ...product(
    ['$JS.API.CONSUMER'],
    ['CREATE', 'DURABLE.CREATE', 'INFO', 'DELETE', 'MSG.NEXT', 'LEADER.STEPDOWN'],
    streams,
    ['sink', 'sink2', 'va1'],
  ),
  ...product(['$JS.ACK'], streams, ['sink', 'sink2'], ['1.1.1.1.0']),
  ...product(['$JS.FC'], streams, ['sink', 'x']),
  // Of a stream that is saved and one that is restored.
  ...product(['$JS.SNAPSHOT'], ['ACK', 'RESTORE'], streams, ['x']),
  '$JS.EVENT.ADVISORY.API',
  ...product(['$JS.EVENT.ADVISORY.STREAM'], ['LEADER_ELECTED', 'QUORUM_LOST'], streams),
  '$KV.bucket.key',
  '$SYS.REQ.SERVER.PING',
  '$SYS.ACCOUNT.x.CONNECT',
];
const wildcards = [
  '>',
  '*',
  '*.*',
  '*.*.*',
  'mecai.>',
  'mecai.*.*',
  'mecai.*.lima',
  'mecai.*.va1',
  'mecai.task.*',
  'mecai.agent.*',
  'mecai.echo.*',
  'mecai.echoed.*.*',
  'mecai.echoed.lima.*',
  'mecai.echoed.*.lima',
  'mecai.campaign.*',
  'mecai.observation.>',
  'mecai.observation.*.*',
  'mecai.observation.*.va1',
  'mecai.observation.*.va2',

  'mecai.observation.lima.*',
  'mecai.observation.*.campaign.*',
  'mecai.registry.*',
  'mecai.decision.*',
  'mecai.dead-letter.*',

  '_INBOX.>',
  '_INBOX.*',
  '_INBOX.*.>',
  '$JS.>',
  '$JS.API.>',
  '$JS.ACK.>',
  '$JS.EVENT.ADVISORY.>',
  '$JS.EVENT.ADVISORY.STREAM.*.*',
  '$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*',
  '$SYS.>',
  '$KV.>',
];

/** By hand, and not from the table that is tested. */
const expected: Readonly<Record<Role, { readonly publish: RegExp; readonly subscribe: RegExp }>> = {
  lima: {
    publish: /^mecai\.(observation\.lima\.(va\d|campaign\.\w+)|agent\.lima|echo\.lima|echoed\.\w+\.lima)$/,
    subscribe:
      /^(mecai\.((task|campaign)\.lima|echo\.(\w+|\*)|echoed\.lima\.(\w+|\*))|\$JS\.EVENT\.ADVISORY\.STREAM\.LEADER_ELECTED\.OBSERVATIONS|_INBOX\.lima\.x)$/,
  },
  va1: {
    publish:
      /^(mecai\.(task\.\w+|(registry|decision|mismatch|report)\.va1)|\$JS\.API\.(INFO|STREAM\.(INFO|CREATE)\.(OBSERVATIONS|RECORDS)))$/,
    subscribe:
      /^(mecai\.(observation\.(\w+|\*)\.va1|agent\.(\w+|\*))|\$JS\.EVENT\.ADVISORY\.STREAM\.LEADER_ELECTED\.RECORDS|_INBOX\.va1\.x)$/,
  },
  sink: {
    publish:
      /^(mecai\.dead-letter\.sink|\$JS\.API\.(INFO|STREAM\.(INFO|CREATE)\.(OBSERVATIONS|RECORDS|DEAD_LETTERS)|STREAM\.MSG\.GET\.(OBSERVATIONS|RECORDS)|CONSUMER\.(INFO|CREATE|MSG\.NEXT)\.(OBSERVATIONS|RECORDS)\.sink)|\$JS\.ACK\.(OBSERVATIONS|RECORDS)\.sink\.1\.1\.1\.1\.0)$/,
    subscribe: /^(mecai\.(agent|registry)\.(\w+|\*)|_INBOX\.sink\.x)$/,
  },
  campaigns: {
    publish: /^mecai\.campaign\.\w+$/,
    subscribe: /^(mecai\.agent\.(\w+|\*)|_INBOX\.campaigns\.x)$/,
  },
  operator: {
    publish: /^\$JS\.(API|SNAPSHOT)\./,
    subscribe: /^(mecai\..*|\$JS\.EVENT\.ADVISORY\.(>|API|STREAM\..*)|_INBOX\.operator\.x)$/,
  },
  leaf: {
    publish:
      /^mecai\.(observation\.(lima|rome)\.(va\d|campaign\.\w+)|agent\.(lima|rome)|echo\.(lima|rome)|echoed\.\w+\.(lima|rome))$/,
    subscribe:
      /^(mecai\.((task|campaign)\.(lima|rome)|echo\.(\w+|\*)|echoed\.(lima|rome)\.(\w+|\*))|\$JS\.EVENT\.ADVISORY\.STREAM\.LEADER_ELECTED\.OBSERVATIONS|_INBOX\.(lima|rome)\.x)$/,
  },
};

/** Subjects that the server refuses, by its own words. */
async function refused(
  name: Role,
  what: 'publish' | 'subscribe',
  subjects: readonly string[],
): Promise<Set<string>> {
  const connection = await connect({
    servers: server.url,
    authenticator: nkeyAuthenticator(users.get(name)!.getSeed()),
    inboxPrefix: inboxPrefix(name),
    reconnect: false,
  });
  const found = new Set<string>();
  const status = (async () => {
    for await (const event of connection.status()) {
      const [, subject] =
        (event.type === 'error' && /Permissions Violation for \w+ to "(.*?)"/i.exec(event.error.message)) ||
        [];
      if (subject !== undefined) found.add(subject);
    }
  })();
  for (const subject of subjects) {
    if (what === 'publish') connection.publish(subject, 'x');
    else connection.subscribe(subject, { callback: () => undefined });
  }
  await connection.flush();
  await connection.close();
  await status;
  return found;
}

describe.each(Object.keys(roles) as Role[])('%s', (role) => {
  it.each([
    ['publish', everywhere],
    ['subscribe', [...everywhere, ...wildcards]],
  ] as const)('may %s its own subjects only', async (what, subjects) => {
    const no = await refused(role, what, subjects);
    const allowed = subjects.filter((subject) => !no.has(subject));
    expect(allowed.toSorted()).toEqual(subjects.filter((one) => expected[role][what].test(one)).toSorted());
    // Each of them is something that this role does.
    expect(allowed.length).toBeGreaterThan(0);
  });
});
