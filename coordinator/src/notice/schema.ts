import type { Migration } from '@mecai/database';

/** Component `notice` of the coordinators' database. */
export const noticeMigrations: readonly Migration[] = [
  {
    name: 'notices, outbox, subscriptions',
    sql: `
      create table notice (
        id text primary key,
        -- JSON of what was seen
        content text not null,
        enqueued_at bigint not null,
        -- JSON of the names whose contacts are still to be looked up, with the tries so far
        names text not null,
        -- JSON of the names for which that came to nothing in the end
        failed text not null,
        -- null when all names are done
        next_at bigint,
        leased_until bigint not null,
        lease text not null
      );
      create index notice_due on notice (next_at);
      create table letter (
        id text primary key,
        subject text not null,
        content text not null,
        enqueued_at bigint not null
      );
      create table delivery (
        id text primary key,
        medium text not null,
        recipient text not null,
        source text not null,
        kind text not null,
        -- id of a notice or letter, or a transaction number
        about text not null,
        -- lower goes first
        rank bigint not null,
        state text not null,
        enqueued_at bigint not null,
        tries bigint not null,
        next_at bigint not null,
        leased_until bigint not null,
        lease text not null,
        settled_at bigint,
        detail text not null,
        unique (kind, about, recipient)
      );
      create index delivery_due on delivery (medium, next_at) where state = 'waiting';
      create index delivery_open on delivery (state, enqueued_at);
      create index delivery_settled on delivery (settled_at);
      create table subscription (
        id text primary key,
        domain text not null,
        recipient text not null,
        confirmed_at bigint not null,
        unique (domain, recipient)
      );
    `,
  },
];
