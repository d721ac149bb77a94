/**
 * What the certificate log offers over HTTPS:
 *
 *   GET  /certificates/:sha256             a page: what is known of it, and how to object
 *   GET  /certificates/:sha256/objection   the same as JSON
 *   POST /certificates/:sha256/objection   { "domain": name }: looks for the TXT record there
 *   POST /statements                       application/cms: a signed statement, see statements.ts
 */
import { formatAddress } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import * as z from 'zod';
import { CoordinatorError } from '../error.ts';
import type { Problem } from '../http-answers.ts';
import { type Exchange, type Reply, type Route, jsonReply, readJson } from '../http-routes.ts';
import { type CertificateCase, certificateCase } from './cases.ts';
import { certificatePage } from './certificate-page.ts';
import type { Authority } from './config.ts';
import { endorse } from './endorsements.ts';
import { type ObjectionOutcome, type Objections, objectionRecord } from './objections.ts';
import { type ReadStatement, maxStatement, readStatement } from './statements.ts';
import { declareSuccessor } from './successors.ts';

export interface LogRoutesParts {
  readonly database: () => Database;
  readonly objections: Objections;
  /** Whose word expedites; none where that is off. */
  readonly authorities: readonly Authority[];
  /** Whether successors can be declared. */
  readonly successors: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const domainSchema = z.strictObject({ domain: z.string().min(1).max(253) });

export function logRoutes(parts: LogRoutesParts): Route[] {
  const { database, objections } = parts;
  const found = async ({ parameters }: Exchange): Promise<CertificateCase | undefined> => {
    const sha256 = sha256Of(parameters['sha256']);
    return sha256 && certificateCase(database(), sha256);
  };
  return [
    {
      method: 'GET',
      path: '/certificates/:sha256',
      handle: async (exchange) => {
        const one = await found(exchange);
        return one ? certificatePage(one) : unknown;
      },
    },
    {
      method: 'GET',
      path: '/certificates/:sha256/objection',
      handle: async (exchange) => {
        const one = await found(exchange);
        return one ? jsonReply(challenge(one)) : unknown;
      },
    },
    {
      method: 'POST',
      path: '/certificates/:sha256/objection',
      handle: async ({ parameters, body, requester }) => {
        const { domain } = readJson(domainSchema, body);
        const sha256 = sha256Of(parameters['sha256']);
        if (!sha256) return unknown;
        const name = domain.toLowerCase().replace(/\.$/, '');
        return answers[await objections.byDns(sha256, name, formatAddress(requester.address))];
      },
    },
    {
      method: 'POST',
      path: '/statements',
      takes: 'application/cms',
      maxOctets: maxStatement,
      handle: ({ body, requester }) => takeStatement(parts, body, formatAddress(requester.address)),
    },
  ];
}

async function takeStatement(
  { database, objections, authorities, successors, now }: LogRoutesParts,
  cms: Buffer,
  requester: string,
): Promise<Reply | Problem> {
  const read: ReadStatement = readStatement(cms);
  const { statement } = read;
  switch (statement.type) {
    case 'mecai-objection':
      return answers[await objections.byStatement(read, cms, requester)];
    case 'mecai-successor':
      if (!successors) throw new CoordinatorError('bad-request', 'successors are not declared here');
      return (await declareSuccessor(database(), read, cms, now())) ? accepted : notProven;
    case 'mecai-expedite': {
      for (const { name: authority, certificate } of authorities) {
        if (!(await read.signedBy(certificate.der))) continue;
        const sha256 = Buffer.from(statement.certificate, 'hex');
        await endorse(database(), { sha256, kind: 'expedite', authority, at: now(), statement: cms });
        return accepted;
      }
      return notProven;
    }
    default:
      return statement satisfies never;
  }
}

/** What an objection by DNS needs, for each name in the certificate; the same at any domain above it. */
function challenge({ sha256, state, holdUntil, names, issuer, notAfter }: CertificateCase) {
  const domains = [...new Set(names.map((name) => name.replace(/^\*\./, '')))];
  return {
    certificate: sha256,
    state,
    ...(state === 'held' && { holdUntil: new Date(holdUntil).toISOString() }),
    issuer,
    notAfter: new Date(notAfter).toISOString(),
    names,
    records: domains
      .slice(0, 100)
      .map((domain) => ({ domain, type: 'TXT', ...objectionRecord(domain, Buffer.from(sha256, 'hex')) })),
  };
}

const sha256Of = (text = ''): Buffer | undefined =>
  /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : undefined;

const accepted = jsonReply({ outcome: 'accepted' }, 201);
const unknown: Problem = {
  status: 404,
  title: 'Unknown certificate',
  detail: 'no such certificate was seen in a valid voucher request',
};
const notProven: Problem = {
  status: 403,
  title: 'Not proven',
  detail: 'the signature is not of a key that counts here',
};

const answers: Readonly<Record<ObjectionOutcome, Reply | Problem>> = {
  objected: jsonReply({ outcome: 'objected' }, 201),
  stands: jsonReply({ outcome: 'stands' }),
  decided: {
    status: 409,
    title: 'Decided',
    detail: 'the operator has decided about this objection; write to them',
  },
  'unknown-certificate': unknown,
  expired: { status: 410, title: 'Expired', detail: 'no voucher is issued for it any more' },
  'other-domain': {
    status: 422,
    title: 'Another domain',
    detail: 'the certificate is neither for this domain nor for a name below it',
  },
  'not-proven': {
    status: 403,
    title: 'Not proven',
    detail: 'the TXT record is not there yet, or the signature is not of a key that counts here',
  },
};
