/** Commands of docs/operate, taken from the text as it stands there. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Network } from '@mecai/test/network';
import { repository } from './files.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The machine of an operator of this network: its programs on the PATH, its files where a test has them. */
export class Runbooks {
  readonly #directory: string;
  readonly #places: Readonly<Record<string, string>>;
  readonly #environment: Readonly<Record<string, string>>;

  /** @param places more of them, by what stands for them in the text */
  constructor(
    {
      directory,
      files,
      vrpUrl,
    }: Pick<Network, 'directory' | 'vrpUrl'> & {
      readonly files: Pick<Network['files'], 'admin' | 'registryKey' | 'httpsCa'>;
    },
    environment: Readonly<Record<string, string>> = {},
    places: Readonly<Record<string, string>> = {},
  ) {
    this.#directory = directory;
    this.#places = {
      ...places,
      '/etc/mecai/admin.json': files.admin,
      '/etc/mecai/registry-key.pem': files.registryKey,
      '/etc/mecai/https-ca.pem': files.httpsCa,
      '/etc/mecai/': `${directory}/`,
      '/etc/nats/': `${directory}/`,
      '/root/': `${directory}/`,
      '/var/lib/mecai-signer/': `${directory}/`,
      '/var/backups/mecai': join(directory, 'backups'),
      '/opt/mecai/admin/operate/': `${join(repository, 'docs/operate')}/`,
      '/opt/mecai/signer/operate/': `${join(repository, 'docs/operate')}/`,
    };
    const bin = join(directory, 'bin');
    mkdirSync(bin, { recursive: true });
    for (const name of ['admin', 'signer']) {
      const program = join(repository, name, 'src/main.ts');
      const text = `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${program}" "$@"\n`;
      writeFileSync(join(bin, `mecai-${name}`), text, { mode: 0o755 });
    }
    this.#environment = {
      ...(process.env as Record<string, string>),
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      SOFTHSM2_CONF: join(directory, 'softhsm2.conf'),
      OPERATOR: 'Ada',
      REASON: 'key on sale',
      VA: vrpUrl.replace(/\/vrp$/, ''),
      ...environment,
    };
  }

  at(name: string): string {
    return join(this.#directory, name);
  }

  /** Blocks that are marked as tested. */
  blocks(runbook: string): string[] {
    const text = readFileSync(join(repository, 'docs/operate', `${runbook}.md`), 'utf8');
    return [...text.matchAll(/⟨tested⟩\n\n *```sh\n([\s\S]*?)```/g)].map(([, block = '']) =>
      Object.entries(this.#places).reduce((all, [from, to]) => all.replaceAll(from, to), block),
    );
  }

  /** Not synchronously: the servers that agents look at are in this process. */
  run(block: string | undefined, more: Readonly<Record<string, string>> = {}): Promise<Ran> {
    return new Promise((resolve) => {
      const options = { env: { ...this.#environment, ...more }, encoding: 'utf8' as const };
      execFile('sh', ['-eu', '-c', block ?? 'echo no such block >&2; exit 9'], options, (error, out, err) =>
        resolve({ code: error ? Number(error.code) : 0, out, err }),
      );
    });
  }

  /** Lays these members over a configuration, or takes them away. */
  configure(name: string, changes: object): void {
    const config = JSON.parse(readFileSync(this.at(name), 'utf8')) as object;
    writeFileSync(this.at(name), JSON.stringify({ ...config, ...changes }));
  }
}
