import { type NatsPermissions, isName, natsPermissions } from '@mecai/proto';
import * as z from 'zod';
import { AdminError } from './error.ts';

interface Agent {
  readonly name: string;
  readonly natsKey?: string;
}

/** Of processes that are no agents, as what each may do is named. */
export const processRoles = ['coordinator', 'analytics', 'campaigns', 'operator'] as const;

const others = z.array(
  z.discriminatedUnion('role', [
    z.strictObject({
      name: z.string(),
      role: z.enum(processRoles),
      natsKey: z.string().regex(/^U[A-Z2-7]{55}$/, 'expected the public nkey of a user'),
    }),
    z.strictObject({
      name: z.string().refine(isName, 'lower-case letters, digits and hyphens'),
      role: z.literal('leaf'),
      password: z.string().regex(/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/, 'expected a bcrypt hash'),
      /** Names of the agents of its region. */
      agents: z.array(z.string()).min(1),
    }),
  ]),
);

/** Whom nodes take for a leaf node that names no user: `no_auth_user` in their configuration. */
const nobody = [
  '    # nobody',
  '    { user: nobody, password: none, allowed_connection_types: ["LEAFNODE"], permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }',
];

/**
 * The `authorization` of nats-server, to be included in its configuration: every process a user with an nkey of its
 * own, allowed its own subjects only. The server reads it again on SIGHUP, and closes connections of users that are gone.
 *
 * @param text JSON: `[{ "name", "role", "natsKey" }]` of the processes that are no agents; of leaf nodes
 *   `{ "name", "role": "leaf", "password": <bcrypt>, "agents": [<name>] }`, since servers of 2.9 know no nkeys between them
 * @throws AdminError `wrong-usage`
 */
export function natsUsers({ agents }: { readonly agents: readonly Agent[] }, text: string): string {
  const entries = [
    ...parsed(text).map((other) => ({ name: other.name, ...user(other) })),
    ...agents.flatMap(({ name, natsKey }) =>
      natsKey === undefined
        ? []
        : [{ name, who: `nkey: ${natsKey}`, permissions: natsPermissions.agent(name) }],
    ),
  ];
  const users = entries.flatMap(({ name, who, permissions }) => [
    `    # ${name}`,
    `    { ${who}, permissions: ${inWords(permissions)} }`,
  ]);
  return `authorization {\n  users: [\n${[...users, ...nobody].join('\n')}\n  ]\n}\n`;
}

function user(other: z.output<typeof others>[number]): { who: string; permissions: NatsPermissions } {
  switch (other.role) {
    case 'leaf':
      return {
        who: `user: ${other.name}, password: "${other.password}"`,
        permissions: natsPermissions.leaf(other.agents),
      };
    case 'operator':
      return { who: `nkey: ${other.natsKey}`, permissions: natsPermissions.operator };
    default:
      return { who: `nkey: ${other.natsKey}`, permissions: natsPermissions[other.role](other.name) };
  }
}

function inWords({ publish, subscribe }: NatsPermissions): string {
  const list = (subjects: readonly string[]) => subjects.map((subject) => JSON.stringify(subject)).join(', ');
  return `{ publish: [${list(publish)}], subscribe: [${list(subscribe)}] }`;
}

function parsed(text: string): z.output<typeof others> {
  try {
    return others.parse(JSON.parse(text));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : 'not JSON';
    throw new AdminError('wrong-usage', `other users: ${why}`, { cause });
  }
}
