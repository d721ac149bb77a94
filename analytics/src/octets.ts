/** Octets that grow at their end. */
export class Octets {
  #octets = Buffer.allocUnsafeSlow(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What is there, until more is added. */
  view(): Buffer {
    return this.#octets.subarray(0, this.#length);
  }

  /** Begins anew in the same memory: what was viewed is overwritten. */
  clear(): void {
    this.#length = 0;
  }

  put(octets: Uint8Array): void {
    this.#room(octets.length);
    this.#octets.set(octets, this.#length);
    this.#length += octets.length;
  }

  /** Adds what is between two places once more. */
  repeat(from: number, to: number): void {
    this.#room(to - from);
    this.#octets.copyWithin(this.#length, from, to);
    this.#length += to - from;
  }

  /** Adds what is between two places of others. */
  part(others: Octets, from: number, to: number): void {
    this.#room(to - from);
    others.#octets.copy(this.#octets, this.#length, from, to);
    this.#length += to - from;
  }

  /** Little-endian, below 2⁵³. */
  uint64(value: number): void {
    this.#room(8);
    this.#length = this.#octets.writeUInt32LE(value % 2 ** 32, this.#length);
    this.#length = this.#octets.writeUInt32LE(Math.floor(value / 2 ** 32), this.#length);
  }

  /** LEB128. */
  varint(value: number): void {
    this.#room(10);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#octets[this.#length++] = (rest % 128) | 0x80;
    this.#octets[this.#length++] = rest;
  }

  /** Its length and UTF-8; half a surrogate pair becomes U+FFFD. */
  text(text: string): void {
    this.#room(3 * text.length + 10);
    if (text.length < 0x80) {
      const written = text === '' ? 0 : this.#octets.write(text, this.#length + 1);
      this.#octets[this.#length] = written;
      if (written < 0x80) {
        this.#length += 1 + written;
        return;
      }
    }
    this.varint(Buffer.byteLength(text));
    this.#length += this.#octets.write(text, this.#length);
  }

  /** Of characters below 256. */
  latin1(text: string): void {
    this.#room(text.length);
    this.#length += this.#octets.write(text, this.#length, 'latin1');
  }

  #room(length: number): void {
    if (this.#length + length <= this.#octets.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#octets.length, this.#length + length));
    this.#octets.copy(larger, 0, 0, this.#length);
    this.#octets = larger;
  }
}
