import { constants, readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** Whether this process has the file open, each time so that a write returns once it is on the disk (open(2), O_DSYNC). */
export function writesAreDurable(file: string): boolean {
  const flags = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== file) return [];
      const [, octal = ''] = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
      return [Number.parseInt(octal, 8)];
    } catch {
      // Closed meanwhile, such as the one of the list itself.
      return [];
    }
  });
  return flags.length > 0 && flags.every((one) => (one & constants.O_DSYNC) !== 0);
}
