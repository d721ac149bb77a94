import { sign } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import { RefusalCode } from '@mecai/proto/signer';
import { voucherSigner } from '@mecai/voucher';
import { testVa } from '@mecai/voucher/testing';
import { describe, expect, it } from 'vitest';
import { drawn, evidence, issue, outcome, refusal, second } from './testing/attempts.ts';
import { createWorld, start, va } from './testing/world.ts';

describe('trouble of its own', () => {
  const { signer } = va;
  const broken = (changes: object): typeof signer => ({
    ...signer,
    prepare: (voucher, time) => signer.prepare({ ...voucher, ...changes }, time),
  });
  const stranger = testVa();
  it.each<[rule: string, parts: Parameters<typeof createWorld>[0]]>([
    ['content: port', { voucherSigner: broken({ port: 444 }) }],
    ['content: leaf', { voucherSigner: broken({ leaf: new Uint8Array(32) }) }],
    ['content: trustContexts', { voucherSigner: broken({ trustContexts: ['MOZ', 'CHROME'] }) }],
    ['content: ipv4', { voucherSigner: broken({ ipv4: parseAddress('5.6.7.8') }) }],
    ['content: notAfter', { voucherSigner: broken({ notAfter: new Date('2026-11-23T00:00:00Z') }) }],
    ['lifetime', { voucherLifetimeSeconds: 86_401 }],
    ['signature', { sign: (bytes) => sign('sha256', bytes, stranger.certificate.privateKey) }],
    ['signature', { sign: () => sign('sha256', Buffer.from('something else'), va.certificate.privateKey) }],
    ['certificates', { voucherSigner: stranger.signer }],
    [
      'certificates',
      { voucherSigner: voucherSigner({ certificate: va.certificate.der, intermediates: [] }) },
    ],
    [
      'signing-time',
      {
        voucherSigner: {
          ...signer,
          prepare: (voucher) => signer.prepare(voucher, new Date(start.getTime() + 3600 * second)),
        },
      },
    ],
    ['serial', { random: (octets) => new Uint8Array(octets) }],
    [
      'va-certificate-lifetime',
      { voucherLifetimeSeconds: 500 * 86_400, vaNotAfter: start.getTime() + 500 * 86_400 * second },
    ],
  ])('a voucher wrong in %s does not leave', async (rule, parts) => {
    const world = createWorld(parts);
    const draw = drawn(world);
    const refused = await refusal(() => issue(world, draw, evidence(draw, 4)));
    expect(refused.code).toBe(RefusalCode.REFUSAL_CODE_INTERNAL);
    expect(refused.detail).toContain(rule.replace(/^content: (.*)/, 'content: $1 is not'));
    expect(world.records).toMatchObject([{ event: 'refused', code: 'internal' }]);
  });

  it.each<[string, Parameters<typeof createWorld>[0]]>([
    [
      'the HSM does not answer',
      {
        sign: () => {
          throw new Error('token gone');
        },
      },
    ],
    ['the HSM answers nonsense', { sign: () => Buffer.from('nonsense') }],
    ['the voucher cannot be encoded', { voucherSigner: broken({ port: 0 }) }],
  ])('refuses and puts on record that %s', async (_, parts) => {
    const world = createWorld(parts);
    const draw = drawn(world);
    const refused = await refusal(() => issue(world, draw, evidence(draw, 4)));
    expect(refused).toMatchObject({
      code: RefusalCode.REFUSAL_CODE_INTERNAL,
      detail: 'the voucher was not signed',
    });
    expect(world.records).toMatchObject([{ event: 'refused', code: 'internal', evidence: { length: 4 } }]);
  });

  it('gives no voucher out that is not on record', async () => {
    let written = Promise.withResolvers<number>();
    const world = createWorld({ audit: () => written.promise });
    const draw = drawn(world);
    let done = false;
    const waiting = issue(world, draw, evidence(draw, 4)).then((issued) => {
      done = true;
      return issued;
    });
    await new Promise(setImmediate);
    expect(done).toBe(false);
    written.resolve(41);
    expect((await waiting).auditSequence).toBe(41);

    const next = drawn(world);
    written = Promise.withResolvers<number>();
    written.reject(new Error('disk full'));
    expect(await outcome(() => issue(world, next, evidence(next, 4)))).toBe('internal');
    // That draw is spent: a voucher was signed on it.
    expect(await outcome(() => issue(world, next, evidence(next, 4)))).toBe('unknown-draw');
  });

  it('a refusal that cannot be put on record is a refusal', async () => {
    const world = createWorld({ audit: () => Promise.reject(new Error('disk full')) });
    const draw = drawn(world);
    expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
  });
});
