import { malformed } from './failure.ts';

/**
 * Cursor over received bytes; views, never copies. Each read checks what is left before it takes.
 * @throws ProbeFailure `protocol-error`, owing decode_error, when bytes are missing or left over.
 */
export class Reader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, what: string, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#what = what;
    this.#at = start;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  #advance(size: number): number {
    const at = this.#at;
    if (size > this.#end - at) throw malformed(`${this.#what} ends too early`);
    this.#at = at + size;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)]!;
  }

  u16(): number {
    const at = this.#advance(2);
    return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!;
  }

  u24(): number {
    const at = this.#advance(3);
    return (this.#bytes[at]! << 16) | (this.#bytes[at + 1]! << 8) | this.#bytes[at + 2]!;
  }

  take(size: number): Buffer {
    const at = this.#advance(size);
    return this.#bytes.subarray(at, at + size);
  }

  /** opaque<min..2^8-1> */
  vector8(min = 0): Buffer {
    return this.#atLeast(this.take(this.u8()), min);
  }

  /** opaque<min..2^16-1> */
  vector16(min = 0): Buffer {
    return this.#atLeast(this.take(this.u16()), min);
  }

  /** opaque<min..2^24-1> */
  vector24(min = 0): Buffer {
    return this.#atLeast(this.take(this.u24()), min);
  }

  #atLeast(bytes: Buffer, min: number): Buffer {
    if (bytes.length < min) throw malformed(`${this.#what} has a vector that is too short`);
    return bytes;
  }

  /** Trailing bytes are an error everywhere in TLS. */
  end(): void {
    if (this.#at !== this.#end) throw malformed(`${this.#what} has bytes left over`);
  }
}
