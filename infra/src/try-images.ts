#!/usr/bin/env node
/**
 * `npm run try-images`: a network on this machine whose processes are containers of the images that
 * infra/container/Containerfile makes, until each is ready and a voucher came. Wants podman, and root.
 *
 * PODMAN: the program and its options. RUN: further options of `podman run`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { requestVoucher } from '@mecai/client';
import { eightCities, serverCertificate, startNetwork, tlsServer } from '@mecai/test/network';

const { PODMAN = 'podman', RUN = '' } = process.env;
const cities = eightCities.slice(0, 6);
const user = 65_532;
const directory = mkdtempSync(join(tmpdir(), 'mecai-images-'));

/** As `image` is run in production, but for the network; what it says that it is ready goes through a pipe, file 3. */
function container(name: string): string[] {
  const image = cities.some((city) => city.name === name) ? 'probe-agent' : name;
  execFileSync('chown', ['-R', `${user}:${user}`, directory]);
  const hardened = '--read-only --cap-drop=all --security-opt=no-new-privileges';
  const told =
    '--env NODE_CHANNEL_FD --env NODE_CHANNEL_SERIALIZATION_MODE --env SOFTHSM2_CONF --preserve-fds=1';
  const run = `${PODMAN} run --rm --network=host ${hardened} ${told} ${RUN}`;
  // The image has the runtime, its options and the program already.
  const script = `shift 4; exec ${run} --volume "${directory}:${directory}" mecai-${image} "$@"`;
  return ['sh', '-c', script, 'run'];
}

let network: Awaited<ReturnType<typeof startNetwork>> | undefined;
try {
  network = await startNetwork({
    directory,
    cities,
    command: container,
    dashboard: true,
    analytics: true,
    progress: console.log,
  });
  const { coordinator, signer, analytics, campaigns, agents } = network;
  for (const one of [signer, coordinator, analytics!, campaigns!, ...agents.values()]) {
    let status = 0;
    for (let tries = 0; status !== 200 && tries < 100; tries++) {
      if (tries > 0) await setTimeout(200);
      ({ status } = await fetch(`${one.ready['admin']}/readyz`));
    }
    if (status !== 200) throw new Error(`${one.name} does not become ready: ${one.log()}`);
    console.log(`${one.name} is ready`);
  }
  const { webIntermediate } = network.pki;
  const chain = [serverCertificate(webIntermediate, { dns: ['www.example.test'] }), webIntermediate] as const;
  const endpoint = await tlsServer(chain, '127.0.0.80');
  const chains = [chain.map(({ der }) => der)];
  const { results } = await requestVoucher(
    network.vrpUrl,
    { ipv4: Uint8Array.of(127, 0, 0, 80), port: endpoint.port, serverName: 'www.example.test', chains },
    { ca: readFileSync(network.files.httpsCa, 'utf8') },
  );
  await endpoint.close();
  console.log(`a voucher: ${results[0]?.status}`);
  process.exitCode = results[0]?.status === 'issued' ? 0 : 1;
} finally {
  await network?.stop();
  rmSync(directory, { recursive: true, force: true });
}
