import type { Migration } from '@mecai/database';

/** Component `enrolment` of the coordinators' database. */
export const enrolmentMigrations: readonly Migration[] = [
  {
    name: 'invitations of agents',
    sql: `
      create table invitation (
        -- public half of the token, base64
        token_key text primary key,
        document bytea not null,
        signature bytea not null,
        expires_at bigint not null,
        -- what the first agent with the token sent
        enrolment bytea,
        enrolled_at bigint
      );
    `,
  },
];
