/** Three voucher authorities of three CAs on this machine, a client vendor's list of them, and more VAs in name. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { signVaList, type VaEntry, type VaList } from '@mecai/client';
import { type Assembled, assemble, loadStapleConfig } from '@mecai/client/staple';
import { type ListedVa, listedVa } from '@mecai/client/testing';
import { type Network, type TestWeb, pem, startNetwork, startWeb } from '../network/index.ts';

export const vaNames = ['alpha', 'beta', 'gamma'] as const;
export type VaName = (typeof vaNames)[number];

export interface World {
  readonly directory: string;
  readonly web: TestWeb;
  readonly networks: Readonly<Record<VaName, Network>>;
  /** VAs that exist in the list and as a key only: what somebody with that key could sign. */
  readonly inName: readonly ListedVa[];
  /** All of them. */
  readonly list: VaList;
  readonly file: (name: string, content?: string | Uint8Array, mode?: number) => string;
  /** Of `mecai staple`, with the three networks as its VAs. */
  readonly stapler: (name: string, more: object, now?: () => number) => Assembled;
  readonly stop: () => Promise<void>;
}

const countries = { alpha: 'DE', beta: 'US', gamma: 'SG' } as const;

/** @param inName how many VAs there are besides the three */
export async function startWorld(inName: number): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-relying-party-'));
  // Workers of stock servers run as somebody else.
  chmodSync(directory, 0o755);
  const file: World['file'] = (name, content, mode = 0o644) => {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (content !== undefined) writeFileSync(path, content, { mode });
    return path;
  };
  const web = await startWeb();
  const started = await Promise.allSettled(
    vaNames.map((name) =>
      startNetwork({
        directory: file(`${name}/x`).slice(0, -2),
        web,
        caName: name,
        agentProcesses: 1,
        // Renewal that a VA asks for is asked for at once.
        coordinator: { renewal: { askSignerMs: 100, windowSeconds: 0 } },
      }),
    ),
  );
  const running = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async () => {
    await Promise.all(running.map((one) => one.stop()));
    await web.crls.close();
    rmSync(directory, { recursive: true, force: true });
  };
  const failed = started.find((one) => one.status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const [alpha, beta, gamma] = running as [Network, Network, Network];
  const networks = { alpha, beta, gamma };
  const madeAt = new Date();
  const others = Array.from({ length: inName }, (_, i) =>
    listedVa(i, { id: `va-${i}`, operator: `Operator ${i}`, codepoint: 65_400 + i }, madeAt),
  );
  const listed = vaNames.map((name, i): VaEntry => {
    const { pki, vrpUrl } = networks[name];
    const common = {
      name: `${name} VA`,
      operator: `${name} CA`,
      country: countries[name],
      status: 'active',
    } as const;
    return { id: name, ...common, vrp: vrpUrl, roots: [pki.vaRoot.der], caKeys: [], codepoint: 65_300 + i };
  });
  const today = Date.parse(`${madeAt.toISOString().slice(0, 10)}T00:00:00Z`);
  const list: VaList = {
    version: 1,
    issuer: 'Example Browser',
    issuedAt: new Date(today),
    expires: new Date(today + 90 * 86_400_000),
    vas: [...listed, ...others.map(({ entry }) => entry)],
  };
  const vendor: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
  });
  file('va-list.jws', signVaList(list, 'vendor-1', vendor.privateKey));
  file('vendor.pem', vendor.publicKey.export({ type: 'spki', format: 'pem' }));
  file('va-ca.pem', pem(...vaNames.map((name) => networks[name].pki.vaRoot)));
  return {
    directory,
    web,
    networks,
    inName: others,
    list,
    file,
    stapler(name, more, now = Date.now) {
      const config = file(
        `${name}.staple.json`,
        JSON.stringify({
          vaList: 'va-list.jws',
          vaListKeys: { 'vendor-1': 'vendor.pem' },
          vas: vaNames,
          vaCa: 'va-ca.pem',
          state: `${name}.state`,
          ...more,
        }),
      );
      return assemble(loadStapleConfig(config), { now, random: Math.random, log: () => undefined });
    },
    stop,
  };
}
