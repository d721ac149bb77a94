/** Pages: HTML in which nothing from outside is ever markup, and a policy that lets nothing else run. */
import { createHash } from 'node:crypto';
import type { Reply } from './http-routes.ts';

/** Markup that is written here, or made by `html`. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Html | readonly Part[];

/** A template whose values are escaped, unless they are markup themselves. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Html =>
  new Html(strings.map((text, i) => (i < parts.length ? text + escaped(parts[i]!) : text)).join(''));

function escaped(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(escaped).join('');
  return String(part).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const style = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}
code,pre{overflow-wrap:anywhere;white-space:pre-wrap}
dt{font-weight:600}dd{margin:0 0 .5rem}
input,textarea,button{font:inherit;padding:.4rem;max-width:100%;box-sizing:border-box}
textarea{width:100%}label{display:block;margin:.5rem 0}`;

/**
 * @param script runs in the page; it may ask this server, and no other
 * @returns a whole document; Content Security Policy Level 3, by hashes
 */
export function pageReply(page: { title: string; body: Html; script?: string; status?: number }): Reply {
  const { title, body, script, status = 200 } = page;
  const document = html`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${new Html(style)}</style><body><main><h1>${title}</h1>${body}</main>${script === undefined ? '' : new Html(`<script>${script}</script>`)}</body></html>`;
  const policy = [
    "default-src 'none'",
    `style-src ${hashSource(style)}`,
    ...(script === undefined ? [] : [`script-src ${hashSource(script)}`, "connect-src 'self'"]),
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return {
    status,
    type: 'text/html; charset=utf-8',
    headers: { 'content-security-policy': policy, 'referrer-policy': 'no-referrer' },
    body: document.text,
  };
}

const hashSource = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
