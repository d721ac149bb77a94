/** All of the coordinators' database. */
import type { Migration } from '@mecai/database';
import { approvalMigrations } from './approval/schema.ts';
import { distrustMigrations } from './distrust/schema.ts';
import { enrolmentMigrations } from './enrolment/schema.ts';
import { logMigrations } from './log/schema.ts';
import { nonceMigrations } from './nonce-key.ts';
import { noticeMigrations } from './notice/schema.ts';

/** By component, in the order in which they build upon each other. */
export const coordinatorMigrations: Readonly<Record<string, readonly Migration[]>> = {
  log: logMigrations,
  notice: noticeMigrations,
  approval: approvalMigrations,
  distrust: distrustMigrations,
  enrolment: enrolmentMigrations,
  nonce: nonceMigrations,
};
