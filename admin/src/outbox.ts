/** `mecai-admin outbox`: mails and webhook calls, sent and unsent. */
import { parseArgs } from 'node:util';
import type {
  BounceDeliveryResponse,
  Delivery,
  DropDeliveryResponse,
  ListDeliveriesResponse,
  RetryDeliveryResponse,
} from '@mecai/proto/coordinator';
import type { Command } from './admin.ts';
import { iso, plainDelivery, printable, triesWords } from './certificate-words.ts';
import { ask, limitOf, misused, withCoordinator } from './coordinator.ts';

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  state: { type: 'string', multiple: true },
  limit: { type: 'string' },
  detail: { type: 'string' },
  recipient: { type: 'string' },
} as const;

const verbs: readonly string[] = ['list', 'retry', 'drop', 'bounce'];

export const outbox: Command = {
  summary: 'notices and alerts on their way by mail',
  usage: `usage: mecai-admin outbox <command> --config <file.json> [--json]

  list           the newest first   [--state waiting|sent|dead|bounced|dropped …] [--limit <n>]
                 dead and bounced ones are the dead-letter list
  retry <id>     at once, and anew where it is dead or has bounced
  drop <id>      it is not tried again
  bounce <id>    it came back       [--detail <text>]
  bounce         reads what came back to the bounces' mailbox from standard input, such as a mail server's
                 pipe has it; --recipient <address> says where it came to. What is no bounce is passed over`,
  async run(args, environment) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [verb, id = '', ...rest] = positionals;
    if (rest.length > 0) throw misused('outbox list, retry, drop or bounce');
    if (verb === undefined) throw misused('list, retry, drop or bounce?');
    if (!verbs.includes(verb)) throw misused(`no command ${verb}`);
    if (verb === 'list' && id !== '') throw misused('list takes no id');
    if (verb !== 'list' && verb !== 'bounce' && id === '') throw misused(`${verb} one delivery, by its id`);
    const { detail = '', recipient = '', state = [], json = false } = values;
    const limit = limitOf(values.limit);
    const report = verb === 'bounce' && id === '' ? await readInput() : new Uint8Array();
    await withCoordinator(values.config, environment, async ({ outbox: client }) => {
      switch (verb) {
        case 'list': {
          const { deliveries } = await ask<ListDeliveriesResponse>((...within) =>
            client.listDeliveries({ states: state, limit }, ...within),
          );
          if (!json && deliveries.length === 0) console.log('there is nothing like that in the outbox');
          for (const one of deliveries) console.log(json ? JSON.stringify(plainDelivery(one)) : words(one));
          return;
        }
        case 'retry':
          await ask<RetryDeliveryResponse>((...within) => client.retryDelivery({ id }, ...within));
          console.log(`${id} is tried at once`);
          return;
        case 'drop':
          await ask<DropDeliveryResponse>((...within) => client.dropDelivery({ id }, ...within));
          console.log(`${id} is dropped`);
          return;
        default:
          // Quiet: a mail server would send on what is said.
          await ask<BounceDeliveryResponse>((...within) =>
            client.bounceDelivery({ id, detail, report, recipient }, ...within),
          );
      }
    });
  },
};

/** Octets: the report stands before the message that came back. */
const maxReport = 65_536;

async function readInput(): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  // Read to the end, or the mail server's pipe breaks.
  for await (const part of process.stdin) parts.push(part);
  return Buffer.concat(parts).subarray(0, maxReport);
}

const words = ({
  id,
  state,
  kind,
  about,
  recipient,
  source,
  tries,
  enqueuedAt,
  nextAt,
  detail,
}: Delivery): string =>
  [
    `${id}  ${state}${state === 'waiting' ? `, next try ${iso(nextAt)}` : ''}, ${triesWords(tries)}, since ${iso(enqueuedAt)}`,
    `    ${kind} ${printable(about)}`,
    `    to ${printable(recipient)} (${source})`,
    ...(detail === '' ? [] : [`    ${printable(detail)}`]),
  ].join('\n');
