/**
 * A man in the middle next to the client, with the key of one CA and of two, against 1,000 connections each. A client
 * that draws three of N VAs for each connection accepts what one of them vouches for, unless that one is of the CA
 * that issued the certificate. So with one CA's key no connection is lost, and with two CAs' keys those that draw
 * the second CA's VA: C(N-1, 2) of C(N, 3), which is 3/N.
 */
import { createHash, hash } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import { type ServerCode, requestVoucher, type VaList } from '@mecai/client';
import { encodeServerInfo } from '@mecai/client/staple';
import { type ListedVa, voucherFor } from '@mecai/client/testing';
import { parseCertificate } from '@mecai/pki';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Endpoint, route, serverCertificate } from '../network/index.ts';
import { connect, guardOf } from './client.ts';
import { freePorts, identity, serverAddress, StockServers } from './stock-servers.ts';
import { vaNames, type World } from './world.ts';

const connections = 1_000;
const victim = '127.66.0.1';
/** Where the way leads. */
const backend = '127.0.0.1';

/** @param at what `beforeAll` of the caller has started, with twenty VAs */
export function attackTests(at: () => { readonly world: World; readonly servers: StockServers }): void {
  let world: World;
  let servers: StockServers;
  let path: Endpoint;
  let list: VaList;
  /** VAs whose CAs were broken into: the first one's CA has issued the forged certificate. */
  let first: ListedVa;
  let second: ListedVa;
  let forged: readonly Uint8Array[];

  beforeAll(async () => {
    ({ world, servers } = at());
    [first, second] = world.inName as unknown as [ListedVa, ListedVa];
    const { webIntermediate, brokenIntermediate } = world.web.pki;
    const name = { dns: ['www.shop.test'] };
    const leaf = serverCertificate(brokenIntermediate, name);
    forged = [leaf.der, brokenIntermediate.der];
    // The vendor knows whose keys a CA's are.
    const caKeys = [hash('sha256', parseCertificate(brokenIntermediate.der).spki, 'buffer')];
    list = {
      ...world.list,
      vas: world.list.vas.map((va) => (va.id === first.entry.id ? { ...va, caKeys } : va)),
    };
    const [genuine = 0, attacker = 0] = await freePorts(2, backend);
    path = await route(serverAddress, { port: genuine, close: async () => {} }, (from) =>
      from === victim ? { port: attacker, close: async () => {} } : undefined,
    );
    const addresses = [backend];
    const configuration = servers.nginx('attack', [
      {
        port: genuine,
        addresses,
        identities: [identity(world, 'genuine', serverCertificate(webIntermediate, name), webIntermediate)],
      },
      {
        port: attacker,
        addresses,
        identities: [identity(world, 'forged', leaf, brokenIntermediate)],
        serverInfo: stolen([]),
      },
    ]);
    await servers.startNginx(configuration, [genuine, attacker], backend);
  }, 180_000);
  afterAll(() => path?.close());

  /**
   * The attacker does not know what a client will draw: what he has goes under every codepoint.
   * @returns the file
   */
  function stolen(keys: readonly ListedVa[]): string {
    const vouchers = keys.map((va) =>
      va.issue(voucherFor({ chain: forged, address: serverAddress, port: path.port, at: new Date() })),
    );
    const infos = world.list.vas.map(({ codepoint }) => {
      const own = keys.findIndex(({ entry }) => entry.codepoint === codepoint);
      return { type: codepoint, data: vouchers[own] ?? vouchers.at(-1) ?? new Uint8Array() };
    });
    return world.file('stolen.serverinfo', encodeServerInfo(infos));
  }

  /** The same octets in every run. */
  function seeded(seed: string): (octets: number) => Uint8Array {
    let count = 0;
    return (octets) => createHash('sha256').update(`${seed} ${count++}`).digest().subarray(0, octets);
  }

  async function load(keys: readonly ListedVa[]): Promise<void> {
    stolen(keys);
    servers.run(servers.nginxCommand(world.file('attack.conf'), '-s', 'reload'));
    const guard = guardOf({ list });
    // Old workers answer for another moment: until ten in a row know the new file.
    const last = keys.at(-1)!.entry;
    for (let served = 0; served < 10; ) {
      const { outcome } = await connect(guard, { port: path.port, localAddress: victim });
      const shown = outcome.check.vouchers.some(({ va }) => va?.id === last.id);
      served = shown ? served + 1 : 0;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  /** 1,000 connections of the victim: who was deceived, and what the others said. */
  async function attacked(seed: string, accept: number, connections = 1_000) {
    const guard = guardOf({
      list,
      policy: { choice: { choose: 3, accept, rules: [] } },
      random: seeded(seed),
    });
    const seen = { accepted: 0, secondDrawn: 0, firstDrawn: 0, codes: new Map<ServerCode, number>() };
    const one = async () => {
      const { outcome, choice, codes } = await connect(guard, { port: path.port, localAddress: victim });
      const drawn = (va: ListedVa) => choice.vas.some(({ id }) => id === va.entry.id);
      if (outcome.verdict === 'accept') seen.accepted++;
      if (drawn(first)) seen.firstDrawn++;
      if (drawn(second)) seen.secondDrawn++;
      for (const code of codes) seen.codes.set(code, (seen.codes.get(code) ?? 0) + 1);
    };
    let left = connections;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (left-- > 0) await one();
      }),
    );
    return seen;
  }

  describe('a man in the middle with a forged certificate', () => {
    test('gets no voucher from the three networks: they see the shop’s own', async () => {
      for (const name of vaNames) {
        const { vrpUrl, files } = world.networks[name];
        const { results } = await requestVoucher(
          vrpUrl,
          {
            ipv4: parseAddress(serverAddress),
            port: path.port,
            serverName: 'www.shop.test',
            chains: [forged],
          },
          { ca: readFileSync(files.httpsCa, 'utf8') },
        );
        expect(results).toMatchObject([{ status: 'mismatch' }]);
      }
    });

    test('and the key of one CA, its VA’s included, deceives nobody', async () => {
      await load([first]);
      const { accepted, firstDrawn, codes } = await attacked('one', 1);
      expect(accepted).toBe(0);
      // Where his VA was drawn it is of the same CA; elsewhere it was not asked.
      expect(codes.get('same-ca')).toBe(connections);
      expect(codes.get('va-not-chosen')).toBe(connections - firstDrawn);
    }, 180_000);

    test('and the keys of two CAs deceives three of twenty, and nobody who wants two to vouch', async () => {
      await load([first, second]);
      const { accepted, secondDrawn, codes } = await attacked('two', 1);
      expect(accepted).toBe(secondDrawn);
      // 3/20 of 1,000: 99.9 % of all seeds are within 3.29 standard deviations.
      const share = 3 / list.vas.length;
      const deviation = Math.sqrt(connections * share * (1 - share));
      expect(Math.abs(accepted - connections * share)).toBeLessThan(3.29 * deviation);
      expect(codes.get('va-not-chosen')).toBe(connections - accepted);

      expect((await attacked('both', 2, 100)).accepted).toBe(0);
    }, 180_000);
  });
}
