import { OpenAPIHono } from '@hono/zod-openapi';
import type { Logger } from '@mecai/runtime';
import type { Context } from 'hono';
import type { CampaignBook } from '../campaigns/book.ts';
import type { Perspectives } from '../perspectives.ts';
import type { SqlReader } from '../sql/reader.ts';
import type { Store } from '../store.ts';
import { Problem } from './problem.ts';
import type { Scope, Tokens } from './tokens.ts';

/** What the API is made of. */
export interface ApiParts {
  readonly store: () => Store | undefined;
  readonly sql: SqlReader;
  readonly perspectives: Pick<Perspectives, 'list'>;
  readonly campaigns: CampaignBook;
  readonly tokens: Pick<Tokens, 'find'>;
  /** Looked at with each request. */
  readonly limits: () => { readonly anonymousRead: boolean; readonly requestsPerMinute: number };
  /** Directory of the built dashboard. */
  readonly dashboard: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
}

export interface Env {
  Variables: { scopes: ReadonlySet<Scope>; caller: string };
}

export type Api = OpenAPIHono<Env>;

/** A parameter that is wrong is a problem like any other. */
export const newApi = (): Api =>
  new OpenAPIHono<Env>({
    defaultHook: (result) => {
      if (result.success) return;
      const [issue] = result.error.issues;
      const { path = [], message = 'wrong' } = issue ?? {};
      throw new Problem('bad-parameter', path.length > 0 ? `${path.join('.')}: ${message}` : message);
    },
  });

/** @throws Problem `unauthenticated`, `forbidden` */
export function need(context: Context<Env>, scope: Scope): void {
  const scopes = context.get('scopes');
  if (scopes.has(scope)) return;
  if (context.get('caller').startsWith('token ')) throw new Problem('forbidden', `scope ${scope} is needed`);
  throw new Problem('unauthenticated', `a token with scope ${scope} is needed`);
}

/** @throws Problem `store-absent` */
export function openStore({ store }: Pick<ApiParts, 'store'>): Store {
  const open = store();
  if (!open) throw new Problem('store-absent');
  return open;
}
