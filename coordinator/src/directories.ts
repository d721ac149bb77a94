/** The VA's perspective directory, as the signer signed it, at a URL beside the VRP. */
import { status } from '@grpc/grpc-js';
import { directoryMediaType } from '@mecai/voucher';
import type { Problem } from './http-answers.ts';
import type { Reply, Route } from './http-routes.ts';

/** How late readers may learn of a new version. Milliseconds. */
const freshMs = 10_000;
/** Of old versions. */
const kept = 64;

/** Asks the signer for each version once; what the latest is, every few seconds at most. */
export class Directories {
  readonly #ask: (version: number) => Promise<Uint8Array>;
  readonly #now: () => number;
  readonly #documents = new Map<number, { readonly at: number; readonly document: Promise<Uint8Array> }>();

  /** @param ask the signer, 0 for the latest; rejects as a gRPC call does */
  constructor(ask: (version: number) => Promise<Uint8Array>, now: () => number) {
    this.#ask = ask;
    this.#now = now;
  }

  /** A signer that has come back may sign with another certificate. */
  forget(): void {
    this.#documents.clear();
  }

  /** @throws CoordinatorError `signer-unavailable` */
  async document(version: number): Promise<Uint8Array | undefined> {
    const known = this.#documents.get(version);
    if (known && (version > 0 || this.#now() - known.at < freshMs)) return await present(known.document);
    const document = this.#ask(version);
    this.#documents.delete(version);
    if (this.#documents.size >= kept) this.#documents.delete(this.#documents.keys().next().value!);
    this.#documents.set(version, { at: this.#now(), document });
    // Neither an outage nor a version to come is remembered.
    document.catch(() => {
      if (this.#documents.get(version)?.document === document) this.#documents.delete(version);
    });
    return await present(document);
  }

  get routes(): readonly Route[] {
    const reply = async (version: number): Promise<Reply | Problem> => {
      const document = await this.document(version);
      if (!document) return { status: 404, title: 'Not here', detail: 'no such version of the directory' };
      return { type: directoryMediaType, body: document };
    };
    return [
      { method: 'GET', path: '/vrp/perspectives', handle: () => reply(0) },
      {
        method: 'GET',
        path: '/vrp/perspectives/:version',
        handle: ({ parameters }) => {
          const version = parameters['version']!;
          return reply(/^[1-9]\d{0,8}$/.test(version) ? Number(version) : -1);
        },
      },
    ];
  }
}

async function present(document: Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  try {
    return await document;
  } catch (error) {
    if (Object(error).code === status.NOT_FOUND) return undefined;
    throw error;
  }
}
