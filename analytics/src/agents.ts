import { readFileSync, statSync } from 'node:fs';
import { type Agent, parseRegistry } from '@mecai/corroboration';
import { type Logger, RuntimeError } from '@mecai/runtime';

/** The agents of the registry file, read again when an agent is missing and the file is another one by then. */
export class Agents {
  readonly #file: string;
  readonly #log: Logger;
  #agents: ReadonlyMap<string, Agent>;
  #version: string;

  /** @throws RuntimeError when the file cannot be read, CorroborationError when it is not a registry */
  constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
    try {
      this.#version = versionOf(file);
      this.#agents = parseRegistry(readFileSync(file, 'utf8')).agents;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unreadable';
      throw new RuntimeError('bad-configuration', `${file}: ${reason}`, { cause });
    }
  }

  find(name: string): Agent | undefined {
    return this.#agents.get(name) ?? (this.#readAgain() ? this.#agents.get(name) : undefined);
  }

  all(): readonly Agent[] {
    return [...this.#agents.values()];
  }

  /** The agent of that name in a newer file; absent when there is none or it has the same key. */
  findNewer(agent: Agent): Agent | undefined {
    const newer = this.#readAgain() ? this.#agents.get(agent.name) : undefined;
    return newer?.keyId === agent.keyId ? undefined : newer;
  }

  #readAgain(): boolean {
    try {
      const version = versionOf(this.#file);
      if (version === this.#version) return false;
      this.#version = version;
      this.#agents = parseRegistry(readFileSync(this.#file, 'utf8')).agents;
      this.#log.info({ agents: this.#agents.size }, 'registry read again');
      return true;
    } catch (error) {
      this.#log.error({ err: error }, 'registry not read; the one before stays in use');
      return false;
    }
  }
}

function versionOf(file: string): string {
  const { mtimeMs, size, ino } = statSync(file);
  return `${mtimeMs} ${size} ${ino}`;
}
