/** What a network has left behind: its streams and the signer's audit log, to be held against each other. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Decision, Mismatch, Observation, SignedObservation, inboxPrefix, streams } from '@mecai/proto';
import { parseSignedVoucher } from '@mecai/voucher';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import type { Network } from '../network/index.ts';

export interface AuditLine {
  /** SPIFFE ID. */
  readonly signer: string;
  readonly sequence: number;
  readonly event: string;
  readonly serial?: string;
  readonly nonce?: string;
  /** SHA-256 of the observations that counted, hex. */
  readonly evidence?: readonly string[];
}

export interface Books {
  readonly decisions: readonly Decision[];
  readonly mismatches: readonly Mismatch[];
  /** SHA-256 of each observation in the stream, hex; as often as it is stored. */
  readonly observations: readonly { readonly hash: string; readonly observation: Observation }[];
  readonly audit: readonly AuditLine[];
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const run = promisify(execFile);
const repository = join(import.meta.dirname, '../../..');

/** Where the books are. */
export interface Shelves {
  /** As the operator. */
  readonly nats: NatsConnection;
  readonly signers: readonly {
    /** SPIFFE ID. */
    readonly id: string;
    readonly config: string;
    readonly auditLog: string;
  }[];
}

export async function readBooks(network: Network): Promise<Books> {
  const nats = await connect({
    servers: network.nats.url,
    authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
    inboxPrefix: inboxPrefix('operator'),
  });
  const at = (name: string) => join(network.directory, name);
  const signers = [
    { id: 'spiffe://mecai.test/signer', config: at('signer.json'), auditLog: at('audit.jsonl') },
  ];
  try {
    return await readShelves({ nats, signers });
  } finally {
    await nats.close();
  }
}

/** Reads everything, and has the signer's own command check the chain of each audit log. */
export async function readShelves({ nats, signers }: Shelves): Promise<Books> {
  const jsm = await jetstreamManager(nats, { checkAPI: false });
  const records = await all(jsm, streams.records.name);
  const observations = await all(jsm, streams.observations.name);
  const of = (kind: string) => records.filter(({ subject }) => subject.startsWith(kind));
  return {
    decisions: of('mecai.decision.').map(({ data }) => Decision.decode(data)),
    mismatches: of('mecai.mismatch.').map(({ data }) => Mismatch.decode(data)),
    observations: observations.map(({ data }) => {
      const signed = SignedObservation.decode(data);
      return { hash: sha256(signed.observation), observation: Observation.decode(signed.observation) };
    }),
    audit: (await Promise.all(signers.map(readAudit))).flat(),
  };
}

async function readAudit({ id, config, auditLog }: Shelves['signers'][number]): Promise<AuditLine[]> {
  await run(process.execPath, [
    join(repository, 'signer/src/main.ts'),
    'verify-audit-log',
    '--config',
    config,
  ]);
  const lines = readFileSync(auditLog, 'utf8').split('\n');
  return lines
    .filter((line) => line !== '')
    .map((line): AuditLine => ({ ...(JSON.parse(line) as Omit<AuditLine, 'signer'>), signer: id }));
}

async function all(jsm: JetStreamManager, stream: string): Promise<{ subject: string; data: Uint8Array }[]> {
  const { state } = await jsm.streams.info(stream);
  const found: { subject: string; data: Uint8Array }[] = [];
  let next = state.first_seq;
  const read = async () => {
    while (next <= state.last_seq && state.messages > 0) {
      const message = await jsm.streams.getMessage(stream, { seq: next++ });
      if (message) found.push({ subject: message.subject, data: message.data });
    }
  };
  await Promise.all(Array.from({ length: 64 }, read));
  return found;
}

export const serialOf = (voucher: Uint8Array): string =>
  Buffer.from(parseSignedVoucher(voucher).voucher.serial).toString('hex');

/** What does not add up, in words; empty when all is well. */
export const discrepancies = (books: Books, vouchers: readonly Uint8Array[]): string[] => [
  ...lacking(books, vouchers),
  ...storedTwice(books),
];

/** What is not on record of vouchers that were handed out. */
export function lacking({ decisions, audit }: Books, vouchers: readonly Uint8Array[]): string[] {
  const issued = new Map(audit.flatMap((line) => (line.event === 'issued' ? [[line.serial, line]] : [])));
  const recorded = new Map(decisions.map((decision) => [sha256(decision.voucher), decision]));
  return vouchers.flatMap((voucher) => {
    const serial = serialOf(voucher);
    const line = issued.get(serial);
    const decision = recorded.get(sha256(voucher));
    if (!line) return `voucher ${serial} has no line in the audit log`;
    if (decision?.status !== 'issued') return `voucher ${serial} has no decision on record`;
    return decision.auditSequence === line.sequence && decision.signer === line.signer
      ? []
      : `voucher ${serial}: another audit line`;
  });
}

/** What streams have more than once. */
export function storedTwice({ decisions, observations }: Books): string[] {
  const repeated = <T>(all: readonly T[], key: (one: T) => string, what: string) =>
    Array.from(Map.groupBy(all, key), ([name, same]) =>
      same.length > 1 ? [`${what} ${name} is stored ${same.length} times`] : [],
    ).flat();
  return [
    ...repeated(decisions, ({ nonce }) => Buffer.from(nonce).toString('hex'), 'decision'),
    ...repeated(observations, ({ hash }) => hash, 'observation'),
  ];
}

/** What vouchers were issued on, by hash. */
export const evidenceOf = ({ audit }: Pick<Books, 'audit'>): string[] =>
  audit.flatMap(({ event, evidence = [] }) => (event === 'issued' ? evidence : []));

/** Evidence that is not in the stream; by hash. */
export function lostEvidence(books: Pick<Books, 'audit' | 'observations'>): string[] {
  const stored = new Set(books.observations.map(({ hash }) => hash));
  return evidenceOf(books).filter((hash) => !stored.has(hash));
}
