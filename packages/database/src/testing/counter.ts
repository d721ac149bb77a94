import type { Migration } from '../migrations.ts';

export const counter: readonly Migration[] = [
  { name: 'table', sql: 'create table counter (id bigint primary key, value bigint not null)' },
  { name: 'first row', sql: 'insert into counter (id, value) values (1, 0)' },
];
