/** The pages on which somebody who was called enters number and code. They work without scripts. */
import { type Html, html, pageReply } from '../html.ts';
import type { Reply } from '../http-routes.ts';
import { unicodeName } from '../notice/names.ts';
import type { Transaction } from './approvals.ts';
import { grouped } from './codes.ts';

const field = (name: string, label: string, hint: string, digits: number): Html => html`<p>
<label for="${name}">${label}</label>
<input id="${name}" name="${name}" inputmode="numeric" autocomplete="off" required maxlength="${2 * digits}" aria-describedby="${name}-hint">
<span id="${name}-hint">${hint}</span></p>`;

/** @param problem what was wrong with what was entered before */
export const numberPage = (problem?: string): Reply =>
  pageReply({
    title: 'Approve a certificate',
    status: problem === undefined ? 200 : 404,
    body: html`${alert(problem)}<p>You were called and given a transaction number and an approval code.</p>
<form method="get" action="/approval">${field('number', 'Transaction number', '12 digits', 12)}
<button>Show the request</button></form>`,
  });

export function transactionPage(transaction: Transaction, problem?: string): Reply {
  const { number, state } = transaction;
  const form = html`<form method="post" action="/approval"><input type="hidden" name="number" value="${number}">
${field('code', 'Approval code', '8 digits, from the call', 8)}
<button>Approve this request</button></form>
<p>If you do not know of this request, do not enter the code: without it nothing is approved.</p>`;
  const ends: Record<Transaction['state'], Html> = {
    open: form,
    approved: html`<p role="status">This request is approved. <a href="/approval/${number}/statement">Signed statement</a></p>`,
    expired: html`<p role="status">This transaction has expired. Ask for another call.</p>`,
    locked: html`<p role="status">Too many wrong codes were entered. Ask for another call.</p>`,
  };
  return pageReply({
    title: `Transaction ${grouped(number)}`,
    status: problem === undefined ? 200 : 403,
    body: html`${alert(problem)}${details(transaction)}${ends[state]}`,
  });
}

function details({ request, domains, openedAt, expiresAt }: Transaction): Html {
  const { kind, subject, issuer, names, sha256, spkiSha256 } = request;
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return html`<dl>
<dt>Request for</dt><dd>${kind === 'csr' ? 'a certificate to be issued (CSR)' : 'a certificate that was issued'}</dd>
<dt>Names</dt><dd><ul>${names.map((name) => html`<li><code>${name}</code>${inWords(name)}</li>`)}</ul></dd>
<dt>Subject</dt><dd>${subject === '' ? '(none)' : subject}</dd>
${issuer === undefined ? '' : html`<dt>Issuer</dt><dd>${issuer}</dd>`}
<dt>SHA-256</dt><dd><code>${hex(sha256)}</code></dd>
<dt>SHA-256 of the public key</dt><dd><code>${hex(spkiSha256)}</code></dd>
<dt>Asked for</dt><dd>${time(openedAt)}</dd>
<dt>Open until</dt><dd>${time(expiresAt)}</dd>
<dt>Approvals needed</dt><dd><ul>${domains.map(
    ({ domain, approvedAt }) =>
      html`<li>${domain}: ${approvedAt === null ? 'not yet' : `approved ${time(approvedAt)}`}</li>`,
  )}</ul></dd>
</dl>`;
}

const inWords = (name: string): string => {
  const shown = unicodeName(name);
  return shown === undefined ? '' : ` (in its own script: ${shown})`;
};

const alert = (problem?: string): Html | string =>
  problem === undefined ? '' : html`<p role="alert"><strong>${problem}</strong></p>`;

const time = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
