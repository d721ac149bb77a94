import type { Migration } from '@mecai/database';

/** Component `approval` of the coordinators' database. */
export const approvalMigrations: readonly Migration[] = [
  {
    name: 'approvals',
    sql: `
      create table approval (
        -- transaction number, 12 digits
        number text primary key,
        -- certificate or CSR
        der bytea not null,
        opened_at bigint not null,
        expires_at bigint not null,
        tries bigint not null,
        -- CMS, once every domain has approved
        statement bytea
      );
      create index approval_expires on approval (expires_at);
      create table approval_domain (
        number text not null,
        domain text not null,
        approved_at bigint,
        primary key (number, domain)
      );
      create index approval_domain_name on approval_domain (domain);
    `,
  },
];
