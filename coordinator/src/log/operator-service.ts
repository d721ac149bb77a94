import { domainToASCII } from 'node:url';
import type { Database } from '@mecai/database';
import type {
  CertificateLogServiceServer,
  ClearCertificateRequest,
  ClearCertificateResponse,
  GetCertificateRequest,
  GetCertificateResponse,
  ListCertificatesRequest,
  ListCertificatesResponse,
  LoggedCertificate,
  ObjectToCertificateRequest,
  ObjectToCertificateResponse,
} from '@mecai/proto/coordinator';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
import { deliveryMessage } from '../notice/operator-service.ts';
import type { Command } from '../operator-server.ts';
import { type CertificateSummary, certificateCase, certificatesFor, certificatesIn } from './cases.ts';
import { hex } from './certificate-facts.ts';
import type { Objections } from './objections.ts';

export interface CertificateLogServiceParts {
  readonly database: () => Database;
  readonly objections: Objections;
  readonly log: Logger;
}

const defaultLimit = 100;
const mostListed = 10_000;

export function certificateLogService(
  { database, objections, log }: CertificateLogServiceParts,
  command: Command,
): CertificateLogServiceServer {
  return {
    listCertificates: command<ListCertificatesRequest, ListCertificatesResponse>(async ({ which, limit }) => {
      const most = Math.min(limit === 0 ? defaultLimit : limit, mostListed);
      if (which?.$case === 'name') {
        const name = presentedName(which.name);
        return { certificates: (await certificatesFor(database(), name, most)).map(message) };
      }
      const state = which?.state;
      if (state !== 'held' && state !== 'objected') throw misused('state: held or objected');
      return { certificates: (await certificatesIn(database(), state, most)).map(message) };
    }),
    getCertificate: command<GetCertificateRequest, GetCertificateResponse>(async ({ sha256 }) => {
      const found = await certificateCase(database(), digest(sha256));
      if (!found) throw misused(`no certificate ${hex(sha256)} in the log`);
      const { spkiSha256, der, endpoints, events, endorsements, deliveries } = found;
      return {
        certificate: message(found),
        spkiSha256: Buffer.from(spkiSha256, 'hex'),
        der,
        endpoints: [...endpoints],
        events: [...events],
        endorsements: [...endorsements],
        deliveries: deliveries.map(deliveryMessage),
      };
    }),
    objectToCertificate: command<ObjectToCertificateRequest, ObjectToCertificateResponse>(
      async ({ sha256, reason, author }, operator) => {
        const detail = answerable(reason, author, operator);
        const outcome = await objections.object(digest(sha256), { by: 'operator', detail });
        if (outcome !== 'objected') throw misused(`${hex(sha256)}: ${outcome}`);
        log.warn({ ...detail, certificate: hex(sha256) }, 'certificate objected to');
        return {};
      },
    ),
    clearCertificate: command<ClearCertificateRequest, ClearCertificateResponse>(
      async ({ sha256, reason, author }, operator) => {
        const detail = answerable(reason, author, operator);
        const cleared = await objections.clear(digest(sha256), detail);
        if (cleared === undefined) throw misused(`no certificate ${hex(sha256)} in the log`);
        log.warn({ ...detail, certificate: hex(sha256), cleared }, 'certificate cleared');
        return { cleared };
      },
    ),
  };
}

/** As certificates have it: A-labels in lower case, no final dot. What IDNA does not take is looked for as it is. */
export function presentedName(text: string): string {
  const [, wildcard = '', name = ''] = /^(\*\.)?(.*?)\.?$/s.exec(text)!;
  return wildcard + (domainToASCII(name) || name.toLowerCase());
}

/** What stays in the history. */
function answerable(reason: string, author: string, identity: string) {
  if (reason === '' || author === '') throw misused('reason and author are needed');
  return { reason: reason.slice(0, 1_000), author: author.slice(0, 200), identity };
}

function digest(sha256: Uint8Array): Uint8Array {
  if (sha256.length !== 32) throw misused('SHA-256 of a certificate has 32 octets');
  return sha256;
}

const message = ({ sha256, names, ...rest }: CertificateSummary): LoggedCertificate => ({
  issuer: rest.issuer,
  state: rest.state,
  holdUntil: rest.holdUntil,
  firstRequest: rest.firstRequest,
  notBefore: rest.notBefore,
  notAfter: rest.notAfter,
  sha256: Buffer.from(sha256, 'hex'),
  names: [...names],
});

const misused = (why: string) => new CoordinatorError('bad-request', why);
