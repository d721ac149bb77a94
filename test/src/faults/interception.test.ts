import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { requestVoucher } from '@mecai/client';
import { isMatch, parseSignedVoucher } from '@mecai/voucher';
import { createHash } from 'node:crypto';
import { type Books, discrepancies, readBooks } from './books.ts';
import { type Stage, eventually, setStage } from './stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await setStage();
});
afterAll(() => stage.close());
beforeEach(() => stage.intercept([]));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

async function ask() {
  const { network, request, ca } = stage;
  return (await requestVoucher(network.vrpUrl, request, { ca })).results[0]!;
}

/** The books, once so many mismatches are in them. */
async function booksWith(mismatches: number): Promise<Books> {
  let books!: Books;
  await eventually(`${mismatches} mismatches`, async () => {
    books = await readBooks(stage.network);
    return books.mismatches.length >= mismatches;
  });
  return books;
}

it('in front of one region: a voucher, and events with the evidence', async () => {
  const region = ['singapore', 'sydney'];
  stage.intercept(region);
  const result = await ask();
  expect(result.status).toBe('issued');
  const { mismatches, decisions, ...rest } = await booksWith(2);
  expect(mismatches.map(({ agent }) => agent).toSorted()).toEqual(region);
  for (const { expected, observed, evidence } of mismatches) {
    expect(expected.map(hex)).toEqual(stage.request.chains[0]!.map((der) => hex(sha256(der))));
    expect(hex(observed[0]!)).not.toBe(hex(expected[0]!));
    expect(rest.observations.map(({ hash }) => hash)).toContain(hex(sha256(evidence!.observation)));
  }
  const { voucher } = parseSignedVoucher(result.voucher!);
  expect(voucher.perspectives.filter(isMatch).length).toBeGreaterThanOrEqual(4);
  expect(hex(voucher.leaf)).toBe(hex(sha256(stage.request.chains[0]![0]!)));
  expect(discrepancies({ mismatches, decisions, ...rest }, [result.voucher!])).toEqual([]);
});

it('in front of four agents: a mismatch, told to the requester', async () => {
  const before = (await readBooks(stage.network)).mismatches.length;
  const four = ['ashburn', 'montreal', 'singapore', 'sydney'];
  stage.intercept(four);
  const result = await ask();
  expect(result).toMatchObject({ status: 'mismatch' });
  expect(result.voucher).toBeUndefined();
  expect(result.detail).toMatch(/of 6 perspectives \d saw this chain, [34] another/);
  const dissent = result.perspectives.filter(({ ipv4 }) => ipv4?.verdict === 'mismatch');
  expect(dissent.length).toBeGreaterThanOrEqual(3);
  const { mismatches, decisions } = await booksWith(before + 4);
  expect(new Set(mismatches.slice(-4).map(({ agent }) => agent))).toEqual(new Set(four));
  expect(decisions.at(-1)).toMatchObject({ status: 'mismatch' });
});

it('gone again: a voucher as before', async () => {
  expect((await ask()).status).toBe('issued');
});

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
