import type { ClientReadableStream } from '@grpc/grpc-js';

/** After a stream from the signer was lost, milliseconds. */
const againAfterMs = 500;

/** One stream from the signer, opened anew whenever it breaks, until it is closed. */
export class Watch<Message> {
  readonly #open: () => ClientReadableStream<Message>;
  readonly #heard: (message: Message) => void;
  readonly #begins: () => void;
  #stream: ClientReadableStream<Message> | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param begins called before each stream: the signer starts from the beginning */
  constructor(
    open: () => ClientReadableStream<Message>,
    heard: (message: Message) => void,
    begins: () => void = () => undefined,
  ) {
    this.#open = open;
    this.#heard = heard;
    this.#begins = begins;
    this.#start();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#stream?.cancel();
  }

  #start(): void {
    this.#begins();
    const stream = this.#open();
    this.#stream = stream;
    stream.on('data', (message: Message) => this.#heard(message));
    const lost = () => {
      if (this.#stream !== stream || this.#closed) return;
      this.#stream = undefined;
      this.#again = setTimeout(() => this.#start(), againAfterMs);
    };
    stream.on('error', lost);
    stream.on('end', lost);
  }
}
