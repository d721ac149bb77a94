import { hash } from 'node:crypto';
import type { Database } from './database.ts';
import { DatabaseError } from './error.ts';

/** One step of a schema. Once released it is never changed: what has to be different is the next step. */
export interface Migration {
  readonly name: string;
  /** One or more statements, the same text for both engines. */
  readonly sql: string;
}

/**
 * Brings one component's tables up to date, forward only. Several processes may start at once: the first does it.
 *
 * @param component whose steps these are; components do not count each other's
 * @param now milliseconds since 1970
 * @throws DatabaseError `schema` when a step that was taken reads differently now, or is not known here
 */
export function migrate(
  database: Database,
  component: string,
  migrations: readonly Migration[],
  now: number,
): Promise<void> {
  return database.exclusive(async (statements) => {
    await statements.script(`create table if not exists migration (
      component text not null,
      number bigint not null,
      name text not null,
      sha256 text not null,
      applied_at bigint not null,
      primary key (component, number)
    )`);
    const taken = await statements.query<{ number: number; name: string; sha256: string }>(
      'select number, name, sha256 from migration where component = $1 order by number',
      [component],
    );
    for (const { number, name, sha256 } of taken) {
      const known = migrations[number - 1];
      const what = `${component} ${number} (${name})`;
      if (!known) throw new DatabaseError('schema', `migration ${what} was made by a newer release`);
      if (known.name !== name || checksum(known) !== sha256) {
        throw new DatabaseError('schema', `migration ${what} is not the one that was applied`);
      }
    }
    for (const [index, migration] of migrations.entries()) {
      if (index < taken.length) continue;
      await statements.script(migration.sql);
      await statements.query(
        'insert into migration (component, number, name, sha256, applied_at) values ($1, $2, $3, $4, $5)',
        [component, index + 1, migration.name, checksum(migration), now],
      );
    }
  });
}

const checksum = ({ sql }: Migration): string => hash('sha256', sql, 'hex');
