/** The registry for coordinators: the one in force, then each update as it comes. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { WatchRegistryRequest, WatchRegistryResponse } from '@mecai/proto/signer';
import type { RegistryBook } from './registry-book.ts';

export type RegistryCall = ServerWritableStream<WatchRegistryRequest, WatchRegistryResponse>;

export class RegistryWatchers {
  readonly #book: Pick<RegistryBook, 'inForce'>;
  readonly #open = new Set<RegistryCall>();

  constructor(book: Pick<RegistryBook, 'inForce' | 'onChange'>) {
    this.#book = book;
    book.onChange(() => {
      for (const call of this.#open) this.#tell(call);
    });
  }

  add(call: RegistryCall): void {
    this.#tell(call);
    this.#open.add(call);
    const gone = () => this.#open.delete(call);
    call.on('close', gone);
    call.on('cancelled', gone);
    call.on('error', gone);
  }

  end(): void {
    for (const call of this.#open) call.end();
  }

  #tell(call: RegistryCall): void {
    const { registry, signature } = this.#book.inForce;
    call.write({ registry, signature });
  }
}
