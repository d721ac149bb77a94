import { status } from '@grpc/grpc-js';
import { defaultQuorumPolicy } from '@mecai/corroboration';
import { describe, expect, it } from 'vitest';
import { CoordinatorError } from './error.ts';
import { type SignerOrNot, Signers } from './signers.ts';
import { testRegistry } from './testing/agents.ts';

const document = Uint8Array.of(1);
const lost = new CoordinatorError('signer-unavailable', 'the signer cannot be reached');
const absent = Object.assign(new Error('no such version'), { code: status.NOT_FOUND });

function signer(
  id: string,
  there: boolean,
  directory: Uint8Array | Error = document,
  known = true,
): SignerOrNot {
  const never = () => Promise.reject(lost);
  return {
    id,
    there,
    registry: testRegistry(),
    policy: known ? defaultQuorumPolicy : undefined,
    revocation: { bring: () => Promise.resolve() },
    client: {
      draw: never,
      issue: never,
      directory: () => (directory instanceof Error ? Promise.reject(directory) : Promise.resolve(directory)),
    },
  };
}
const turns = (signers: Signers, times: number) => Array.from({ length: times }, () => signers.next().id);

describe('who is asked', () => {
  it('those that are there take turns', () => {
    const signers = new Signers([signer('a', true), signer('b', false), signer('c', true)]);
    expect(turns(signers, 4)).toEqual(['a', 'c', 'a', 'c']);
  });

  it('any that was there once, when none is; nobody before', () => {
    const signers = new Signers([signer('a', false, document, false), signer('b', false)]);
    expect(turns(signers, 2)).toEqual(['b', 'b']);
    expect(() => new Signers([signer('a', false, document, false)]).next()).toThrow(
      'the signer has not been reached yet',
    );
  });

  it('another is one that is there and was not tried', () => {
    const signers = new Signers([signer('a', true), signer('b', false), signer('c', true)]);
    const a = signers.next();
    const c = signers.another(new Set([a]))!;
    expect(c.id).toBe('c');
    expect(signers.another(new Set([a, c]))).toBeUndefined();
  });
});

describe('a directory', () => {
  it('comes from one that is there, whichever has it', async () => {
    const two = Uint8Array.of(2);
    expect(await new Signers([signer('a', false), signer('b', true, two)]).directory(0)).toBe(two);
    expect(await new Signers([signer('a', true, absent), signer('b', true, two)]).directory(7)).toBe(two);
  });

  it('that no signer has is told apart from signers that are away', async () => {
    const one = new Signers([signer('a', true, absent), signer('b', false, lost)]);
    await expect(one.directory(7)).rejects.toBe(absent);
    await expect(new Signers([signer('a', false, lost)]).directory(7)).rejects.toBe(lost);
  });
});
