import { columns } from './columns.ts';
import { type Listing, address, between, equals } from './listing.ts';

export const clientReports: Listing = {
  name: 'client-reports',
  summary: 'Failed checks that clients reported; unsigned',
  from: 'client_reports AS t',
  time: 'received_at',
  id: 'id',
  byHour: true,
  columns: columns(`
    id received_at:time seen_at:time coordinator report times:integer mode codes:texts address:address port:integer
    server_name start_tls chain:texts leaf vas:texts vouchers:texts`),
  filters: {
    ...between('received_at'),
    ...equals('coordinator report mode port:integer server_name leaf'),
    code: { kind: 'text', sql: 'has(t.codes, {value:String})', description: 'Failure code' },
    ...address,
  },
};

export const clientStatistics: Listing = {
  name: 'client-statistics',
  summary: 'Checks of clients by day and by what came of them; anonymous, unsigned',
  from: `(SELECT concat(toString(day), ' ', code) AS id, toDateTime64(day, 3, 'UTC') AS day, code,
      sum(checks) AS checks, count() AS reports
    FROM (SELECT day, code, checks FROM client_statistics ARRAY JOIN count.code AS code, count.checks AS checks)
    GROUP BY day, code) AS t`,
  time: 'day',
  id: 'id',
  columns: columns('id day:time code checks:integer reports:integer'),
  filters: { ...between('day'), ...equals('code') },
};
