/** `mecai-admin holds | certificate | object | clear`: the certificate log. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pemCertificates } from '@mecai/pki';
import type {
  ClearCertificateResponse,
  GetCertificateResponse,
  ListCertificatesRequest,
  ListCertificatesResponse,
  ObjectToCertificateResponse,
} from '@mecai/proto/coordinator';
import type { Command } from './admin.ts';
import { caseWords, plainCase, plainCertificate, summaryWords } from './certificate-words.ts';
import { ask, limitOf, misused, withCoordinator } from './coordinator.ts';

const config = 'The file: { "coordinator": { "address": "host:port", "id": "spiffe://…", "tls": { … } } }';

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  objected: { type: 'boolean' },
  limit: { type: 'string' },
  name: { type: 'string' },
  reason: { type: 'string' },
  author: { type: 'string' },
} as const;
const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });

export const holds: Command = {
  summary: 'certificates on hold, and what waits for a decision',
  usage: `usage: mecai-admin holds --config <file.json> [--objected] [--limit <n>] [--json]

  what is on hold, or with --objected what waits for a decision about an objection

${config}`,
  async run(args, environment) {
    const { values, positionals } = parse(args);
    if (positionals.length > 0) throw misused('holds takes no more words');
    const which = { $case: 'state', state: values.objected ? 'objected' : 'held' } as const;
    await list({ which, limit: limitOf(values.limit) }, values, environment);
  },
};

export const certificate: Command = {
  summary: 'all that is known of a certificate, or of a name',
  usage: `usage: mecai-admin certificate <SHA-256 or PEM file> --config <file.json> [--json]
       mecai-admin certificate --name <name> --config <file.json> [--limit <n>] [--json]

  all that is known of one: where it was seen, its history and the evidence in it, who was told; or those that there
  are for a name, as it stands in certificates: with its asterisk if it has one, in any script`,
  async run(args, environment) {
    const { values, positionals } = parse(args);
    const [which, ...rest] = positionals;
    if (rest.length > 0 || (which === undefined) === (values.name === undefined)) {
      throw misused('one certificate, or --name');
    }
    if (values.name !== undefined) {
      const { name } = values;
      await list({ which: { $case: 'name', name }, limit: limitOf(values.limit) }, values, environment);
      return;
    }
    const sha256 = digestOf(which!);
    await withCoordinator(values.config, environment, async ({ log }) => {
      const found = await ask<GetCertificateResponse>((...within) =>
        log.getCertificate({ sha256 }, ...within),
      );
      console.log(values.json ? JSON.stringify(plainCase(found)) : caseWords(found));
    });
  },
};

export const object: Command = {
  summary: 'no voucher for a certificate and its key',
  usage: `usage: mecai-admin object <SHA-256 or PEM file> --reason <text> --author <name> --config <file.json>

  no voucher any more, for any certificate with the same key, until it is cleared; the CA is told`,
  async run(args, environment) {
    const { request, values } = decision(args, 'object');
    await withCoordinator(values.config, environment, async ({ log }) => {
      await ask<ObjectToCertificateResponse>((...within) => log.objectToCertificate(request, ...within));
      console.log(`objected to ${hex(request.sha256)}`);
    });
  },
};

export const clear: Command = {
  summary: 'ends a hold, or decides objections',
  usage: `usage: mecai-admin clear <SHA-256 or PEM file> --reason <text> --author <name> --config <file.json>

  ends a hold at once; or decides that the objections to a certificate, and to all with its key, do not stand`,
  async run(args, environment) {
    const { request, values } = decision(args, 'clear');
    await withCoordinator(values.config, environment, async ({ log }) => {
      const { cleared } = await ask<ClearCertificateResponse>((...within) =>
        log.clearCertificate(request, ...within),
      );
      console.log(
        `cleared ${hex(request.sha256)}${cleared > 1 ? ` and ${cleared - 1} more with its key` : ''}`,
      );
    });
  },
};

async function list(
  request: ListCertificatesRequest,
  { config: file, json = false }: { config?: string; json?: boolean },
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  await withCoordinator(file, environment, async ({ log }) => {
    const { certificates } = await ask<ListCertificatesResponse>((...within) =>
      log.listCertificates(request, ...within),
    );
    if (certificates.length === 0 && !json) console.log(nothing(request));
    for (const one of certificates) {
      console.log(json ? JSON.stringify(plainCertificate(one)) : summaryWords(one));
    }
  });
}

function nothing({ which }: ListCertificatesRequest): string {
  if (which?.$case === 'name') return `no certificate with the name ${which.name}`;
  return which?.state === 'objected' ? 'no objection waits for a decision' : 'nothing is on hold';
}

function decision(args: readonly string[], verb: string) {
  const { values, positionals } = parse(args);
  const [which, ...rest] = positionals;
  const { reason = '', author = '' } = values;
  if (which === undefined || rest.length > 0) throw misused(`${verb} one certificate`);
  if (reason === '' || author === '') throw misused('--reason and --author are needed');
  return { request: { sha256: digestOf(which), reason, author }, values };
}

function digestOf(text: string): Uint8Array {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (!existsSync(text)) throw misused(`${text}: neither the SHA-256 of a certificate nor a file`);
  const [leaf, ...others] = pemCertificates(readFileSync(text, 'utf8'));
  if (!leaf || others.length > 0) throw misused(`${text}: one certificate is expected`);
  return createHash('sha256').update(leaf.der).digest();
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
