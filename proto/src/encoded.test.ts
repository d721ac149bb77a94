import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SignedObservation, Task } from './index.ts';
import { encoded } from './encoded.ts';
import { IssueRequest, SignerServiceService } from './signer.ts';

const observation = fc.record({
  observation: fc.uint8Array({ maxLength: 3_000 }),
  signature: fc.uint8Array({ maxLength: 72 }),
});

it('says what a fresh writer says, whatever was written before', () => {
  fc.assert(
    fc.property(fc.array(observation, { minLength: 1, maxLength: 8 }), (messages) => {
      for (const message of messages) {
        expect(encoded(SignedObservation, message)).toEqual(SignedObservation.encode(message).finish());
      }
    }),
  );
});

it('what was said is not written over by what is said next', () => {
  const first = { observation: new Uint8Array(2_000).fill(1), signature: new Uint8Array(70).fill(2) };
  const bytes = encoded(SignedObservation, first);
  const before = Uint8Array.from(bytes);
  encoded(SignedObservation, { observation: new Uint8Array(4_000).fill(3), signature: new Uint8Array(9) });
  expect(bytes).toEqual(before);
});

it('a message that cannot be encoded leaves nothing in the next one', () => {
  const task = { nonce: new Uint8Array(32), targets: [], timeoutMs: 5_000, coordinator: 'va1' };
  const expected = Task.encode(task).finish();
  expect(() => encoded(Task, { ...task, timeoutMs: -1 })).toThrow(/invalid uint32/);
  expect(encoded(Task, task)).toEqual(expected);
});

it('a message encoded while another one is comes out whole, and so does the other', () => {
  const inner = { observation: new Uint8Array(100).fill(1), signature: new Uint8Array(70).fill(2) };
  const outer = { observation: new Uint8Array(300).fill(3), signature: new Uint8Array(71).fill(4) };
  let nested: Uint8Array | undefined;
  const nesting: typeof SignedObservation = {
    ...SignedObservation,
    encode(message, writer) {
      const half = SignedObservation.encode(message, writer);
      nested = encoded(SignedObservation, inner);
      return half;
    },
  };
  expect(encoded(nesting, outer)).toEqual(SignedObservation.encode(outer).finish());
  expect(nested).toEqual(SignedObservation.encode(inner).finish());
});

it('gRPC gets the same octets as from the generated code', () => {
  fc.assert(
    fc.property(fc.array(observation, { maxLength: 6 }), (observations) => {
      const request: IssueRequest = {
        id: 7,
        step: { $case: 'evidence', evidence: { nonce: new Uint8Array(32).fill(9), observations } },
      };
      const bytes = SignerServiceService.issue.requestSerialize(request);
      expect(bytes.equals(IssueRequest.encode(request).finish())).toBe(true);
    }),
  );
});
