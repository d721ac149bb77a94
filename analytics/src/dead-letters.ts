import { deadLetters } from '@mecai/proto';
import type { DeliveryInfo, JetStreamClient, JsMsg } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { Fault } from './rows.ts';

/** Octets kept of a message; the rest would not fit into another one with headers. */
const kept = 65_536;

/**
 * Puts a message that cannot be stored aside, with the reason, and returns once JetStream has it. Headers:
 * `Mecai-Fault`, `Mecai-Subject`, `Mecai-Stream`, `Mecai-Sequence`, `Mecai-Size` (octets before the cut).
 *
 * @throws when JetStream does not acknowledge
 */
export async function bury(
  jetstream: JetStreamClient,
  name: string,
  message: Pick<JsMsg, 'subject' | 'data'> & {
    readonly info: Pick<DeliveryInfo, 'stream' | 'streamSequence'>;
  },
  fault: Fault,
  incarnation: string,
): Promise<void> {
  const { stream, streamSequence } = message.info;
  const about = headers();
  about.set('Mecai-Fault', fault);
  about.set('Mecai-Subject', message.subject);
  about.set('Mecai-Stream', stream);
  about.set('Mecai-Sequence', String(streamSequence));
  about.set('Mecai-Size', String(message.data.length));
  await jetstream.publish(deadLetters.subject(name), message.data.subarray(0, kept), {
    headers: about,
    msgID: `${incarnation} ${streamSequence}`,
  });
}
