import type { ObservationRow } from './rows.ts';
import type { Store } from './store.ts';

export interface Counts {
  readonly observations: number;
  readonly certificates: number;
  readonly decisions: number;
  readonly mismatches: number;
  /** Observations as the rates by minute count them. */
  readonly rates: number;
  readonly campaigns: number;
}

const counts = `SELECT
  (SELECT count() FROM observations) AS observations,
  (SELECT uniqExact(fingerprint) FROM certificates) AS certificates,
  (SELECT count() FROM decisions) AS decisions,
  (SELECT count() FROM mismatches) AS mismatches,
  (SELECT sum(observations) FROM rates_by_minute) AS rates,
  (SELECT uniqExact(id) FROM campaigns) AS campaigns`;

/** Rows by table. */
export async function countRows(store: Store): Promise<Counts> {
  const [row] = await store.query<Counts>(counts);
  return row!;
}

// Addresses as people write them, times in milliseconds since 1970.
const observations = `SELECT * EXCEPT (stored_at) REPLACE (
    replaceRegexpOne(toString(address), '^::ffff:', '') AS address,
    toUnixTimestamp64Milli(received_at) AS received_at,
    toUnixTimestamp64Milli(observed_at) AS observed_at
  )
  FROM observations AS o WHERE o.nonce = {nonce:String} ORDER BY o.received_at, o.id LIMIT 1000`;

/** What the perspectives of one draw saw, at most 1,000 rows. */
export const observationsOf = (store: Store, nonce: string): Promise<ObservationRow[]> =>
  store.query<ObservationRow>(observations, { nonce });
