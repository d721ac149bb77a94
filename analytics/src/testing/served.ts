import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import type { ApiParts } from '../api/context.ts';
import { startApi } from '../api/server.ts';
import { type Scope, Tokens } from '../api/tokens.ts';
import { CampaignBook } from '../campaigns/book.ts';
import type { PerspectiveHealth } from '../perspectives.ts';
import { Sandbox } from '../sql/sandbox.ts';
import { Store } from '../store.ts';
import { type SeedOptions, places, seed } from './seed.ts';

/** API and dashboard over a seeded store. */
export interface Served {
  readonly url: string;
  readonly store: Store;
  readonly directory: string;
  /** A token with these scopes. */
  token(...scopes: Scope[]): string;
  close(): Promise<void>;
}

export const seededAt = Date.UTC(2026, 10, 22, 6);
export const smallSeed: SeedOptions = {
  rows: 12_000,
  endpoints: 100,
  until: seededAt,
  spanMs: 6 * 3_600_000,
};

const where: Readonly<Record<string, readonly [latitude: number, longitude: number]>> = {
  almaty: [43.2, 76.9],
  astana: [51.2, 71.4],
  frankfurt: [50.1, 8.7],
  stockholm: [59.3, 18.1],
  ashburn: [39, -77.5],
  montreal: [45.5, -73.6],
  singapore: [1.4, 103.8],
  sydney: [-33.9, 151.2],
  lima: [-12, -77],
  nairobi: [-1.3, 36.8],
  tokyo: [35.7, 139.7],
  lagos: [6.5, 3.4],
};

export const perspectives = (): PerspectiveHealth[] =>
  places.map((place, i) => ({
    ...place,
    region: '',
    latitude: where[place.agent]![0],
    longitude: where[place.agent]![1],
    state: i === 9 ? 'silent' : i === 11 ? 'unheard' : 'alive',
    heardAt: i === 11 ? null : new Date(seededAt - (i === 9 ? 90_000 : 1_000)).toISOString(),
    clockAheadMs: i === 11 ? null : i * 3,
    probesInFlight: i % 3,
    unconfirmed: 0,
    locationCheck: i === 7 ? 'contradicts' : 'agrees',
    contradictions: i === 7 ? ['network: declared AS64508, GeoIP AS64999'] : [],
  }));

/** @param seeded what is put into the store
 * @param on the one whose store is used instead: a process has one */
export async function serve({
  seeded = smallSeed,
  on,
  ...changes
}: Partial<ApiParts> & { seeded?: SeedOptions; on?: Served } = {}): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-served-'));
  const log = createLogger('served', 'silent');
  const store =
    on?.store ??
    (await Store.open(
      {
        store: { kind: 'embedded', directory: join(directory, 'store') },
        retentionDays: 0,
        insertMs: 15_000,
      },
      log,
    ));
  if (!on) await seed(store, seeded);
  const file = join(directory, 'tokens.json');
  const known: object[] = [];
  writeFileSync(file, '[]');
  const limits = { seconds: 5, rows: 10_000, resultBytes: 20_000_000, memoryBytes: 400_000_000 };
  const sql = new Sandbox(() => store, limits, log);
  let ids = 0;
  const now = () => seededAt;
  const server = await startApi('127.0.0.1:0', {
    store: () => store,
    sql,
    tokens: new Tokens(file, log),
    limits: () => ({ anonymousRead: true, requestsPerMinute: 100_000 }),
    perspectives: { list: perspectives },
    campaigns: new CampaignBook({ now, newId: () => (++ids).toString(16).padStart(32, 'c') }),
    dashboard: undefined,
    now,
    log,
    ...changes,
  });
  return {
    url: server.url,
    store,
    directory,
    token(...scopes) {
      const token = `test-${known.length}`;
      const sha256 = createHash('sha256').update(token).digest('hex');
      known.push({ name: `test-${known.length}`, sha256, scopes });
      writeFileSync(file, JSON.stringify(known));
      return token;
    },
    async close() {
      await server.close();
      await sql.close();
      if (!on) await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
