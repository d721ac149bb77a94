/**
 * Subscriptions over HTTPS:
 *
 *   POST /subscriptions          { domain, recipient } → the TXT record to publish
 *   POST /subscriptions/confirm  { domain, recipient, expires } → 201 with id and token, once the record is there
 *   POST /subscriptions/list     { token } → all subscriptions of the token's domain
 *   POST /subscriptions/cancel   { token, id? } → ends the token's own, or another of its domain
 *   GET, POST /unsubscribe/:token  the link in mails; the POST is RFC 8058's
 */
import { domainToASCII } from 'node:url';
import * as z from 'zod';
import { CoordinatorError } from '../error.ts';
import { html, pageReply } from '../html.ts';
import type { Problem } from '../http-answers.ts';
import { type Reply, type Route, jsonReply, readJson } from '../http-routes.ts';
import { isDnsName } from './names.ts';
import { type Recipient, mailtoAddresses, webhookUrl } from './recipient.ts';
import type { Subscription, Subscriptions } from './subscriptions.ts';

const text = () => z.string().max(2_000);
const asked = z.strictObject({ domain: text(), recipient: text() });
const confirmed = asked.extend({ expires: z.iso.datetime() });
const token = z.strictObject({ token: text() });
const tokenAndId = token.extend({ id: text().optional() });

const problem = (status: number, title: string, detail: string): Problem => ({ status, title, detail });
const refusals = {
  expired: problem(410, 'Expired', 'ask for another challenge'),
  'not-proven': problem(403, 'Not proven', 'the TXT record is not there, at every resolver we ask'),
  'too-many': problem(409, 'Too many', 'this domain has as many subscriptions as it may have'),
} as const;
const noSuchToken = problem(403, 'Not allowed', 'this token is for no subscription');

/** @param subscriptions throws CoordinatorError while the database is away */
export function subscriptionRoutes(subscriptions: () => Subscriptions): Route[] {
  const unsubscribe = async (link: string): Promise<Reply> => {
    await subscriptions().unsubscribe(link);
    return pageReply({ title: 'No more notices', body: html`<p>This subscription has ended.</p>` });
  };
  return [
    {
      method: 'POST',
      path: '/subscriptions',
      handle({ body }) {
        const { domain, recipient } = readAsked(readJson(asked, body));
        const { name, value, expires } = subscriptions().challenge(domain, recipient);
        return jsonReply({ domain, recipient, record: { name, type: 'TXT', value }, expires: time(expires) });
      },
    },
    {
      method: 'POST',
      path: '/subscriptions/confirm',
      async handle({ body }) {
        const { expires, ...rest } = readJson(confirmed, body);
        const { domain, recipient } = readAsked(rest);
        const result = await subscriptions().confirm(domain, recipient, Date.parse(expires));
        if (typeof result === 'string') return refusals[result];
        return jsonReply({ ...shown(result.subscription), token: result.token }, 201);
      },
    },
    {
      method: 'POST',
      path: '/subscriptions/list',
      async handle({ body }) {
        const list = await subscriptions().list(readJson(token, body).token);
        return list ? jsonReply({ subscriptions: list.map(shown) }) : noSuchToken;
      },
    },
    {
      method: 'POST',
      path: '/subscriptions/cancel',
      async handle({ body }) {
        const given = readJson(tokenAndId, body);
        const ended = await subscriptions().cancel(given.token, given.id);
        return ended ? jsonReply({ ended }) : noSuchToken;
      },
    },
    {
      // Only a page: mail scanners follow links.
      method: 'GET',
      path: '/unsubscribe/:token',
      handle: () =>
        pageReply({
          title: 'End this subscription?',
          body: html`<p>You will get no more notices of certificates for this domain.</p>
<form method="post" enctype="application/x-www-form-urlencoded"><button>End it</button></form>`,
        }),
    },
    {
      method: 'POST',
      path: '/unsubscribe/:token',
      takes: 'application/x-www-form-urlencoded',
      handle: ({ parameters }) => unsubscribe(parameters['token']!),
    },
  ];
}

/** @throws CoordinatorError `bad-request` */
function readAsked(given: z.output<typeof asked>): { domain: string; recipient: Recipient } {
  const domain = domainToASCII(given.domain.replace(/\.$/, ''));
  if (!isDnsName(domain)) throw new CoordinatorError('bad-request', 'domain: expected a domain name');
  const [address, ...more] = mailtoAddresses(given.recipient);
  const recipient =
    address !== undefined && more.length === 0 ? `mailto:${address}` : webhookUrl(given.recipient);
  if (recipient !== undefined) return { domain, recipient };
  throw new CoordinatorError('bad-request', 'recipient: expected mailto:address or an https URL');
}

const time = (at: number): string => new Date(at).toISOString();

const shown = ({ id, domain, recipient, confirmedAt }: Subscription) => ({
  id,
  domain,
  recipient,
  confirmedAt: time(confirmedAt),
});
