/**
 * An agent's connection to NATS. Its servers are in the order in which it likes them: the leaf node of its region, then
 * the cluster. It goes to the first that works, and back to a better one that works again.
 */
import { randomBytes } from 'node:crypto';
import { inboxPrefix, subjects } from '@mecai/proto';
import { type Logger, natsPatience, readText, reasonOf } from '@mecai/runtime';
import { type NatsConnection, type Server, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import type { AgentConfig } from './config.ts';
import { ServerChoice } from './server-choice.ts';

const closeWithinMs = 2_000;
/** Signs of life in a row that nobody could hear, until another server is tried. */
const unheardBeats = 3;
const avoidUnheardMs = 60_000;
/** For word of a node to pass to a leaf node, and through it. */
const passWithinMs = 2_000;
const passEveryMs = 100;

export interface NatsLink {
  readonly nats: NatsConnection;
  /** Publishes a sign of life. A server that knows nobody who listens says so, and is left after a few. */
  readonly beat: (subject: string, payload: Uint8Array) => void;
  /** Goes to a better server if one works; never rejects. */
  readonly goBack: () => Promise<void>;
  /** Flushes what is pending and closes; just closes when NATS is away. */
  readonly close: () => Promise<void>;
}

/** @throws what connect throws */
export async function openNatsLink(
  {
    name,
    nats: { servers, seedFile, ca, silentMs },
  }: { readonly name: string; readonly nats: Omit<AgentConfig['nats'], 'keepStored'> },
  log: Logger,
): Promise<NatsLink> {
  const options = {
    ...natsPatience(silentMs),
    authenticator: nkeyAuthenticator(new TextEncoder().encode(readText(seedFile))),
    ...(ca !== undefined && { tls: { caFile: ca } }),
    name,
    inboxPrefix: inboxPrefix(name),
  };
  const choice = new ServerChoice(Date.now);
  let order: readonly string[] = [];
  const inOrder = (pool: readonly Server[]) =>
    pool.toSorted((a, b) => order.indexOf(a.listen) - order.indexOf(b.listen));
  const nats = await connect({
    ...options,
    servers: [...servers],
    noRandomize: true,
    // The first time the library's own order will do.
    reconnectToServer: (pool) => (order.length === 0 ? pool[0]! : choice.next(inOrder(pool))),
  });
  // Whoever could not be reached at first is dropped by the library, and is tried again all the same.
  nats.setServers([...servers]);
  order = nats.getServers().map(({ listen }) => listen);
  choice.connected(nats.getServer());
  void follow();

  const unheard = `${inboxPrefix(name)}.unheard`;
  let [refused, inARow, goingBack] = [false, 0, false];
  nats.subscribe(unheard, {
    callback: (error, message) => {
      // No responders.
      if (!error && message.headers?.code === 503) refused = true;
    },
  });
  return { nats, beat, goBack, close };

  async function follow(): Promise<void> {
    for await (const { type } of nats.status()) if (type === 'reconnect') choice.connected(nats.getServer());
  }

  function beat(subject: string, payload: Uint8Array): void {
    inARow = refused ? inARow + 1 : 0;
    refused = false;
    const server = nats.getServer();
    if (inARow >= unheardBeats && order.some((one) => one !== server && !choice.avoids(one))) {
      log.warn({ server }, 'nobody hears this agent here: another NATS server is tried');
      inARow = 0;
      choice.leave();
      choice.avoid(server, avoidUnheardMs);
      nats.reconnect().catch(() => undefined);
      return;
    }
    nats.publish(subject, payload, { reply: unheard });
  }

  async function goBack(): Promise<void> {
    const at = order.indexOf(nats.getServer());
    if (at <= 0 || goingBack || nats.isClosed()) return;
    goingBack = true;
    try {
      for (const better of order.slice(0, at)) {
        if (choice.avoids(better) || !(await passes(better))) continue;
        log.info({ server: better }, 'a better NATS server works again');
        choice.leave();
        await nats.reconnect();
        return;
      }
    } catch (error) {
      log.debug({ reason: reasonOf(error) }, 'stays at its NATS server');
    } finally {
      goingBack = false;
    }
  }

  /** Whether it works and is joined to the others: what is published there arrives here. */
  async function passes(server: string): Promise<boolean> {
    const connecting = connect({ ...options, servers: server, reconnect: false });
    const there = await within(passWithinMs, connecting);
    if (!there) {
      // Whoever comes later is not waited for.
      connecting.then((late) => late.close()).catch(() => undefined);
      choice.avoid(server);
      return false;
    }
    const toSelf = subjects.echoed(name, name);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const sent = randomBytes(16);
    const arrival = nats.subscribe(toSelf, {
      callback: (error, { data }) => void (!error && sent.equals(data) && resolve(true)),
    });
    const sending = setInterval(() => there.publish(toSelf, sent), passEveryMs);
    const timer = setTimeout(() => resolve(false), passWithinMs);
    try {
      return await promise;
    } finally {
      clearInterval(sending);
      clearTimeout(timer);
      if (!nats.isClosed()) arrival.unsubscribe();
      there.close().catch(() => undefined);
    }
  }

  async function close(): Promise<void> {
    await within(closeWithinMs, nats.drain());
    if (!nats.isClosed()) await within(closeWithinMs, nats.close());
  }
}

/** What it resolves to; undefined when it fails, or takes longer. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
