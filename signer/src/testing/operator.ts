/** What the operator's service needs of a test world. */
import { type KeyObject, generateKeyPairSync } from 'node:crypto';
import type { OperatorParts } from '../operator-service.ts';
import { RegistryBook } from '../registry-book.ts';
import { registryText, type World } from './world.ts';

export const registryKey: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =
  generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const operatorOf = ({ distrust, parts, registry }: World): OperatorParts => ({
  distrust,
  registryBook: new RegistryBook(Buffer.from(registryText([...registry.agents.keys()])), [
    registryKey.publicKey,
  ]),
  registryUpdate: { policy: parts.policy, audit: parts.audit, publish: () => Promise.resolve() },
  trustContexts: () => ['MOZ'],
  audit: parts.audit,
  now: parts.now,
  random: parts.random,
});
