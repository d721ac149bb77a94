import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '@mecai/runtime';
import type * as z from 'zod';
import { infra, repository } from './files.ts';

/** What a systemd unit says, settings in the order of their lines. */
export class Unit {
  readonly text: string;

  constructor(name: string, dropIn = '') {
    this.text = readFileSync(join(infra, 'systemd', `${name}.service`), 'utf8') + dropIn;
  }

  all(setting: string): readonly string[] {
    return this.text
      .split('\n')
      .filter((line) => line.startsWith(`${setting}=`))
      .map((line) => line.slice(setting.length + 1));
  }

  /** As the process gets it, with its credentials in this directory. */
  environment(credentials: string): Readonly<Record<string, string>> {
    const taken = new Set(this.all('UnsetEnvironment'));
    return Object.fromEntries(
      this.all('Environment')
        .map((line) => line.replace('%d', credentials).split('=') as [string, string])
        .filter(([variable]) => !taken.has(variable)),
    );
  }
}

export const units = ['probe-agent', 'coordinator', 'signer', 'analytics', 'campaigns'] as const;

const schemas: Readonly<Record<(typeof units)[number], readonly [file: string, schema: string]>> = {
  'probe-agent': ['probe-agent/src/config.ts', 'agentConfig'],
  coordinator: ['coordinator/src/config.ts', 'coordinatorConfig'],
  signer: ['signer/src/config.ts', 'signerConfig'],
  analytics: ['analytics/src/config.ts', 'configSchema'],
  campaigns: ['analytics/src/campaigns/config.ts', 'campaignsConfig'],
};

/** A configuration file as the process reads it when its unit starts it. */
export async function readConfig(
  name: (typeof units)[number],
  file: string,
  credentials: string,
  dropIn = '',
): Promise<Record<string, unknown>> {
  const [source, schema] = schemas[name];
  const module = (await import(join(repository, source))) as Record<string, z.ZodObject>;
  return loadConfig(module[schema]!, file, new Unit(`mecai-${name}`, dropIn).environment(credentials));
}

/** What `systemd-analyze security` says of a unit file and its drop-ins: 0 best, 10 worst. */
export function exposure(file: string): number {
  const { stdout, stderr } = spawnSync('systemd-analyze', ['security', '--offline=yes', '--no-pager', file], {
    encoding: 'utf8',
  });
  const [, figure] = /exposure level for \S+: ([\d.]+)/.exec(stdout) ?? [];
  if (figure === undefined) throw new Error(`${file}: ${stdout}${stderr}`);
  return Number(figure);
}

/** What `systemd-analyze verify` complains of; nothing. */
export function complaintsOf(...files: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout + stderr : `exit ${status}: ${stdout}${stderr}`;
}
