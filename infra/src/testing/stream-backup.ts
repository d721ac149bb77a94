/** What `nats stream backup` and `nats stream restore` do; Debian does not have that program. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NatsConnection, createInbox } from '@nats-io/transport-node';

interface ApiAnswer {
  readonly error?: { readonly description: string };
  readonly config?: object;
  readonly state?: object;
  readonly deliver_subject?: string;
}

const chunkOctets = 65_536;
const patience = { timeout: 30_000 };

async function api(nats: NatsConnection, subject: string, request: object): Promise<ApiAnswer> {
  const message = await nats.request(`$JS.API.STREAM.${subject}`, JSON.stringify(request), patience);
  const answer = message.json<ApiAnswer>();
  if (answer.error) throw new Error(`${subject}: ${answer.error.description}`);
  return answer;
}

/** A stream with its consumers, into `<directory>/<stream>`. */
export async function backUpStream(
  nats: NatsConnection,
  inboxPrefix: string,
  stream: string,
  directory: string,
): Promise<void> {
  const deliver = createInbox(inboxPrefix);
  const parts: Uint8Array[] = [];
  const whole = Promise.withResolvers<void>();
  const subscription = nats.subscribe(deliver, {
    callback: (error, message) => {
      if (error) return whole.reject(error);
      // The last is empty.
      if (message.data.length === 0) return whole.resolve();
      parts.push(Uint8Array.from(message.data));
      message.respond();
      return undefined;
    },
  });
  const { config, state } = await api(nats, `SNAPSHOT.${stream}`, { deliver_subject: deliver });
  await whole.promise;
  subscription.unsubscribe();
  const at = join(directory, stream);
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'backup.json'), JSON.stringify({ config, state }));
  writeFileSync(join(at, 'stream.tar.s2'), Buffer.concat(parts));
}

export async function restoreStream(nats: NatsConnection, stream: string, directory: string): Promise<void> {
  const at = join(directory, stream);
  const about = JSON.parse(readFileSync(join(at, 'backup.json'), 'utf8')) as object;
  const data = readFileSync(join(at, 'stream.tar.s2'));
  const { deliver_subject: deliver = '' } = await api(nats, `RESTORE.${stream}`, about);
  for (let from = 0; from < data.length; from += chunkOctets)
    await nats.request(deliver, data.subarray(from, from + chunkOctets), patience);
  const done = (await nats.request(deliver, '', patience)).json<ApiAnswer>();
  if (done.error) throw new Error(`RESTORE.${stream}: ${done.error.description}`);
}
