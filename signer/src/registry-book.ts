/** Who is a perspective. The audit log is its memory, as of the distrust list: each update is a record there. */
import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  CorroborationError,
  type QuorumPolicy,
  type Registry,
  type RegistryUpdate,
  drawPerspectives,
  parseRegistry,
  registryText,
  updatedRegistry,
} from '@mecai/corroboration';
import * as z from 'zod';
import type { AuditRecord } from './audit-log.ts';
import type { DistrustAct } from './distrust-list.ts';
import { SignerError } from './error.ts';

export interface UpdateParts {
  readonly policy: QuorumPolicy;
  readonly audit: (record: AuditRecord) => Promise<unknown>;
  /** Brings the perspective directory up to date, just before the update is in force. Never rejects. */
  readonly publish: (registry: Registry) => Promise<void>;
}

/** 4 MiB is gRPC's limit of a message here; a thousand agents take 0.3. */
const maxOctets = 1_048_576;

const record = z.object({
  event: z.literal('registry-updated'),
  registry: z.string(),
  signature: z.base64().default(''),
});

export class RegistryBook {
  readonly #keys: readonly KeyObject[];
  readonly #listeners: (() => void)[] = [];
  readonly #file: Uint8Array;
  #inForce: RegistryUpdate;
  #registry: Registry;
  /** Version of the newest record that was there at the start. */
  #onRecord = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param file the registry file: where a signer begins, and what counts when it is newer than the records
   * @param keys of the operators who may update it; none: nobody may
   * @throws CorroborationError `bad-registry`
   */
  constructor(file: Uint8Array, keys: readonly KeyObject[]) {
    this.#file = file;
    this.#inForce = { registry: file, signature: new Uint8Array() };
    this.#registry = parseRegistry(registryText(file));
    this.#keys = keys;
  }

  get current(): Registry {
    return this.#registry;
  }

  /** What is in force, to the octet; without a signature what came by file. */
  get inForce(): RegistryUpdate {
    return this.#inForce;
  }

  /**
   * The newer of file and record counts, and of one version the record: nobody goes back by putting another file there.
   *
   * @throws SignerError `audit-log-broken`
   */
  replay(found: unknown): void {
    const { event, sequence }: { event?: unknown; sequence?: unknown } = Object(found);
    if (event !== 'registry-updated') return;
    try {
      const { registry: text, signature } = record.parse(found);
      const registry = parseRegistry(text);
      this.#onRecord = registry.version;
      if (registry.version < this.#registry.version) return;
      this.#registry = registry;
      this.#inForce = { registry: Buffer.from(text), signature: Buffer.from(signature, 'base64') };
    } catch (cause) {
      const what = `record ${String(sequence)}: registry-updated cannot be read`;
      throw new SignerError('audit-log-broken', what, { cause });
    }
  }

  /**
   * After the replay: a file that is newer goes on record, so that no older one can take its place.
   *
   * @returns what the operator should know
   */
  async begin(audit: UpdateParts['audit']): Promise<string | undefined> {
    const { version } = this.#registry;
    if (version > this.#onRecord) {
      await audit({ event: 'registry-updated', version, registry: registryText(this.#file) });
      return undefined;
    }
    const [file, inForce] = [this.#file, this.#inForce.registry].map(
      (one) => JSON.parse(registryText(one)) as { version: number },
    );
    return file!.version === version && !isDeepStrictEqual(file, inForce)
      ? `registry: the file is not the version ${version} that is on record, and does not count; a change raises the version`
      : undefined;
  }

  /** Called after each update. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * One after the other. In force, and on the disk, when it resolves: observations of an agent that is gone, or has
   * another key, count no more, those of open draws neither.
   *
   * @returns what the operator should know; fewer perspectives than the policy needs are no reason to keep a
   *   captured agent
   * @throws SignerError `wrong-usage`
   */
  update(update: RegistryUpdate, by: DistrustAct, parts: UpdateParts): Promise<string[]> {
    const turn = this.#turn.then(() => this.#update(update, by, parts));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #update(
    update: RegistryUpdate,
    by: DistrustAct,
    { policy, audit, publish }: UpdateParts,
  ): Promise<string[]> {
    if (update.registry.length > maxOctets) throw misused(`registry: more than ${maxOctets} octets`);
    const registry = this.#updated(update);
    await audit({
      event: 'registry-updated',
      version: registry.version,
      registry: registryText(update.registry),
      signature: Buffer.from(update.signature).toString('base64'),
      act: by,
    });
    await publish(registry);
    this.#registry = registry;
    this.#inForce = {
      registry: Uint8Array.from(update.registry),
      signature: Uint8Array.from(update.signature),
    };
    for (const listener of this.#listeners) listener();
    return warnings(registry, policy);
  }

  #updated(update: RegistryUpdate): Registry {
    try {
      return updatedRegistry(update, this.#keys, this.#registry);
    } catch (error) {
      if (!(error instanceof CorroborationError)) throw error;
      throw misused(error.message);
    }
  }
}

function warnings({ agents }: Registry, policy: QuorumPolicy): string[] {
  try {
    // Any key and nonce: who can be drawn at all does not depend on chance.
    drawPerspectives(policy, [...agents.values()], new Uint8Array(32), new Uint8Array(32));
    return [];
  } catch (error) {
    if (!(error instanceof CorroborationError)) throw error;
    return [`no voucher until there are more: ${error.message}`];
  }
}

const misused = (why: string) => new SignerError('wrong-usage', why);
