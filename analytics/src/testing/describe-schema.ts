import type { Store } from '../store.ts';

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly comment: string;
}

const head = `# Schema

What each table and column means, as \`src/schema/\` has it (kept equal by a test; written anew by
\`vitest run --project analytics store -u\`). Digests, nonces and keys are lower-case hexadecimal text; an IPv4
address is \`::ffff:a.b.c.d\`; times are UTC. The rest is said in README.md.
`;

const cell = (text: string) => text.replaceAll('|', '\\|');

/** The schema of an open store as Markdown, from the comments in it. */
export async function describeSchema(store: Store): Promise<string> {
  const tables = await store.query<{ name: string; engine: string; key: string; comment: string }>(
    `SELECT name, engine, sorting_key AS key, comment FROM system.tables
     WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name`,
  );
  const columns = await store.query<Column>(
    `SELECT table, name, type, comment FROM system.columns
     WHERE database = currentDatabase() AND default_kind != 'EPHEMERAL' ORDER BY position`,
  );
  const parts = tables.map(({ name, engine, key, comment }) => {
    const rows = columns
      .filter(({ table }) => table === name)
      .map((column) => `| \`${column.name}\` | ${cell(column.type)} | ${cell(column.comment)} |`);
    return `
## ${name}

${comment}. ${engine}, ordered by \`${key}\`.

| column | type | meaning |
| --- | --- | --- |
${rows.join('\n')}
`;
  });
  return head + parts.join('');
}
