import { expect } from 'vitest';
import { parse } from 'yaml';
import type { Value } from './hcl-functions.ts';

/** What module `machine` tells cloud-init. */
export interface CloudConfig {
  readonly write_files: readonly {
    readonly path: string;
    readonly permissions: string;
    readonly content: string;
  }[];
  readonly runcmd: readonly (readonly string[])[];
}

export const cloudConfig = (userData: Value | undefined): CloudConfig => {
  expect(userData).toMatch(/^#cloud-config\n/);
  return parse(userData as string) as CloudConfig;
};

export const fileOf = ({ write_files }: CloudConfig, path: string): string =>
  write_files.find((one) => one.path === path)!.content;
