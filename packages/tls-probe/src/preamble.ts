import { ProbeFailure, tooLarge } from './failure.ts';
import type { StartTlsProtocol } from './prober.ts';
import { preambles } from './starttls.ts';

/** What a preamble may know and do. */
export interface PreambleContext {
  /** Name the server is asked for, or its address. */
  readonly serverName: string;
  readonly localAddress: string;
  send(bytes: Buffer): void;
}

/**
 * A preamble asks for bytes until it returns: for a line (without its CRLF), for a number of bytes, or
 * for whatever came up to and including a text.
 */
export type Want = 'line' | number | { readonly until: string };
export type Dialogue = Generator<Want, void, Buffer>;

/** Bytes a server may send before TLS; greetings and feature lists are a few hundred. */
const mostBytes = 65_536;

/** Feeds one STARTTLS dialogue with what the server sends. */
export class Preamble {
  readonly #dialogue: Dialogue;
  #want: IteratorResult<Want, void>;
  #bytes: Buffer = Buffer.alloc(0);
  #received = 0;

  constructor(dialogue: Dialogue) {
    this.#dialogue = dialogue;
    this.#want = dialogue.next();
  }

  /**
   * @param chunk not kept
   * @returns true once TLS may begin
   * @throws ProbeFailure
   */
  receive(chunk: Buffer): boolean {
    this.#received += chunk.length;
    if (this.#received > mostBytes) throw tooLarge(`more than ${mostBytes} bytes before TLS`);
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (!this.#want.done) {
      const size = this.#size(this.#want.value);
      if (size === undefined) return false;
      const taken = this.#bytes.subarray(0, size);
      this.#bytes = this.#bytes.subarray(size);
      this.#want = this.#dialogue.next(taken);
    }
    // Bytes that came in the clear must not be taken for the start of TLS (CVE-2011-0411 and its kin).
    if (this.#bytes.length > 0) {
      throw new ProbeFailure('protocol-error', 'bytes in the clear after the answer to STARTTLS');
    }
    return true;
  }

  #size(want: Want): number | undefined {
    if (typeof want === 'number') return this.#bytes.length >= want ? want : undefined;
    const text = want === 'line' ? '\n' : want.until;
    const at = this.#bytes.indexOf(text, 0, 'latin1');
    return at < 0 ? undefined : at + text.length;
  }
}

export const startPreamble = (protocol: StartTlsProtocol, context: PreambleContext): Preamble =>
  new Preamble(preambles[protocol](context));
