/** What clients told: failed checks where the interception is, and sums of a fortnight in which they become more. */
import type { Store } from '../store.ts';

const reports = `INSERT INTO client_reports (id, received_at, seen_at, coordinator, report, times, mode, codes, address,
    port, server_name, start_tls, chain, leaf, vas, vouchers)
  SELECT id, received_at, toStartOfMinute(received_at), 'va1', lower(hex(SHA256(id))), 1, 'enforce',
    ['other-intermediates', 'other-leaf'], address, port, server_name, '', chain, leaf, ['va1', 'va2'], [leaf]
  FROM observations WHERE verdict = 'mismatch' AND country = 'KZ' ORDER BY received_at, id LIMIT 40`;

/** Three clients a day. */
const statistics = `INSERT INTO client_statistics (id, received_at, coordinator, day, count.code, count.checks)
  SELECT lower(hex(MD5(concat(toString(day), toString(client))))), toDateTime64(day + 1, 3, 'UTC'), 'va1', day,
    ['accepted', 'no-voucher', 'expired', 'other-leaf'],
    [200 + cityHash64(day, client) % 50, 9 + client, 2, if(ago < 3, 12 - 4 * ago, 0)]
  FROM (SELECT number % 14 AS ago, intDiv(number, 14) AS client,
      toDate(fromUnixTimestamp64Milli({until:Int64}, 'UTC'), 'UTC') - ago AS day FROM numbers(42))`;

/** @param until milliseconds since 1970 */
export async function seedClients(store: Store, until: number): Promise<void> {
  await store.command(reports);
  await store.command(statistics, { until });
}
