import { createHmac, hash } from 'node:crypto';
import { CorroborationError } from './error.ts';
import { type Perspective, type QuorumPolicy, isDistinct } from './quorum.ts';

/**
 * Chooses whom to ask: by keyed hash of the draw's nonce, so that whoever knows neither key nor nonce can
 * neither predict nor steer it. RIR regions take turns, so that one region's loss costs the fewest.
 *
 * @param key secret of the drawer
 * @param nonce fresh for each draw
 * @returns exactly `policy.perspectives` distinct perspectives
 * @throws CorroborationError `too-few-perspectives` when the registry cannot meet the policy
 */
export function drawPerspectives(
  policy: QuorumPolicy,
  registered: readonly Perspective[],
  key: Uint8Array,
  nonce: Uint8Array,
): readonly Perspective[] {
  // A secret of fixed length in front, whose hashes nobody sees: one HMAC for all is enough.
  const secret = createHmac('sha256', key).update(nonce).digest('hex');
  const rank = (name: string) => hash('sha256', secret + name);
  const shuffled = registered
    .map((perspective) => ({ perspective, rank: rank(perspective.name) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ perspective }) => perspective);

  const queues = new Map<string, Perspective[]>();
  for (const perspective of shuffled) {
    const queue = queues.get(perspective.rir);
    if (queue) queue.push(perspective);
    else queues.set(perspective.rir, [perspective]);
  }
  const drawn: Perspective[] = [];
  while (drawn.length < policy.perspectives && queues.size > 0) {
    for (const [rir, queue] of queues) {
      const next = queue.shift();
      if (!next) queues.delete(rir);
      else if (drawn.length < policy.perspectives && isDistinct(next, drawn, policy.minDistanceKm)) {
        drawn.push(next);
      }
    }
  }
  const regions = new Set(drawn.map(({ rir }) => rir)).size;
  const networks = new Set(drawn.map(({ asn }) => asn)).size;
  if (drawn.length < policy.perspectives || regions < policy.minRegions || networks < policy.minNetworks) {
    throw new CorroborationError(
      'too-few-perspectives',
      `the registry gives ${drawn.length} perspectives at least ${policy.minDistanceKm} km apart, in ` +
        `${regions} RIR regions and ${networks} networks; the policy asks for ${policy.perspectives}, ` +
        `${policy.minRegions} and ${policy.minNetworks}`,
    );
  }
  return drawn;
}
