/**
 * Approvals over HTTPS:
 *
 *   GET  /approval                     the page that asks for a transaction number; with ?number= the request
 *   POST /approval                     number and code, as a form
 *   GET  /approval/:number/statement   application/cms, once approved
 *   POST /approval/requests            application/octet-stream, a certificate or CSR: begins a transaction and has
 *                                      the contacts called; only where requesters may
 */
import type { Problem } from '../http-answers.ts';
import { type Route, jsonReply } from '../http-routes.ts';
import type { Approvals } from './approvals.ts';
import { digitsOf } from './codes.ts';
import { numberPage, transactionPage } from './pages.ts';

const unknown = 'There is no such transaction. Check the number.';
const notThere: Problem = { status: 404, title: 'Not here', detail: 'no such transaction, or not approved' };
const maxRequestOctets = 98_304;

/** @param approvals throws CoordinatorError while the database is away */
export function approvalRoutes(approvals: () => Approvals, requestersMayOpen: boolean): Route[] {
  const pageOf = async (number: string, problem?: string) => {
    const transaction = await approvals().find(number);
    return transaction ? transactionPage(transaction, problem) : numberPage(unknown);
  };
  const opening: Route = {
    method: 'POST',
    path: '/approval/requests',
    takes: 'application/octet-stream',
    maxOctets: maxRequestOctets,
    handle: async ({ body }) => jsonReply({ number: await approvals().open(body) }, 201),
  };
  return [
    {
      method: 'GET',
      path: '/approval',
      handle: async ({ query }) => {
        const number = query.get('number');
        return number === null ? numberPage() : pageOf(digitsOf(number));
      },
    },
    {
      method: 'POST',
      path: '/approval',
      takes: 'application/x-www-form-urlencoded',
      maxOctets: 1_024,
      handle: async ({ body }) => {
        const form = new URLSearchParams(body.toString());
        const number = digitsOf(form.get('number') ?? '');
        const outcome = await approvals().approve(number, digitsOf(form.get('code') ?? ''));
        return pageOf(number, outcome === 'wrong' ? 'That is not the approval code.' : undefined);
      },
    },
    {
      method: 'GET',
      path: '/approval/:number/statement',
      handle: async ({ parameters }) => {
        const transaction = await approvals().find(parameters['number']!);
        if (!transaction?.statement) return notThere;
        return {
          type: 'application/cms',
          headers: { 'content-disposition': `attachment; filename="approval-${transaction.number}.cms"` },
          body: transaction.statement,
        };
      },
    },
    ...(requestersMayOpen ? [opening] : []),
  ];
}
