import { createChdbConnection } from 'chdb/connection';
import { afterAll, describe, expect, it } from 'vitest';
import { migrationTable, migrations } from '../migrations.ts';
import { rendered } from './cluster.ts';

const statements = [migrationTable, ...migrations.flatMap((step) => step.statements)];

const engine = createChdbConnection({ path: ':memory:' });
afterAll(() => engine.close());

describe('a statement of the schema', () => {
  it.each(statements.map((statement) => [statement.slice(0, 60), statement]))(
    'for a cluster is replicated and run everywhere: %s',
    async (_, statement) => {
      const text = rendered(statement, { name: 'eu' });
      expect(text).toMatch(
        /^((CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE) \w+ ON CLUSTER 'eu'|INSERT INTO \w+ )/,
      );
      expect(text).not.toContain('@');
      // No cluster is to be had here: the grammar of the real engine at least.
      const tree = await engine.chdb.queryAsync(`EXPLAIN AST ${text}`);
      expect(tree.text()).toMatch(/(CreateQuery|AlterQuery|InsertQuery)/);
      // A view has no engine, its table has.
      if (text.startsWith('CREATE TABLE')) {
        expect(text).toMatch(
          /ENGINE = Replicated\w*MergeTree\('\/clickhouse\/tables\/\{shard\}\/\{database\}/,
        );
      }
    },
  );

  it('keeps the parameters of its engine', () => {
    const statement = 'CREATE TABLE a @cluster (b Int8) ENGINE = @ReplacingMergeTree(b) ORDER BY b @durable';
    expect(rendered(statement, { name: 'eu' })).toContain(
      "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', b)",
    );
    expect(rendered(statement, { name: 'eu' })).toContain('replicated_deduplication_window');
    expect(rendered(statement, undefined)).toMatch(
      /^CREATE TABLE a \(b Int8\) ENGINE = ReplacingMergeTree\(b\)/,
    );
    expect(rendered(statement, undefined)).toContain('non_replicated_deduplication_window');
  });
});
