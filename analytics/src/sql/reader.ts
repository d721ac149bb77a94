import type { Readable } from 'node:stream';

/** Runs queries of users. */
export interface SqlReader {
  /**
   * @param format of the result, as ClickHouse calls it
   * @throws AnalyticsError `query-refused`, `query-failed`, `query-limit`, `busy`, `store-absent`
   */
  run(query: string, format: string): Promise<Readable>;
  close(): Promise<void>;
}
