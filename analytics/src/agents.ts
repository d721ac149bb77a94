import { type KeyObject, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { type Agent, type Registry, parseRegistry, verifyRegistrySignature } from '@mecai/corroboration';
import { type Logger, RuntimeError, readText } from '@mecai/runtime';
import type { AnalyticsConfig } from './config.ts';

/**
 * The agents of the registry file, read again when it has changed and an agent is missing or `refresh` is called. With
 * keys of operators, only a registry counts that one of them has signed, as the signers demand it (`<file>.sig`,
 * base64), and none that is older than the one in use.
 */
export class Agents {
  readonly #file: string;
  readonly #log: Logger;
  readonly #keys: readonly KeyObject[];
  #registry: Registry;
  #version: string;

  /**
   * @param keys none: the file is taken as it is
   * @throws RuntimeError when the file cannot be read, is no registry, or is not signed
   */
  constructor(file: string, log: Logger, keys: readonly KeyObject[] = []) {
    this.#file = file;
    this.#log = log;
    this.#keys = keys;
    try {
      this.#version = versionOf(file);
      this.#registry = this.#read();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unreadable';
      throw new RuntimeError('bad-configuration', `${file}: ${reason}`, { cause });
    }
  }

  find(name: string): Agent | undefined {
    return this.#agents.get(name) ?? (this.refresh() ? this.#agents.get(name) : undefined);
  }

  all(): readonly Agent[] {
    return [...this.#agents.values()];
  }

  /** The agent of that name in a newer file; absent when there is none or it has the same key. */
  findNewer(agent: Agent): Agent | undefined {
    const newer = this.refresh() ? this.#agents.get(agent.name) : undefined;
    return newer?.keyId === agent.keyId ? undefined : newer;
  }

  /** Looks whether the file has changed; what cannot be used leaves the registry as it is. */
  refresh(): boolean {
    try {
      const version = versionOf(this.#file);
      if (version === this.#version) return false;
      this.#version = version;
      const registry = this.#read();
      if (this.#keys.length > 0 && registry.version < this.#registry.version)
        throw new RuntimeError(
          'bad-configuration',
          `version ${registry.version} is below ${this.#registry.version}, which is in use`,
        );
      this.#registry = registry;
      this.#log.info({ version: registry.version, agents: registry.agents.size }, 'registry read again');
      return true;
    } catch (error) {
      this.#log.error({ err: error }, 'registry not read; the one before stays in use');
      return false;
    }
  }

  get #agents(): ReadonlyMap<string, Agent> {
    return this.#registry.agents;
  }

  #read(): Registry {
    const bytes = readFileSync(this.#file);
    if (this.#keys.length > 0) {
      const signature = Buffer.from(readFileSync(signatureOf(this.#file), 'utf8'), 'base64');
      if (!verifyRegistrySignature(bytes, signature, this.#keys))
        throw new RuntimeError('bad-configuration', 'not signed by one of the registry keys');
    }
    return parseRegistry(bytes.toString('utf8'));
  }
}

/** @throws RuntimeError for what is no P-256 key */
export const registryKeysOf = ({ registryKeys }: Pick<AnalyticsConfig, 'registryKeys'>): KeyObject[] =>
  registryKeys.map((file) => {
    const text = readText(file);
    try {
      const key = createPublicKey(text);
      if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
    } catch (cause) {
      throw new RuntimeError('bad-configuration', `${file}: no public key`, { cause });
    }
    throw new RuntimeError('bad-configuration', `${file}: registry keys are P-256`);
  });

const signatureOf = (file: string) => `${file}.sig`;

function versionOf(file: string): string {
  return [file, signatureOf(file)]
    .filter((one) => one === file || existsSync(one))
    .map((one) => {
      const { mtimeMs, size, ino } = statSync(one);
      return `${mtimeMs} ${size} ${ino}`;
    })
    .join();
}
