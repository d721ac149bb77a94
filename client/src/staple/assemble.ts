/** The stapler put together from its configuration. */
import { httpFetch } from '@mecai/pki';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { ClientError } from '../error.ts';
import { vaAgent } from '../request.ts';
import { readVaList, type VaEntry } from '../va-list/va-list.ts';
import { runProgram } from './commands.ts';
import type { StapleConfig } from './config.ts';
import { StapleError } from './error.ts';
import { OcspAugmenter, OcspResponses } from './ocsp.ts';
import { RenewalSource } from './renewal-source.ts';
import { readApache } from './servers/apache-sites.ts';
import { readNginx } from './servers/nginx-sites.ts';
import type { ServerConfiguration } from './servers/site.ts';
import { diskFiles } from './servers/source-files.ts';
import { StateDirectory } from './state.ts';
import { Stapler, type StaplerParts } from './stapler.ts';
import { planTargets } from './targets.ts';
import { askVa } from './vouchers.ts';

export type Surroundings = Pick<StaplerParts, 'now' | 'random' | 'log'> & { readonly signal?: AbortSignal };

export interface Assembled {
  readonly stapler: Stapler;
  readonly state: StateDirectory;
  readonly vas: () => readonly VaEntry[];
  readonly server: () => ServerConfiguration | undefined;
  readonly close: () => void;
}

/** Throws `StapleError`. */
export function assemble(config: StapleConfig, { now, random, log, signal }: Surroundings): Assembled {
  const state = new StateDirectory(config.state);
  const ca = config.vaCa === undefined ? undefined : diskFiles.read(config.vaCa);
  const agent = vaAgent(ca === undefined ? {} : { ca });
  const timeoutMs = config.requestTimeoutSeconds * 1_000;
  const vas = () => readVas(config, state, new Date(now()));
  const server = () => readServer(config);
  const asking = { agent, timeoutMs, now, ...(signal && { signal }) };
  const fetch = httpFetch({
    resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
    // The operator's own CA, which may well be in the operator's own network.
    isAllowed: () => true,
  });
  const stapler = new Stapler({
    vas,
    plan: () => planTargets(server(), config, diskFiles),
    ask: (va, target) => askVa(va, target, asking),
    renewal: new RenewalSource({ agent, everySeconds: config.renewalInformationSeconds, timeoutMs }),
    state,
    delivery: {
      fileMode: config.fileMode,
      run: (command) => runProgram(command, config.commandTimeoutSeconds),
      ...(config.test && { test: config.test }),
      ...(config.reload && { reload: config.reload }),
    },
    ...(config.wellKnown !== undefined && { wellKnown: config.wellKnown }),
    ...(config.ocsp && {
      ocsp: {
        ...(config.ocsp.vas && { vas: config.ocsp.vas }),
        responses: new OcspResponses(fetch),
        augmenter: new OcspAugmenter(),
      },
    }),
    rhythm: { everySeconds: config.renewEverySeconds, jitter: config.jitter },
    lookEverySeconds: config.lookEverySeconds,
    concurrency: config.concurrency,
    now,
    random,
    log,
  });
  return { stapler, state, vas, server, close: () => agent.destroy() };
}

const versionFile = 'va-list-version';

/** The active VAs of the vendor's list that are wanted. Its version is remembered, so that none is rolled back. */
function readVas(config: StapleConfig, state: StateDirectory, now: Date): VaEntry[] {
  const leastVersion = Number(state.readText(versionFile) ?? 0) || 0;
  try {
    const keys = new Map(Object.entries(config.vaListKeys).map(([kid, file]) => [kid, publicKey(file)]));
    const list = readVaList(Buffer.from(diskFiles.read(config.vaList)), { keys, now, leastVersion });
    if (list.version > leastVersion) state.writeText(versionFile, String(list.version));
    const unknown = config.vas?.find((id) => !list.vas.some((va) => va.id === id));
    if (unknown !== undefined)
      throw new StapleError('bad-configuration', `vas: no VA "${unknown}" in the list`);
    return list.vas.filter(({ id, status }) => status === 'active' && (config.vas?.includes(id) ?? true));
  } catch (cause) {
    if (!(cause instanceof ClientError)) throw cause;
    throw new StapleError('unreadable-file', `${config.vaList}: ${cause.message}`, { cause });
  }
}

function publicKey(file: string): KeyObject {
  try {
    return createPublicKey(diskFiles.read(file));
  } catch (cause) {
    if (cause instanceof StapleError) throw cause;
    throw new StapleError('unreadable-file', `${file}: no public key in PEM`, { cause });
  }
}

function readServer({ server }: StapleConfig): ServerConfiguration | undefined {
  if (!server) return undefined;
  return server.kind === 'nginx'
    ? readNginx(server.configuration, diskFiles)
    : readApache(server.configuration, diskFiles, server);
}
