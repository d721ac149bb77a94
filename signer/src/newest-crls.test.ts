import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { der, parseCertificate } from '@mecai/pki';
import { testCrl, testOcsp } from '@mecai/voucher/testing';
import { afterAll, expect, it } from 'vitest';
import { SignerError } from './error.ts';
import { linkOf } from './link.ts';
import { NewestCrls } from './newest-crls.ts';
import { RevocationEvidence } from './revocation-evidence.ts';
import { leaf, start, webIntermediate } from './testing/world.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-newest-crls-'));
afterAll(() => rmSync(directory, { recursive: true }));

const hours = (n: number) => new Date(start.getTime() + n * 3_600_000);
const crl = (number: number, hour: number) => ({ number: BigInt(number), thisUpdate: hours(hour) });
const link = linkOf(parseCertificate(leaf.der), parseCertificate(webIntermediate.der), []);
const fail = (error: unknown) => {
  throw error;
};

it('a restart forgets nothing', async () => {
  const file = join(directory, 'a');
  const before = NewestCrls.open(file, fail);
  before.note('issuer', crl(7, 1));
  before.note('issuer', crl(8, 2));
  before.note('other', { number: 1n << 150n, thisUpdate: hours(0) });
  await before.close();
  const after = NewestCrls.open(file, fail);
  expect(after.isOld('issuer', crl(7, 3))).toBe(true);
  expect(after.isOld('issuer', crl(9, 1))).toBe(true);
  expect(after.isOld('issuer', crl(8, 2))).toBe(false);
  expect(after.isOld('issuer', crl(9, 3))).toBe(false);
  expect(after.isOld('other', { number: (1n << 150n) - 1n, thisUpdate: hours(1) })).toBe(true);
  expect(after.isOld('third', crl(0, 0))).toBe(false);
});

it('is on the disk within two seconds, without an end of the process', async () => {
  const file = join(directory, 'b');
  NewestCrls.open(file, fail).note('issuer', crl(7, 1));
  await expect.poll(() => existsSync(file), { timeout: 60_000 }).toBe(true);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ issuer: ['7', hours(1).getTime()] });
});

it.each(['', '{', '[]', '{"issuer":["x",1]}', '{"issuer":["1",-1]}', '{"issuer":["1"]}'])(
  'a file with %j in it is not passed over',
  (text) => {
    const file = join(directory, 'c');
    writeFileSync(file, text);
    expect(() => NewestCrls.open(file, fail)).toThrow(SignerError);
  },
);

it('tells when it cannot write', async () => {
  const trouble: unknown[] = [];
  const newest = NewestCrls.open(join(directory, 'absent', 'd'), (error) => trouble.push(error));
  newest.note('issuer', crl(1, 1));
  await newest.close();
  expect(trouble).toHaveLength(1);
});

const now = () => start;
const after = async (file: string, first: (evidence: RevocationEvidence) => unknown) => {
  const before = NewestCrls.open(join(directory, file), fail);
  await first(new RevocationEvidence({ octets: 1_000_000 }, before));
  await before.close();
  return new RevocationEvidence({ octets: 1_000_000 }, NewestCrls.open(join(directory, file), fail));
};

it('an older CRL that has not expired does not undo a revocation after a restart', async () => {
  const older = testCrl(webIntermediate, { number: 4, thisUpdate: hours(-2) });
  const revoked = [{ certificate: leaf }];
  const newer = testCrl(webIntermediate, { number: 5, thisUpdate: hours(-1), revoked });
  const restarted = await after('e', (evidence) => evidence.addCrl(newer, link, now));
  expect(await restarted.addCrl(older, link, now)).toBe(false);
  expect(restarted.status(link, start).status).toBe('unknown');
  expect(await restarted.addCrl(newer, link, now)).toBe(true);
  expect(restarted.status(link, start).status).toBe('revoked');
});

it('nor does an older OCSP response', async () => {
  const about = { about: leaf, issuer: webIntermediate, nextUpdate: hours(20) };
  const older = testOcsp({ ...about, thisUpdate: hours(-2) });
  const revoked = testOcsp({ ...about, thisUpdate: hours(-1), status: 'revoked' });
  const restarted = await after('f', (evidence) => evidence.addOcsp(revoked, link, start));
  expect(restarted.addOcsp(older, link, start)).toBe(false);
  expect(restarted.status(link, start).status).toBe('unknown');
  // A hold that was lifted.
  expect(restarted.addOcsp(testOcsp({ ...about, thisUpdate: hours(0) }), link, start)).toBe(true);
  expect(restarted.status(link, start).status).toBe('good');
});

it('what is not verified is not remembered', async () => {
  const forged = testCrl(
    { ...webIntermediate, privateKey: leaf.privateKey },
    { number: 99, thisUpdate: hours(-1) },
  );
  const restarted = await after('g', async (evidence) => {
    await expect(evidence.addCrl(forged, link, now)).rejects.toThrow('signature');
    await expect(evidence.addCrl(der.sequence(), link, now)).rejects.toThrow();
  });
  const genuine = testCrl(webIntermediate, { number: 1, thisUpdate: hours(-2) });
  expect(await restarted.addCrl(genuine, link, now)).toBe(true);
});
