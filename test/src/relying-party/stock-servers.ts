/** nginx and Apache as Debian ships them, with what the tests put into their configuration. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from '@mecai/tls-probe/testing';
import { vi } from 'vitest';
import { type TestCertificate, keyPem, pem } from '../network/index.ts';
import type { World } from './world.ts';

/** Where the servers are reached; a second address leads to the same ones. */
export const serverAddress = '127.30.0.1';
export const otherAddress = '127.30.0.2';

export interface ServerIdentity {
  readonly certificate: string;
  readonly key: string;
}

export const identity = (
  { file }: Pick<World, 'file'>,
  name: string,
  leaf: TestCertificate,
  ...above: readonly TestCertificate[]
): ServerIdentity => ({
  certificate: file(`${name}.pem`, pem(leaf, ...above)),
  key: file(`${name}.key`, keyPem(leaf), 0o600),
});

export interface Site {
  readonly port: number;
  /** `serverAddress` and `otherAddress` by default. */
  readonly addresses?: readonly string[];
  readonly identities: readonly ServerIdentity[];
  readonly serverInfo?: string;
  /** Of /.well-known/mecai/. */
  readonly bundles?: string;
  readonly more?: string;
}

export const freePorts = (count: number, host = serverAddress): Promise<number[]> =>
  Promise.all(Array.from({ length: count }, () => freePort(host)));

export class StockServers {
  readonly #world: Pick<World, 'directory' | 'file'>;
  readonly #processes = new Processes();
  readonly #pidFiles: string[] = [];

  constructor(world: Pick<World, 'directory' | 'file'>) {
    this.#world = world;
  }

  /** @returns the configuration file */
  nginx(name: string, sites: readonly Site[]): string {
    const { file } = this.#world;
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (one) => `${one}_temp_path ${file(`${name}-${one}`)};`,
    );
    const servers = sites.map(({ port, addresses, identities, serverInfo, bundles, more = '' }) => {
      const listens = (addresses ?? [serverAddress, otherAddress]).map((one) => `listen ${one}:${port} ssl;`);
      const pairs = identities.map(
        ({ certificate, key }) => `ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
      );
      const info = serverInfo === undefined ? '' : `ssl_conf_command ServerInfoFile ${serverInfo};`;
      const files = bundles === undefined ? '' : `location ^~ /.well-known/mecai/ { alias ${bundles}/; }`;
      return `server { ${listens.join(' ')} server_name www.shop.test; ${pairs.join(' ')} ${info} ${files} ${more} }`;
    });
    return file(
      `${name}.conf`,
      `daemon off; pid ${file(`${name}.pid`)}; error_log ${file(`${name}.log`)};
       events { worker_connections 512; }
       http { access_log off; keepalive_requests 10000; ${temporary.join(' ')}\n${servers.join('\n')} }`,
    );
  }

  nginxCommand = (configuration: string, ...more: readonly string[]): string[] => [
    program('nginx', 'nginx-light'),
    '-p',
    this.#world.directory,
    '-c',
    configuration,
    ...more,
  ];

  async startNginx(configuration: string, ports: readonly number[], host = serverAddress): Promise<void> {
    const [command, ...args] = this.nginxCommand(configuration);
    await this.#processes.serve(command!, args, ports, { host });
  }

  /** @returns the configuration file */
  apache(name: string, sites: readonly Site[]): string {
    const { file, directory } = this.#world;
    const modules = ['mpm_event', 'ssl', 'socache_shmcb', 'authz_core', 'alias']
      .map((one) => `LoadModule ${one}_module /usr/lib/apache2/modules/mod_${one}.so`)
      .join('\n');
    const hosts = sites.map(({ port, identities, serverInfo, bundles, more = '' }) => {
      const pairs = identities.map(
        ({ certificate, key }) => `SSLCertificateFile ${certificate}\nSSLCertificateKeyFile ${key}`,
      );
      const info = serverInfo === undefined ? '' : `SSLOpenSSLConfCmd ServerInfoFile ${serverInfo}`;
      const files = bundles === undefined ? '' : `Alias /.well-known/mecai/ ${bundles}/`;
      return `Listen ${serverAddress}:${port}\n<VirtualHost ${serverAddress}:${port}>\nServerName www.shop.test\nSSLEngine on
${pairs.join('\n')}\n${info}\n${files}\n${more}\n</VirtualHost>`;
    });
    return file(
      `${name}.conf`,
      `${modules}\nServerName localhost\nServerRoot ${directory}\nDefaultRuntimeDir ${directory}
PidFile ${file(`${name}.pid`)}\nErrorLog ${file(`${name}.log`)}\nSSLSessionCache none\n${hosts.join('\n')}\n`,
    );
  }

  apacheCommand = (configuration: string, ...more: readonly string[]): string[] => [
    program('apache2', 'apache2'),
    '-f',
    configuration,
    ...more,
  ];

  async startApache(configuration: string, ports: readonly number[]): Promise<void> {
    const [command, ...args] = this.apacheCommand(configuration, '-D', 'FOREGROUND');
    await this.#processes.serve(command!, args, ports, { host: serverAddress });
    const pidFile = configuration.replace(/conf$/, 'pid');
    this.#pidFiles.push(pidFile);
    // It listens before it has written that, and `-k graceful` would take it for dead and start another.
    await vi.waitUntil(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim() !== '', {
      timeout: 60_000,
      interval: 20,
    });
  }

  run(command: readonly string[]): void {
    execFileSync(command[0]!, command.slice(1), { stdio: 'pipe' });
  }

  async stop(): Promise<void> {
    const named = this.#pidFiles.map((file) => existsSync(file) && Number(readFileSync(file, 'utf8')));
    await this.#processes.stop();
    // One that `-k graceful` started in the place of one that had ended is nobody's child.
    for (const pid of named) {
      const ours = pid && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (ours && ours.includes(this.#world.directory)) process.kill(pid, 'SIGKILL');
    }
  }
}
