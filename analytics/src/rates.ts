import {
  endpointCertificatesSelect,
  endpointVantageSelect,
  fingerprintsSelect,
  ratesByHourSelect,
  ratesByMinuteSelect,
} from './schema/aggregates.ts';
import type { Store } from './store.ts';

/** Hours that rows went into shortly before the end of the process before this one. */
const lastHours = `SELECT DISTINCT toStartOfHour(received_at) FROM observations
  WHERE stored_at >= (SELECT max(stored_at) FROM observations) - INTERVAL 10 MINUTE`;

const counted = (table: string, time: string) => `SELECT groupArray(toUnixTimestamp(hour)) AS hours FROM (
  SELECT hour, sum(stored) AS stored, sum(counted) AS counted FROM (
    SELECT toStartOfHour(received_at) AS hour, sum(weight) AS stored, 0 AS counted
    FROM observations WHERE hour IN (${lastHours}) GROUP BY hour
    UNION ALL
    SELECT toStartOfHour(${time}) AS hour, 0 AS stored, sum(observations) AS counted
    FROM ${table} WHERE hour IN (${lastHours}) GROUP BY hour
  ) GROUP BY hour HAVING stored != counted)`;

const counts = [
  { table: 'rates_by_minute', time: 'minute', select: ratesByMinuteSelect },
  { table: 'rates_by_hour', time: 'hour', select: ratesByHourSelect },
] as const;

/** Taking a row twice changes nothing in these. */
const sights = [
  { table: 'fingerprints', select: fingerprintsSelect },
  { table: 'endpoint_certificates', select: endpointCertificatesSelect },
  { table: 'endpoint_vantage', select: endpointVantageSelect },
] as const;

// The session of the embedded engine may still have the token of another insert.
const insert = (table: string) => `INSERT INTO ${table} SETTINGS insert_deduplicate = 0`;

const inHours = (select: string, hours: readonly number[]) =>
  select.replace(/ GROUP BY|\nGROUP BY/, (group) => {
    const condition = `toUnixTimestamp(toStartOfHour(received_at)) IN (${hours.join()})`;
    return ` ${/ WHERE /.test(select) ? 'AND' : 'WHERE'} ${condition}${group}`;
  });

/**
 * A process that was killed between a batch and what the materialised views make of it left the views behind: the
 * hours in which they disagree with the rows are counted anew.
 *
 * @returns hours that were
 */
export async function recount(store: Store): Promise<number> {
  const wrong = new Set<number>();
  for (const { table, time, select } of counts) {
    const [found] = await store.query<{ hours: number[] }>(counted(table, time));
    const hours = found?.hours ?? [];
    if (hours.length === 0) continue;
    await store.change(
      `ALTER TABLE ${table} @cluster DELETE WHERE toUnixTimestamp(toStartOfHour(${time})) IN (${hours.join()})
       SETTINGS mutations_sync = 2`,
    );
    await store.command(`${insert(table)} ${inHours(select, hours)}`);
    for (const hour of hours) wrong.add(hour);
  }
  if (wrong.size === 0) return 0;
  for (const { table, select } of sights) {
    await store.command(`${insert(table)} ${inHours(select, [...wrong])}`);
  }
  return wrong.size;
}
