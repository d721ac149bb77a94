import { CorroborationError, type Registry, parseRegistry } from '@mecai/corroboration';
import type { WatchRegistryResponse } from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';

/**
 * Who is a perspective: by the file at the start, by the signer from its first word on. What counts is the signer's
 * registry; a coordinator that knows another one asks agents whose answers do not count.
 */
export class RegistryCopy {
  readonly #log: Logger;
  #registry: Registry;
  #signed: WatchRegistryResponse | undefined;

  /** @throws CorroborationError `bad-registry` */
  constructor(file: string, log: Logger) {
    this.#registry = parseRegistry(file);
    this.#log = log;
  }

  get current(): Registry {
    return this.#registry;
  }

  /** The same as its operator has signed it; undefined where the signer has it by file. */
  get signed(): WatchRegistryResponse | undefined {
    return this.#signed;
  }

  learn(message: WatchRegistryResponse): void {
    try {
      const learnt = parseRegistry(new TextDecoder('utf-8', { fatal: true }).decode(message.registry));
      if (learnt.version !== this.#registry.version) {
        const { version, agents } = learnt;
        this.#log.info(
          { before: this.#registry.version, version, agents: agents.size },
          'registry by the signer',
        );
      }
      this.#registry = learnt;
      this.#signed = message.signature.length > 0 ? message : undefined;
    } catch (error) {
      if (!(error instanceof CorroborationError || error instanceof TypeError)) throw error;
      this.#log.error({ err: error }, 'the signer’s registry cannot be read');
    }
  }
}
