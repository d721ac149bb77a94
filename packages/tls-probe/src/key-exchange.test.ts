import { createECDH } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { groups, type KeyShare, offeredGroups, ReusedKeyShares } from './key-exchange.ts';

const fresh = () => new ReusedKeyShares(() => 0);
const illegal = expect.objectContaining({ code: 'protocol-error', owedAlert: 47 });
const failure = (share: KeyShare, bytes: Buffer) => {
  try {
    return share.agree(bytes);
  } catch (error) {
    return error;
  }
};

describe.each(offeredGroups.filter((group) => group !== groups.x25519MlKem768))('group %i', (group) => {
  it('agrees with the other side', () => {
    const [ours, theirs] = [fresh().share(group), fresh().share(group)];
    expect(ours.agree(theirs.publicKey)).toEqual(theirs.agree(ours.publicKey));
  });

  it('refuses a share that is cut short, too long, empty or no point', () => {
    const [ours, theirs] = [fresh().share(group), fresh().share(group).publicKey];
    const zeros = Buffer.alloc(theirs.length);
    const wrong = [theirs.subarray(1), Buffer.concat([theirs, Buffer.from([0])]), Buffer.alloc(0), zeros];
    for (const share of wrong) expect(failure(ours, share)).toEqual(illegal);
  });
});

it('refuses a point off the curve, and compressed and hybrid forms of one on it', () => {
  const ours = fresh().share(groups.secp256r1);
  const theirs = createECDH('prime256v1');
  theirs.generateKeys();
  const off = Buffer.from(theirs.getPublicKey());
  off.writeUInt8(off.readUInt8(64) ^ 1, 64);
  const forms = [off, theirs.getPublicKey(null, 'compressed'), theirs.getPublicKey(null, 'hybrid')];
  for (const share of forms) expect(failure(ours, share)).toEqual(illegal);
});

it('reuses a share for its lifetime and no longer', () => {
  let now = 0;
  const shares = new ReusedKeyShares(() => now, 10_000);
  const first = shares.share(groups.x25519);
  now = 9_999;
  expect(shares.share(groups.x25519)).toBe(first);
  now = 10_000;
  expect(shares.share(groups.x25519)).not.toBe(first);
});
