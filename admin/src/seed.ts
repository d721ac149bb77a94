/** `mecai-admin seed`: who a process is at NATS. */
import { parseArgs } from 'node:util';
import { isName } from '@mecai/proto';
import { createUser } from '@nats-io/nkeys';
import type { Command } from './admin.ts';
import { AdminError } from './error.ts';
import { processRoles } from './nats-users.ts';

const options = { name: { type: 'string' }, role: { type: 'string' } } as const;

export const seed: Command = {
  summary: 'a seed with which a process connects to NATS',
  usage: `usage: mecai-admin seed --name <name> --role ${processRoles.join('|')}

  Makes an nkey. The first line is the seed, for the file that \`nats.seedFile\` of the process names; it is shown once.
  The second is its entry for the list that \`agents nats-users --others\` reads. The name is the one in the
  configuration of the process. Agents make their own.`,
  run(args) {
    const { name = '', role = '' } = parseArgs({ args: [...args], options }).values;
    if (!isName(name)) throw new AdminError('wrong-usage', '--name: lower-case letters, digits and hyphens');
    if (!processRoles.some((one) => one === role))
      throw new AdminError('wrong-usage', `--role: one of ${processRoles.join(', ')}`);
    const user = createUser();
    console.log(Buffer.from(user.getSeed()).toString());
    console.log(JSON.stringify({ name, role, natsKey: user.getPublicKey() }));
    return Promise.resolve();
  },
};
