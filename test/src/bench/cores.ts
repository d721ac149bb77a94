import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** Whether processes can be kept to one core each: `taskset` is there, and two cores are. */
export const canPin: boolean = availableParallelism() > 1 && hasTaskset();

/** Keeps all threads of a process, and those to come, to these cores, by number. Does nothing where it cannot. */
export function pin(pid: number, ...cores: readonly number[]): void {
  if (canPin)
    execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores.join(','), String(pid)], {
      stdio: 'ignore',
    });
}

function hasTaskset(): boolean {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
