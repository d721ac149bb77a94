import { type NatsPermissions, natsPermissions } from '@mecai/proto';
import * as z from 'zod';
import { AdminError } from './error.ts';

interface Agent {
  readonly name: string;
  readonly natsKey?: string;
}

const others = z.array(
  z.strictObject({
    name: z.string(),
    role: z.enum(['coordinator', 'analytics', 'campaigns', 'operator']),
    natsKey: z.string().regex(/^U[A-Z2-7]{55}$/, 'expected the public nkey of a user'),
  }),
);

/**
 * The `authorization` of nats-server, to be included in its configuration: every process a user with an nkey of its
 * own, allowed its own subjects only. The server reads it again on SIGHUP, and closes connections of users that are gone.
 *
 * @param text JSON: `[{ "name", "role", "natsKey" }]` of the processes that are no agents
 * @throws AdminError `wrong-usage`
 */
export function natsUsers({ agents }: { readonly agents: readonly Agent[] }, text: string): string {
  const entries = [
    ...parsed(text).map(({ name, role, natsKey }) => ({
      name,
      natsKey,
      permissions: role === 'operator' ? natsPermissions.operator : natsPermissions[role](name),
    })),
    ...agents.flatMap(({ name, natsKey }) =>
      natsKey === undefined ? [] : [{ name, natsKey, permissions: natsPermissions.agent(name) }],
    ),
  ];
  const users = entries.flatMap(({ name, natsKey, permissions }) => [
    `    # ${name}`,
    `    { nkey: ${natsKey}, permissions: ${inWords(permissions)} }`,
  ]);
  return `authorization {\n  users: [\n${users.join('\n')}\n  ]\n}\n`;
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
