/** Where the files of a network are made: keys, identities, users of NATS, configurations. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signRegistry } from '@mecai/corroboration';
import { type NatsPermissions, natsPermissions } from '@mecai/proto';
import { createUser } from '@nats-io/nkeys';
import type { NatsUser } from '../parts/nats-server.ts';
import { type TestCa, keyPem, pem, rootCa, svid } from './certificates.ts';
import type { City } from './cities.ts';

const trustDomain = 'spiffe://mecai.test';

export interface Identity {
  /** SPIFFE ID. */
  readonly id: string;
  readonly files: { readonly certificate: string; readonly key: string; readonly ca: string };
}

export interface AgentKeys {
  readonly city: City;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly keyFile: string;
  readonly seedFile: string;
}

export class Workshop {
  readonly directory: string;
  /** Whom NATS knows, as they were made. */
  readonly users: NatsUser[] = [];
  readonly internalCa: TestCa = rootCa('Internal CA');
  readonly internalCaFile: string;

  constructor(directory: string, folders: readonly string[]) {
    this.directory = directory;
    for (const name of folders) mkdirSync(this.at(name), { recursive: true });
    this.internalCaFile = this.write('internal-ca.pem', pem(this.internalCa));
  }

  at(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** @returns the path of the file */
  write(name: string, content: string | object, mode = 0o644): string {
    const text = typeof content === 'string' ? content : `${JSON.stringify(content, undefined, 2)}\n`;
    writeFileSync(this.at(name), text, { mode });
    return this.at(name);
  }

  /** An SVID in files. */
  identity(name: string): Identity {
    const id = `${trustDomain}/${name}`;
    const certificate = svid(this.internalCa, id);
    return {
      id,
      files: {
        certificate: this.write(`${name}.pem`, pem(certificate)),
        key: this.write(`${name}.key`, keyPem(certificate), 0o600),
        ca: this.internalCaFile,
      },
    };
  }

  /** @returns the file with the seed */
  natsUser(name: string, permissions: NatsPermissions): string {
    const user = createUser();
    this.users.push({ name, publicNkey: user.getPublicKey(), ...permissions });
    return this.write(`${name}.nk`, new TextDecoder().decode(user.getSeed()), 0o600);
  }

  agent(city: City): AgentKeys {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return {
      city,
      publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      keyFile: this.write(
        `${city.name}.observation.key`,
        privateKey.export({ format: 'pem', type: 'pkcs8' }),
        0o600,
      ),
      seedFile: this.natsUser(city.name, natsPermissions.agent(city.name)),
    };
  }

  /** The registry file of these, version 1, its signature beside it, and the operator's key for its updates. */
  registry(agents: readonly AgentKeys[]): { registry: string; privateKey: string; publicKey: string } {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const registry = this.write('registry.json', {
      version: 1,
      agents: agents.map(({ city: { name, city, country, latitude, longitude, rir, asn }, publicKey }) => ({
        name,
        publicKey,
        city,
        country,
        latitude,
        longitude,
        rir,
        asn,
        natsKey: this.users.find((user) => user.name === name)!.publicNkey,
      })),
    });
    const signature = signRegistry(readFileSync(registry), keys.privateKey);
    this.write('registry.json.sig', Buffer.from(signature).toString('base64'));
    return {
      registry,
      privateKey: this.write('registry.key', keys.privateKey.export({ format: 'pem', type: 'pkcs8' }), 0o600),
      publicKey: this.write('registry.pub', keys.publicKey.export({ format: 'pem', type: 'spki' })),
    };
  }
}
