import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { IssueRequest, IssueResponse } from '@mecai/proto/signer';

type Stream = ServerDuplexStream<IssueRequest, IssueResponse>;

/** Requests of one stream that wait for the audit log. */
const maxOpen = 1024;

/**
 * One coordinator's stream. Answers leave in the order in which they are ready. Nothing is read while answers pile
 * up that the coordinator does not take, or while too many wait for the disk: what waits is then on its side.
 */
export class CoordinatorStream {
  readonly #stream: Stream;
  readonly #answer: (request: IssueRequest) => Promise<IssueResponse>;
  #open = 0;
  #full = false;
  #ending = false;

  /** @param answer never rejects */
  constructor(stream: Stream, answer: (request: IssueRequest) => Promise<IssueResponse>) {
    this.#stream = stream;
    this.#answer = answer;
    stream.on('data', (request) => void this.#take(request));
    stream.on('end', () => this.end());
    stream.on('drain', () => {
      this.#full = false;
      this.#flow();
    });
  }

  /** Reads no more; ends once what was read is answered. */
  end(): void {
    this.#ending = true;
    this.#flow();
  }

  async #take(request: IssueRequest): Promise<void> {
    this.#open++;
    this.#flow();
    const response = await this.#answer(request);
    this.#open--;
    if (this.#gone) return;
    this.#full = !this.#stream.write(response);
    this.#flow();
  }

  #flow(): void {
    if (this.#gone) return;
    if (this.#ending && this.#open === 0) this.#stream.end();
    if (this.#ending || this.#full || this.#open >= maxOpen) this.#stream.pause();
    else if (this.#stream.isPaused()) this.#stream.resume();
  }

  get #gone(): boolean {
    return this.#stream.cancelled || this.#stream.destroyed || this.#stream.writableEnded;
  }
}
