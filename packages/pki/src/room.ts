const slabOctets = 32_768;
/** Larger ones have memory of their own. */
const most = 4096;

let slab = new ArrayBuffer(slabOctets);
let taken = 0;

/**
 * Octets to be filled, all zero, which may share an `ArrayBuffer` with others: one of its own takes longer to ask for
 * and to give back than a small value takes to encode.
 */
export function room(octets: number): Uint8Array<ArrayBuffer> {
  if (octets > most) return new Uint8Array(octets);
  if (taken + octets > slabOctets) {
    slab = new ArrayBuffer(slabOctets);
    taken = 0;
  }
  const out = new Uint8Array(slab, taken, octets);
  taken += octets;
  return out;
}
