import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../../..');
export const infra = join(repository, 'infra');

/** Files below a directory that end so, without what tools leave behind; paths from the repository's root. */
export const filesBelow = (directory: string, ending: RegExp): readonly string[] =>
  readdirSync(join(repository, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => ending.test(name) && !name.includes('.terraform/') && !name.includes('node_modules/'))
    .map((name) => join(directory, name))
    .toSorted();
