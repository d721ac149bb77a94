import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { infra } from './files.ts';

/** What a systemd unit says, settings in the order of their lines. */
export class Unit {
  readonly text: string;

  constructor(name: string) {
    this.text = readFileSync(join(infra, 'systemd', `${name}.service`), 'utf8');
  }

  all(setting: string): readonly string[] {
    return this.text
      .split('\n')
      .filter((line) => line.startsWith(`${setting}=`))
      .map((line) => line.slice(setting.length + 1));
  }

  /** As the process gets it, with its credentials in this directory. */
  environment(credentials: string): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.all('Environment').map((line) => line.replace('%d', credentials).split('=') as [string, string]),
    );
  }
}

export const units = ['probe-agent', 'coordinator', 'signer', 'analytics', 'campaigns'] as const;
