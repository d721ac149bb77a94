import { inboxPrefix } from '@mecai/proto';
import { type Stored, readStored } from '@mecai/runtime';
import { type Msg, type NatsConnection, createInbox, headers } from '@nats-io/transport-node';

interface Waiting {
  readonly resolve: (stored: Stored) => void;
  readonly reject: (error: Error) => void;
  readonly late: NodeJS.Timeout;
}

/**
 * Publishes into JetStream. Acknowledgements come to one subscription: a request for each, as the JetStream client
 * makes it, costs several times as much.
 */
export class StreamPublisher {
  readonly #nats: Pick<NatsConnection, 'publish'>;
  /** Nobody else can guess it, and acknowledge what is not stored. */
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  #last = 0;

  /** @param name of this coordinator, which may hear its own inbox only */
  constructor(nats: Pick<NatsConnection, 'publish' | 'subscribe'>, name: string) {
    this.#nats = nats;
    this.#inbox = createInbox(inboxPrefix(name));
    nats.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        // Then nothing is acknowledged, and what was sent is late.
        if (!error) this.#acknowledged(message);
      },
    });
  }

  /**
   * Resolves once it is stored.
   *
   * @param id what is published again with the same one is stored once
   * @throws Error why it is not known to be stored
   */
  publish(subject: string, bytes: Uint8Array, id: string, withinMs: number): Promise<Stored> {
    return new Promise((resolve, reject) => {
      const number = String(++this.#last);
      const header = headers();
      header.set('Nats-Msg-Id', id);
      this.#nats.publish(subject, bytes, { reply: `${this.#inbox}.${number}`, headers: header });
      const late = setTimeout(() => {
        this.#waiting.delete(number);
        reject(new Error(`no acknowledgement within ${withinMs} ms`));
      }, withinMs);
      this.#waiting.set(number, { resolve, reject, late });
    });
  }

  #acknowledged(message: Msg): void {
    const number = message.subject.slice(this.#inbox.length + 1);
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    this.#waiting.delete(number);
    clearTimeout(waiting.late);
    const said = readStored(message);
    if (typeof said === 'string') waiting.reject(new Error(said));
    else waiting.resolve(said);
  }
}
