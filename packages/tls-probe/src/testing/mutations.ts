/** A small generator of 32-bit numbers that can be started again from its seed (xorshift32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0 to sides - 1 */
  roll(sides: number): number {
    return this.next() % sides;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)]!;
  }
}

const telling = [0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff];

/** One change such as errors and attackers make: flips, telling values, cuts, copies, wrong lengths. */
function mutateOnce(bytes: Buffer, dice: Dice): Buffer {
  if (bytes.length === 0) return Buffer.from([dice.roll(256)]);
  const at = dice.roll(bytes.length);
  const size = 1 + dice.roll(Math.min(32, bytes.length - at));
  switch (dice.roll(8)) {
    case 0: {
      const changed = Buffer.from(bytes);
      changed[at] = bytes[at]! ^ (1 << dice.roll(8));
      return changed;
    }
    case 1: {
      const changed = Buffer.from(bytes);
      changed[at] = dice.pick(telling);
      return changed;
    }
    case 2: {
      const changed = Buffer.from(bytes);
      changed[at] = dice.roll(256);
      return changed;
    }
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at + size), bytes.subarray(at)]);
    case 5:
      return Buffer.from(bytes.subarray(0, at));
    case 6: {
      // A length off by a little.
      const changed = Buffer.from(bytes);
      changed[at] = (bytes[at]! + dice.roll(5) - 2) & 0xff;
      return changed;
    }
    default: {
      const inserted = Buffer.from(Array.from({ length: 1 + dice.roll(8) }, () => dice.roll(256)));
      return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
    }
  }
}

export function mutate(bytes: Buffer, dice: Dice): Buffer {
  let mutated = bytes;
  for (let changes = 1 + dice.roll(4); changes > 0; changes--) mutated = mutateOnce(mutated, dice);
  return mutated;
}
