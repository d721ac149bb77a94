import { createHash } from 'node:crypto';
import { Handshake, type HandshakeSetup } from '../handshake.ts';
import { ReusedKeyShares } from '../key-exchange.ts';
import { LeafKeys } from '../leaf-key.ts';
import { defaultLimits } from '../limits.ts';

/** Unpredictable to nobody: each call hashes a counter. */
export function countedRandom(seed = 'random') {
  let calls = 0;
  return (size: number): Buffer => {
    const blocks: Buffer[] = [];
    for (let length = 0; length < size; length += 32) {
      blocks.push(createHash('sha256').update(`${seed} ${calls++}`).digest());
    }
    return Buffer.concat(blocks).subarray(0, size);
  };
}

const shares = new ReusedKeyShares(() => 0);
const leafKeys = new LeafKeys();

/** A handshake without network, with the defaults a test does not care about. */
export const startHandshake = (changes: Partial<HandshakeSetup> = {}): Handshake =>
  new Handshake({
    offer: { serverName: 'localhost', keyType: 'any', alpn: [], extensions: [] },
    limits: defaultLimits,
    stopEarly: false,
    random: countedRandom(),
    shares,
    leafKeys,
    ...changes,
  });
