import { RefusalCode } from '@mecai/proto/signer';
import { describe, expect, it } from 'vitest';
import { CoordinatorError } from './error.ts';
import { testRegistry } from './testing/agents.ts';
import { TestSigner, refused } from './testing/signer.ts';
import {
  agents,
  ask,
  chain,
  known,
  setStage,
  sha256,
  signer,
  signersOf,
  stored,
} from './testing/deciding.ts';

setStage();

describe('two signers', () => {
  const away = () =>
    Promise.reject(new CoordinatorError('signer-unavailable', 'the signer cannot be reached'));
  const other = 'spiffe://mecai.test/signer-2';

  it('the second is asked when the first does not draw, and is on record', async () => {
    const second = new TestSigner(testRegistry());
    const patience: (number | undefined)[] = [];
    const first = {
      ...known(signer),
      client: {
        ...known(signer).client,
        draw: (...[, , ms]: unknown[]) => {
          patience.push(ms as number);
          return away();
        },
      },
    };
    const { result } = await ask({ signers: signersOf(first, known(second, other)) });
    expect(result.status).toBe('issued');
    expect(patience).toEqual([1_500]);
    expect([signer.draws.length, second.issued]).toEqual([0, 1]);
    expect((await stored()).decisions).toMatchObject([{ status: 'issued', signer: other }]);
  });

  it.each([
    RefusalCode.REFUSAL_CODE_STOPPING,
    RefusalCode.REFUSAL_CODE_CLOCK,
    RefusalCode.REFUSAL_CODE_INTERNAL,
  ])(
    'the second is asked when the first refuses with code %i, which says nothing about the chain',
    async (code) => {
      const second = new TestSigner(testRegistry());
      signer.refuseDraw = refused(code, 'because').refused;
      const { result } = await ask({ signers: signersOf(known(signer), known(second, other)) });
      expect(result.status).toBe('issued');
      expect(second.issued).toBe(1);
    },
  );

  it('the second is not asked what the first has decided', async () => {
    const second = new TestSigner(testRegistry());
    signer.refuseDraw = refused(RefusalCode.REFUSAL_CODE_REVOKED, 'because').refused;
    const { result } = await ask({ signers: signersOf(known(signer), known(second, other)) });
    expect(result).toMatchObject({ status: 'refused', reason: 'revoked' });
    expect(second.draws).toEqual([]);
  });

  it('the second is asked anew, with a draw of its own, when the first is lost with the evidence', async () => {
    const second = new TestSigner(testRegistry());
    const draw = signer.draw.bind(signer);
    const first = { ...known(signer), client: { draw, issue: away } };
    const { result } = await ask({ signers: signersOf(first, known(second, other)) });
    expect(result.status).toBe('issued');
    expect([signer.draws.length, second.draws.length, second.issued]).toEqual([1, 1, 1]);
    const { decisions } = await stored();
    expect(decisions).toHaveLength(1);
    expect(decisions[0]!.nonce).toEqual(new Uint8Array(second.draws[0]!.drawn.nonce));
  });

  it('none of which is there end the matter, each asked once', async () => {
    const one = { ...known(signer), client: { draw: signer.draw.bind(signer), issue: away } };
    const two = { ...known(signer, other), client: { draw: away, issue: away } };
    await expect(ask({ signers: signersOf(one, two) })).rejects.toMatchObject({ code: 'signer-unavailable' });
    expect(signer.draws).toHaveLength(1);
    expect((await ask({ signers: signersOf(one) })).result).toMatchObject({
      status: 'inconclusive',
      detail: 'the signer cannot be reached',
    });
  });
});

describe('the signer', () => {
  it.each([
    [RefusalCode.REFUSAL_CODE_OWN_CA, 'own-ca', undefined],
    [RefusalCode.REFUSAL_CODE_DISTRUSTED, 'distrusted', undefined],
    [RefusalCode.REFUSAL_CODE_UNTRUSTED, 'untrusted', undefined],
    [RefusalCode.REFUSAL_CODE_REVOKED, 'revoked', undefined],
    [RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET, 'forbidden-target', undefined],
    [RefusalCode.REFUSAL_CODE_MALFORMED, 'malformed', undefined],
    [RefusalCode.REFUSAL_CODE_DRAW_LIMIT, 'rate-limited', 60],
  ])('that refuses a draw with code %i gives %s, and nobody is asked', async (code, reason, retryAfter) => {
    signer.refuseDraw = refused(code, 'because').refused;
    const asked = agents.get('oslo')!.tasks.length;
    const { result } = await ask();
    expect(result).toEqual({
      leaf: Buffer.from(sha256(chain[0]!)),
      status: 'refused',
      reason,
      detail: 'because',
      perspectives: [],
      ...(retryAfter !== undefined && { retryAfter }),
    });
    await agents.get('oslo')!.flush();
    expect(agents.get('oslo')!.tasks).toHaveLength(asked);
    expect(await stored()).toEqual({ decisions: [], mismatches: [] });
  });

  it.each([
    RefusalCode.REFUSAL_CODE_TOO_FEW_PERSPECTIVES,
    RefusalCode.REFUSAL_CODE_INTERNAL,
    RefusalCode.REFUSAL_CODE_UNSPECIFIED,
  ])('that refuses with code %i says nothing about the chain', async (code) => {
    signer.refuseDraw = refused(code, 'because').refused;
    expect((await ask()).result).toMatchObject({
      status: 'inconclusive',
      detail: 'signer: because',
      retryAfter: 60,
    });
  });

  it.each([
    ['its clock is wrong', RefusalCode.REFUSAL_CODE_CLOCK, true],
    ['its HSM or disk fails', RefusalCode.REFUSAL_CODE_INTERNAL, true],
    ['there are too few perspectives', RefusalCode.REFUSAL_CODE_TOO_FEW_PERSPECTIVES, false],
  ])('that refuses since %s: whether that is an error of ours', async (_, code, unavailable) => {
    signer.refuseDraw = refused(code, 'because').refused;
    expect(await ask()).toMatchObject({ unavailable });
    signer.refuseDraw = undefined;
    signer.refuseEvidence.push(refused(code, 'because').refused);
    expect(await ask()).toMatchObject({ unavailable });
  });

  it('that has forgotten the draw is asked once more, with a new one', async () => {
    signer.refuseEvidence.push(refused(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw').refused);
    expect((await ask()).result.status).toBe('issued');
    expect(signer.draws).toHaveLength(2);
    expect((await stored()).decisions).toHaveLength(1);
  });

  it('that forgets twice is not asked a third time', async () => {
    const forgotten = refused(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw').refused;
    signer.refuseEvidence.push(forgotten, forgotten);
    expect((await ask()).result).toMatchObject({ status: 'inconclusive', detail: 'signer: no such draw' });
    expect(signer.draws).toHaveLength(2);
  });
});
