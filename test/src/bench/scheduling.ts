import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** Whether processes can be kept to one core each: `taskset` is there, and two cores are. */
export const canPin: boolean = availableParallelism() > 1 && has('taskset');

/** Whether the scheduling policy of a process can be set: `chrt` is there. */
const canSchedule = has('chrt');

/** Keeps all threads of a process, and those to come, to these cores, by number. Does nothing where it cannot. */
export function pin(pid: number, ...cores: readonly number[]): void {
  if (canPin)
    execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores.join(','), String(pid)], {
      stdio: 'ignore',
    });
}

/** All threads of a process, and those to come, run as `CPUSchedulingPolicy=batch` of the units has it. */
export function scheduleAsUnitsDo(pid: number): void {
  if (canSchedule)
    execFileSync('chrt', ['--all-tasks', '--batch', '--pid', '0', String(pid)], { stdio: 'ignore' });
}

function has(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
