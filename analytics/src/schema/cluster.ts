/** Where the tables lie: on one server (or in this process), or replicated over a cluster. */
export interface Cluster {
  /** As in `remote_servers` of the servers' configuration. */
  readonly name: string;
}

const engines = /@(\w*MergeTree)(?:\(([^)]*)\))?/g;

/**
 * A statement of the schema for one server or for a cluster: `@cluster`, `@durable` (on disk before NATS
 * is told), `@derived` (can be made anew) and `@…MergeTree` stand for what differs. Replicated tables share the path of their shard; the macros are those of the servers.
 */
export function rendered(statement: string, cluster: Cluster | undefined): string {
  const window = `SETTINGS ${cluster ? 'replicated' : 'non_replicated'}_deduplication_window`;
  return statement
    .replaceAll(' @cluster', cluster ? ` ON CLUSTER '${cluster.name}'` : '')
    .replace('@durable', `${window} = 1000, fsync_after_insert = 1, fsync_part_directory = 1`)
    .replace('@derived', `${window} = 0`)
    .replaceAll(engines, (_, engine: string, parameters: string | undefined) => {
      const own = parameters === undefined ? [] : [parameters];
      if (!cluster) return engine + (own.length > 0 ? `(${own.join()})` : '');
      const all = ["'/clickhouse/tables/{shard}/{database}/{table}'", "'{replica}'", ...own];
      return `Replicated${engine}(${all.join(', ')})`;
    });
}
