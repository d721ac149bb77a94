import { type KeyObject, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { sameBytes } from '@mecai/addresses';
import {
  type Agent,
  type Registry,
  parseRegistry,
  registryText,
  updatedRegistry,
} from '@mecai/corroboration';
import { subjects } from '@mecai/proto';
import { WatchRegistryResponse } from '@mecai/proto/signer';
import { type Logger, RuntimeError, readText, reasonOf } from '@mecai/runtime';
import type { NatsConnection } from '@nats-io/transport-node';
import type { AnalyticsConfig } from './config.ts';

/**
 * The agents of the registry file, read again when it has changed and an agent is missing or `refresh` is called. With
 * keys of operators, only a registry counts that one of them has signed, as the signers demand it (`<file>.sig`,
 * base64), and that is above the one in use; and coordinators tell which one the signers have. One without agents needs
 * no signature to begin with.
 */
export class Agents {
  readonly #file: string;
  readonly #log: Logger;
  readonly #keys: readonly KeyObject[];
  #registry: Registry;
  /** The registry in use, as it was read. */
  #bytes: Uint8Array;
  #version: string;
  /** What was last said against a registry that coordinators told. */
  #told = '';

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
      this.#bytes = readFileSync(file);
      this.#registry = this.#read(this.#bytes);
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
      const bytes = readFileSync(this.#file);
      if (sameBytes(bytes, this.#bytes)) return false;
      this.#use(bytes, this.#read(bytes, this.#registry));
      return true;
    } catch (error) {
      this.#log.error({ err: error }, 'registry not read; the one before stays in use');
      return false;
    }
  }

  /** Hears what coordinators tell, until the connection closes. Without keys of operators there is the file alone. */
  follow(nats: Pick<NatsConnection, 'subscribe'>): void {
    if (this.#keys.length === 0) return;
    nats.subscribe(subjects.registry('*'), {
      callback: (error, { data, subject }) => {
        if (!error) this.#hear(data, subject);
      },
    });
  }

  #hear(data: Uint8Array, subject: string): void {
    try {
      const update = WatchRegistryResponse.decode(data);
      // They say it every few seconds.
      if (sameBytes(update.registry, this.#bytes)) return;
      this.#use(update.registry, updatedRegistry(update, this.#keys, this.#registry));
    } catch (error) {
      const what = `${subject}: ${reasonOf(error)}`;
      if (what !== this.#told)
        this.#log.warn({ reason: what }, 'registry not taken; the one before stays in use');
      this.#told = what;
    }
  }

  get #agents(): ReadonlyMap<string, Agent> {
    return this.#registry.agents;
  }

  #read(registry: Uint8Array, inUse?: Registry): Registry {
    if (this.#keys.length === 0) return parseRegistry(registryText(registry));
    if (!inUse && !existsSync(signatureOf(this.#file))) {
      // Nobody has signed yet that somebody is a perspective; coordinators tell when it is so.
      const start = parseRegistry(registryText(registry));
      if (start.agents.size === 0) return start;
    }
    const signature = Buffer.from(readFileSync(signatureOf(this.#file), 'utf8'), 'base64');
    return updatedRegistry({ registry, signature }, this.#keys, inUse);
  }

  #use(bytes: Uint8Array, registry: Registry): void {
    [this.#bytes, this.#registry] = [bytes, registry];
    this.#log.info({ version: registry.version, agents: registry.agents.size }, 'another registry');
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
