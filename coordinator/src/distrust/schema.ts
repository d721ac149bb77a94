import type { Migration } from '@mecai/database';

/** Component `distrust` of the coordinators' database: what each signer distrusts. */
export const distrustMigrations: readonly Migration[] = [
  {
    name: 'copies of the signers’ lists',
    sql: `
      create table distrust (
        -- SPIFFE ID
        signer text not null,
        id text not null,
        -- mecai.v1.DistrustRecord
        record bytea not null,
        -- the same for people
        reason text not null,
        author text not null,
        set_at bigint not null,
        -- null while it stands
        lifted_at bigint,
        primary key (signer, id)
      );
      create table distrust_version (
        number bigint not null
      );
      insert into distrust_version (number) values (0);
    `,
  },
];
