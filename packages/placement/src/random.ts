/** A stream of numbers that a seed determines; for simulations, not for secrets. */
export interface Random {
  /** From 0, below 1. */
  next(): number;
  /** An integer from 0, below `bound`. */
  below(bound: number): number;
}

/** Mulberry32: 32 bits of state, one multiplication chain a number. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { next, below: (bound) => Math.floor(next() * bound) };
}
