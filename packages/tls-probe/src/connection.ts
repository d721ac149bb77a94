import { connect, type Socket } from 'node:net';
import { ProbeFailure, tooLarge } from './failure.ts';
import type { ErrorClass, ProbeTarget } from './prober.ts';

/**
 * One read buffer for all connections of the process: libuv fills it and calls back before it fills it
 * again, so nothing waits in it, and 2,000 silent connections hold no buffer at all. Bytes.
 */
const readBuffer = Buffer.allocUnsafeSlow(65_536);
// On Windows a read is posted with its buffer before any byte is there, so each connection needs its own.
const bufferForReading = (): Buffer =>
  process.platform === 'win32' ? Buffer.allocUnsafeSlow(65_536) : readBuffer;

/** What a phase does with the connection. Every callback may throw a `ProbeFailure`. */
export interface ConnectionEvents {
  connected(): void;
  /** @param chunk good only until this returns */
  received(chunk: Buffer): void;
  /** Called once, with the first thing that went wrong; the socket is still there to send an alert on. */
  failed(failure: ProbeFailure): void;
}

const classes = new Map<string, ErrorClass>([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['EHOSTDOWN', 'unreachable'],
  ['ENETDOWN', 'unreachable'],
  ['ENONET', 'unreachable'],
  ['ECONNRESET', 'reset'],
  ['ECONNABORTED', 'reset'],
  ['EPIPE', 'reset'],
]);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** One TCP connection with one deadline at a time and a limit on what is read. */
export class Connection {
  readonly #events: ConnectionEvents;
  readonly #socket: Socket;
  readonly #limit: number;
  #timer: NodeJS.Timeout | undefined;
  #timeoutClass: ErrorClass = 'timeout-connect';
  #received = 0;
  #open = true;

  /**
   * Starts connecting.
   * @param connectMs milliseconds
   * @param limit bytes read in all
   * @throws what node:net throws for an address or port it does not take
   */
  constructor(
    target: ProbeTarget,
    localAddress: string | undefined,
    connectMs: number,
    limit: number,
    events: ConnectionEvents,
  ) {
    this.#events = events;
    this.#limit = limit;
    this.#socket = connect({
      host: target.address,
      port: target.port,
      ...(localAddress !== undefined && { localAddress }),
      onread: {
        buffer: bufferForReading(),
        callback: (size, buffer) => {
          this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, size));
          return true;
        },
      },
    });
    this.#socket.on('connect', () => this.#guard(() => events.connected()));
    this.#socket.on('error', (error) => this.#socketError(error));
    this.#socket.on('end', () => this.#closed());
    this.#socket.on('close', () => {
      clearTimeout(this.#timer);
      this.#closed();
    });
    this.deadline(connectMs, 'timeout-connect');
  }

  /** Address of this end, once connected. */
  get localAddress(): string {
    return this.#socket.localAddress ?? '';
  }

  /** Replaces the deadline. @param milliseconds from now */
  deadline(milliseconds: number, timeoutClass: ErrorClass): void {
    clearTimeout(this.#timer);
    this.#timeoutClass = timeoutClass;
    this.#timer = setTimeout(
      () => this.#fail(new ProbeFailure(timeoutClass, `nothing more within ${milliseconds} ms`)),
      milliseconds,
    );
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /**
   * Sends the last flight and the end of the stream, then waits in the background, `lingerMs` at most, for
   * the server's own end: closing on unread bytes would reset the connection under the server's hands.
   */
  finish(last: Buffer | undefined, lingerMs: number): void {
    clearTimeout(this.#timer);
    this.#open = false;
    if (last) this.#socket.end(last);
    else this.#socket.end();
    this.#timer = setTimeout(() => this.#socket.destroy(), lingerMs).unref();
  }

  /** Ends at once, without waiting for anything. */
  destroy(): void {
    clearTimeout(this.#timer);
    this.#open = false;
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#received += chunk.length;
    if (!this.#open) {
      // Session tickets and the like after the end; bounded like everything else.
      if (this.#received > this.#limit) this.#socket.destroy();
      return;
    }
    this.#guard(() => {
      if (this.#received > this.#limit) throw tooLarge(`more than ${this.#limit} bytes`);
      this.#events.received(chunk);
    });
  }

  #closed(): void {
    if (this.#open) this.#fail(new ProbeFailure('closed', 'the server closed the connection'));
  }

  #socketError(error: unknown): void {
    if (!this.#open) return;
    const code = codeOf(error);
    const errorClass = code === 'ETIMEDOUT' ? this.#timeoutClass : (classes.get(code) ?? 'local-error');
    this.#fail(new ProbeFailure(errorClass, error instanceof Error ? error.message : code, { cause: error }));
  }

  #guard(act: () => void): void {
    if (!this.#open) return;
    try {
      act();
    } catch (error) {
      this.#fail(asFailure(error));
    }
  }

  #fail(failure: ProbeFailure): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    this.#events.failed(failure);
  }
}

/** Anything but a `ProbeFailure` is a mistake of this package, and is reported, never thrown. */
export const asFailure = (error: unknown): ProbeFailure =>
  error instanceof ProbeFailure
    ? error
    : new ProbeFailure(
        'local-error',
        `unforeseen: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      );
