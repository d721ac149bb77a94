/** An earlier release, out of this repository's history, with the packages of today's checkout that are not ours. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '../../..');

/** What is installed where, when today's is rolled out. At each release its commit takes this one's place. */
export const previousRelease = 'fba3ddaddbdfa40386ddbd019b28cb58e5328624';

const git = (...args: string[]) => spawnSync('git', args, { cwd: repository, timeout: 60_000 });

/** Whether it can be had: a shallow clone, which lacks it, asks where it comes from. */
export const hasRelease = (commit: string): boolean => {
  const there = () => git('cat-file', '-e', `${commit}^{commit}`).status === 0;
  return there() || (git('fetch', '--quiet', '--depth=1', 'origin', commit), there());
};

/**
 * Its sources, ready to run.
 *
 * @param directory made by this
 */
export function unpackRelease(commit: string, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const archive = execFileSync('git', ['archive', commit], { cwd: repository, maxBuffer: 1 << 28 });
  execFileSync('tar', ['-x', '-C', directory], { input: archive });
  const modules = join(repository, 'node_modules');
  mkdirSync(join(directory, 'node_modules/@mecai'), { recursive: true });
  for (const name of readdirSync(modules)) {
    if (name !== '@mecai') symlinkSync(join(modules, name), join(directory, 'node_modules', name));
  }
  // Its own workspaces, under the names that it knows them by.
  const folders = [
    ...readdirSync(join(directory, 'packages')).map((name) => `packages/${name}`),
    ...processes,
  ];
  for (const folder of folders) {
    symlinkSync(join(directory, folder), join(directory, 'node_modules/@mecai', folder.split('/').at(-1)!));
  }
}

const processes = ['proto', 'coordinator', 'probe-agent', 'signer', 'analytics', 'client', 'admin', 'test'];
