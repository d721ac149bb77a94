/** Tests of the options that say how evidence is judged and what vouchers say, by option: see config.test.ts. */
import { setTimeout as delay } from 'node:timers/promises';
import { testCrl } from '@mecai/voucher/testing';
import { expect } from 'vitest';
import { nameOf } from './client.ts';
import type { SignerBed } from './signer-bed.ts';
import { chainOf, todaysLeaf, webIntermediate, webRoot } from './world.ts';

export const quorum = (changes: object) => ({ quorum: changes });
export const revocation = (changes: object) => ({ revocation: { policy: 'allow-unknown', ...changes } });
export const draws = (changes: object) => ({ draws: changes });

export function judgementOptions(bed: SignerBed): Record<string, () => Promise<void>> {
  const { start, ask, asking, issued, asIs } = bed;
  return {
    async 'quorum.perspectives'() {
      expect((await issued(quorum({ perspectives: 3 }))).quorum).toMatchObject({ asked: 3, matches: 2 });
      expect((await issued(quorum({ perspectives: 8 }))).quorum).toMatchObject({ asked: 8, matches: 6 });
    },
    async 'quorum.minRegions'() {
      expect((await issued(quorum({ minRegions: 5 }))).quorum.regions).toBe(5);
      expect(await asIs(quorum({ minRegions: 5 }))).toBe('no-quorum');
    },
    async 'quorum.minNetworks'() {
      expect((await issued(quorum({ minNetworks: 6 }))).quorum.networks).toBe(6);
      expect(await asIs(quorum({ minNetworks: 6 }))).toBe('no-quorum');
    },
    async 'quorum.minDistanceKm'() {
      expect((await issued(quorum({ minDistanceKm: 0 }))).quorum.kilometres).toBe(0);
      expect(await asIs(quorum({ minDistanceKm: 9000 }))).toBe('too-few-perspectives');
    },
    async 'quorum.matchIntermediates'() {
      const leafOnly = { chain: chainOf(todaysLeaf) };
      expect(await (await asking({})).voucher(6, leafOnly)).toBe('no-quorum');
      expect(await (await asking(quorum({ matchIntermediates: false }))).voucher(6, leafOnly)).toBe('issued');
    },
    async 'revocation.policy'() {
      expect(await asIs(revocation({ policy: 'require' }))).toBe('revocation-unknown');
      expect(await asIs(revocation({ policy: 'allow-unknown' }))).toBe('issued');
    },
    async 'revocation.vaPolicy'() {
      expect(await asIs(revocation({ vaPolicy: 'require' }))).toBe('internal');
      expect(await asIs(revocation({ vaPolicy: 'allow-unknown' }))).toBe('issued');
    },
    async 'revocation.newestCrls'() {
      /** CRLs in use after one with this number was handed in to a signer that has just started. */
      const inUse = async (file: string, number: number) => {
        const server = await start(revocation({ newestCrls: bed.files.at(file) }));
        const client = ask(server);
        const drawn = await client.draw();
        if (typeof drawn === 'string') throw new Error(drawn);
        const thisUpdate = new Date(Date.now() - 60_000 + number * 1_000);
        const crl = testCrl(webIntermediate, { number, thisUpdate });
        expect(await client.supply(drawn, 0, crl)).toEqual({ accepted: true, detail: '' });
        const answer = await fetch(`${server.admin}/status`);
        return (JSON.parse(await answer.text()) as { revocationEvidence: number }).revocationEvidence;
      };
      expect(await inUse('one.crls', 5)).toBe(1);
      expect(await inUse('one.crls', 4)).toBe(0);
      expect(await inUse('other.crls', 4)).toBe(1);
    },
    async 'revocation.crlOctets'() {
      const crl = testCrl(webIntermediate, { number: 1, padding: 100 });
      const supplied = async (crlOctets: number) => {
        const client = await asking(revocation({ crlOctets }));
        const drawn = await client.draw();
        if (typeof drawn === 'string') throw new Error(drawn);
        return client.supply(drawn, 0, crl);
      };
      expect(await supplied(crl.length)).toEqual({ accepted: true, detail: '' });
      expect(await supplied(crl.length - 1)).toMatchObject({
        accepted: false,
        detail: `longer than ${crl.length - 1} octets`,
      });
    },
    async 'revocation.cacheOctets'() {
      const kept = async (cacheOctets: number) => {
        const server = await start(revocation({ cacheOctets }));
        const client = ask(server);
        const drawn = await client.draw();
        if (typeof drawn === 'string') throw new Error(drawn);
        for (const [link, ca] of [webIntermediate, webRoot].entries()) {
          const crl = testCrl(ca, { number: 1, padding: 1_000 });
          expect(await client.supply(drawn, link, crl, 10_000)).toEqual({ accepted: true, detail: '' });
        }
        const status: { revocationEvidence?: number } = JSON.parse(
          await (await fetch(`${server.admin}/status`)).text(),
        );
        return status.revocationEvidence;
      };
      expect(await kept(200_000)).toBe(2);
      expect(await kept(100_000)).toBe(1);
    },
    async voucherLifetimeSeconds() {
      const { producedAt, notAfter } = await issued({ voucherLifetimeSeconds: 600 });
      expect(notAfter.getTime() - producedAt.getTime()).toBe(600_000);
    },
    async clockToleranceMs() {
      const late = () => ({ observedAt: Date.now() - 60_000 });
      const changes = { maxClockOffsetMs: 600_000 };
      expect(await (await asking(changes)).voucher(4, late())).toBe('issued');
      expect(await (await asking({ ...changes, clockToleranceMs: 30_000 })).voucher(4, late())).toBe(
        'no-quorum',
      );
    },
    async maxClockOffsetMs() {
      const late = () => ({ observedAt: Date.now() - 60_000 });
      expect(await (await asking({ maxClockOffsetMs: 70_000 })).voucher(4, late())).toBe('issued');
      expect(await (await asking({ maxClockOffsetMs: 50_000 })).voucher(4, late())).toBe('clock');
    },
    async 'draws.ttlMs'() {
      const drawn = await (await asking(draws({ ttlMs: 200_000 }))).draw();
      expect(typeof drawn === 'object' && drawn.expiresAt - Date.now()).toBeGreaterThan(150_000);
    },
    async 'draws.open'() {
      const client = await asking(draws({ open: 1 }));
      expect(typeof (await client.draw())).toBe('object');
      expect(await client.draw({ port: 444 })).toBe('draw-limit');
    },
    async 'draws.attempts'() {
      const client = await asking(draws({ attempts: 1 }));
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      expect(nameOf(await client.prove(drawn, 3))).toBe('no-quorum');
      expect(nameOf(await client.prove(drawn, 4))).toBe('draw-limit');
    },
    async 'draws.perEndpoint'() {
      const client = await asking(draws({ perEndpoint: 1 }));
      expect(typeof (await client.draw())).toBe('object');
      expect(await client.draw()).toBe('draw-limit');
      expect(typeof (await client.draw({ port: 444 }))).toBe('object');
    },
    async 'draws.windowMs'() {
      // What expires stays on the count for so long after: a second here, a minute by default.
      const client = await asking(draws({ perEndpoint: 1, ttlMs: 1000, windowMs: 1000 }));
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      let again = await client.draw();
      while (again === 'draw-limit') {
        await delay(50);
        again = await client.draw();
      }
      const waited = Date.now() - drawn.expiresAt;
      expect(waited).toBeGreaterThanOrEqual(1000);
      expect(waited).toBeLessThan(20_000);
    },
  };
}
