import type { Migration } from '@mecai/database';

/** Component `log` of the coordinators' database; README.md says what each column holds. */
export const logMigrations: readonly Migration[] = [
  {
    name: 'certificates, names, endpoints, events, statements',
    sql: `
      create table certificate (
        sha256 bytea primary key,
        spki_sha256 bytea not null,
        ca bytea not null,
        issuer text not null,
        names text not null,
        not_before bigint not null,
        not_after bigint not null,
        first_request bigint not null,
        state text not null check (state in ('held', 'cleared', 'objected', 'expired')),
        hold_until bigint not null,
        events bigint not null
      );
      create index certificate_spki on certificate (spki_sha256);
      create index certificate_held on certificate (hold_until) where state = 'held';
      create index certificate_objected on certificate (first_request) where state = 'objected';
      create index certificate_valid on certificate (not_after) where state <> 'expired';
      create index certificate_expired on certificate (not_after) where state = 'expired';
      create table certificate_der (
        sha256 bytea primary key,
        der bytea not null
      );
      create table certificate_name (
        name text not null,
        sha256 bytea not null,
        primary key (name, sha256)
      );
      create table certificate_endpoint (
        sha256 bytea not null,
        address text not null,
        port bigint not null,
        server_name text not null,
        start_tls text not null,
        first_request bigint not null,
        last_request bigint not null,
        primary key (sha256, address, port)
      );
      create table certificate_event (
        sha256 bytea not null,
        number bigint not null,
        at bigint not null,
        kind text not null,
        detail text not null,
        primary key (sha256, number)
      );
      create table successor (
        successor bytea not null,
        current bytea not null,
        declared_at bigint not null,
        statement bytea not null,
        primary key (successor, current)
      );
      create index successor_current on successor (current);
      create table sweep (
        leased_until bigint not null
      );
      insert into sweep (leased_until) values (0);
      create table endorsement (
        sha256 bytea not null,
        authority text not null,
        kind text not null,
        received_at bigint not null,
        statement bytea not null,
        primary key (sha256, authority, kind)
      );
    `,
  },
];
