/** Another VA key takes over while a server staples and clients enforce. */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseSignedVoucher } from '@mecai/voucher';
import { expect, test, vi } from 'vitest';
import { serverCertificate, vaCertificate } from '../network/index.ts';
import { connect, guardOf } from './client.ts';
import { type StockServers, freePorts, identity, serverAddress } from './stock-servers.ts';
import type { World } from './world.ts';

const repository = join(import.meta.dirname, '../../..');
const hour = 3_600_000;
const patience = { timeout: 60_000, interval: 100 };

/** @param at what `beforeAll` of the caller has started */
export function rolloverTests(at: () => { readonly world: World; readonly servers: StockServers }): void {
  test('old vouchers stay good, the next renewal staples new ones, and clients notice neither', async () => {
    const { world, servers } = at();
    const network = world.networks.gamma;
    const { directory, pki, signer, vrpUrl, files } = network;
    const [port = 0] = await freePorts(1);
    const leaf = serverCertificate(world.web.pki.webIntermediate, { dns: ['www.shop.test'] });
    const identities = [identity(world, 'rollover-leaf', leaf, world.web.pki.webIntermediate)];
    const addresses = [serverAddress];
    servers.nginx('rollover', [{ port, addresses, identities }]);
    await servers.startNginx(world.file('rollover.conf'), [port]);
    const conf = servers.nginx('rollover', [
      { port, addresses, identities, serverInfo: world.file('rollover.serverinfo') },
    ]);
    const commands = {
      server: { kind: 'nginx', configuration: conf },
      test: servers.nginxCommand(conf, '-t'),
      reload: servers.nginxCommand(conf, '-s', 'reload'),
      vas: ['gamma'],
    };
    /** One round of `mecai staple`, so much later; what it has then. */
    const staple = async (later: number) => {
      const { stapler, close } = world.stapler('rollover', commands, () => Date.now() + later);
      await stapler.round();
      close();
      const said = stapler.status.targets[0]!.vas.get('gamma')!;
      expect([said.last!.status, stapler.status.problems]).toEqual(['issued', []]);
      return stapler.status.counts.requests;
    };
    const only = { choice: { choose: 1, accept: 1, rules: [{ vas: { in: ['SG'] } }] } };
    const guard = guardOf({
      list: { ...world.list, vas: world.list.vas.filter(({ id }) => id === 'gamma') },
      policy: { trustContext: 'MOZ', ...only },
    });
    /** Serial number of the certificate of the VA whose voucher an accepting client is shown; none if it refuses. */
    const shown = async (): Promise<string | undefined> => {
      const { outcome, codes } = await connect(guard, { port });
      return codes.length > 0
        ? undefined
        : new X509Certificate(parseSignedVoucher(outcome.check.vouchers[0]!.voucher).vaCertificate)
            .serialNumber;
    };
    // The reload is a signal, and old workers answer for another moment: the same, five times in a row.
    const settled = (wanted: (serial: string) => boolean) =>
      vi.waitFor(async () => {
        const five = [await shown(), await shown(), await shown(), await shown(), await shown()];
        expect(new Set(five).size).toBe(1);
        expect(five[0] !== undefined && wanted(five[0])).toBe(true);
        return five[0]!;
      }, patience);

    expect(await staple(0)).toBe(1);
    const old = await settled(() => true);

    const text = readFileSync(join(directory, 'signer.json'), 'utf8');
    const before = JSON.parse(text) as { hsm: object };
    const nextVa = { key: 'va-2', certificate: join(directory, 'va-2-chain.pem') };
    const configure = (changes: object) =>
      writeFileSync(join(directory, 'signer.json'), JSON.stringify({ ...before, ...changes }));
    const run = (program: string, ...args: string[]) =>
      promisify(execFile)(process.execPath, [join(repository, program), ...args], {
        env: { ...process.env, SOFTHSM2_CONF: join(directory, 'softhsm2.conf') },
      });
    const ceremony = (...args: string[]) =>
      run('signer/src/main.ts', ...args, '--config', join(directory, 'signer.json'));
    const csr = join(directory, 'va-2.csr');
    const certificate = join(directory, 'va-2.pem');
    const perspectives = (...more: string[]) =>
      run(
        'client/src/main.ts',
        'perspectives',
        vrpUrl,
        '--roots',
        files.vaRoot,
        '--va-ca',
        files.httpsCa,
        ...more,
      );
    const versions = async () => (await perspectives('--history')).stdout.match(/version \d+/g)?.length ?? 0;
    const announced = await versions();
    configure({ nextVa });
    await ceremony('keygen', '--next');
    await ceremony('csr', '--next', '--subject', 'CN=Second Opinion VA', '--out', csr);
    writeFileSync(certificate, vaCertificate(pki.vaRoot, csr));
    await ceremony('install-certificate', '--next', '--certificate', certificate);
    expect(await signer.reload()).toMatchObject({ changed: ['nextVa'] });
    configure({ hsm: { ...before.hsm, key: 'va-2' }, vaCertificate: nextVa.certificate });
    expect(await signer.reload()).toMatchObject({ msg: 'configuration reloaded' });

    // What was stapled before is as good as it was, and nobody is asked for another before it is due.
    expect(await shown()).toBe(old);
    expect(await staple(11 * 60_000)).toBe(0);
    // Due.
    expect(await staple(20 * hour)).toBe(1);
    await settled((serial) => serial !== old);
    // The VA's own word on its perspectives, of both times, under the same root.
    expect(await versions()).toBeGreaterThanOrEqual(announced);
    expect((await perspectives()).stdout).toContain('Frankfurt');
  }, 240_000);
}
