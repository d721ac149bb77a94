/** The key of nonces, which all coordinators on a database share: a nonce of one is good for all. */
import type { Database, Migration } from '@mecai/database';

export const nonceMigrations: readonly Migration[] = [
  {
    name: 'nonce key',
    sql: 'create table nonce_key (id bigint primary key check (id = 1), key bytea not null)',
  },
];

/**
 * @param own taken by all if it is the first
 * @throws DatabaseError
 */
export async function sharedNonceKey(database: Database, own: Uint8Array): Promise<Uint8Array> {
  await database.query('insert into nonce_key (id, key) values (1, $1) on conflict (id) do nothing', [own]);
  const [row] = await database.query<{ key: Uint8Array }>('select key from nonce_key where id = 1');
  return row!.key;
}
