import { expect, it } from 'vitest';
import { coordinatorConfig } from './config.ts';
import { Renewals } from './renewals.ts';

const renewals = () => new Renewals(coordinatorConfig.shape.renewal.parse({}));
const about = (octet: number) => ({ $case: 'issuer', issuer: new Uint8Array(32).fill(octet) }) as const;
const at = (seconds: number) => seconds * 1_000;

it('what several signers want renewed is wanted once, from the last of them on, the newest first', () => {
  const both = renewals();
  both.set('spiffe://mecai.test/signer-1', [{ producedBefore: at(10), about: about(1) }]);
  both.set('spiffe://mecai.test/signer-2', [
    { producedBefore: at(12), about: about(1) },
    { producedBefore: at(11), about: about(2) },
  ]);
  expect(both.information.entries).toMatchObject([
    { producedBefore: new Date(at(12)), about: { sha256: about(1).issuer } },
    { producedBefore: new Date(at(11)), about: { sha256: about(2).issuer } },
  ]);
});

it('what a signer does not want any more is forgotten', () => {
  const one = renewals();
  one.set('spiffe://mecai.test/signer-1', [{ producedBefore: at(10), about: undefined }]);
  one.set('spiffe://mecai.test/signer-1', []);
  expect(one.information.entries).toEqual([]);
});
