/** Contacts of registered domains, from the registries over RDAP (RFC 9082). */
import { type HttpExchange, PkiError } from '@mecai/pki';
import { getDomain } from 'tldts';
import { CoordinatorError } from '../error.ts';
import { type Bootstrap, readBootstrap } from './bootstrap.ts';
import { type Contacts, contactsOf } from './contacts.ts';
import { isRecord, listOf, textOf } from './json.ts';

export interface RdapParts {
  /** Through the address guard; bounded in time. */
  readonly exchange: HttpExchange;
  /** URL of IANA's bootstrap file, or of a copy. */
  readonly bootstrap: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Octets: an answer has some tens of thousands, the bootstrap file as well. */
const maxOctets = 1_048_576;
/** Milliseconds. Many certificates name one domain, and registries count who asks how often. */
const keptFor = 3_600_000;
const maxKept = 10_000;
const none: Contacts = { mail: [], phone: [] };

/**
 * The domain that is registered, by the ICANN part of the Public Suffix List, or undefined for a public suffix.
 *
 * @param name in A-labels, without an asterisk
 */
export const registeredDomain = (name: string): string | undefined => getDomain(name) ?? undefined;

export class RdapClient {
  readonly #parts: RdapParts;
  #bootstrap: { readonly at: number; readonly file: Promise<Bootstrap> } | undefined;
  // In the order they came.
  readonly #kept = new Map<string, { readonly at: number; readonly contacts: Promise<Contacts> }>();

  constructor(parts: RdapParts) {
    this.#parts = parts;
  }

  /**
   * @param domain a registered domain
   * @throws CoordinatorError `rdap-failed` when the registry could not be asked or does not answer the question
   */
  contacts(domain: string): Promise<Contacts> {
    const now = this.#parts.now();
    const known = this.#kept.get(domain);
    if (known && now - known.at < keptFor) return known.contacts;
    const contacts = this.#lookUp(domain);
    const entry = { at: now, contacts };
    this.#kept.delete(domain);
    this.#kept.set(domain, entry);
    if (this.#kept.size > maxKept) this.#kept.delete(this.#kept.keys().next().value!);
    contacts.catch(() => {
      if (this.#kept.get(domain) === entry) this.#kept.delete(domain);
    });
    return contacts;
  }

  async #lookUp(domain: string): Promise<Contacts> {
    const bases = (await this.#bootstrapFile()).bases(domain);
    if (bases.length === 0) return none;
    let failure: unknown;
    for (const base of bases) {
      try {
        const registry = await this.#object(`${base}domain/${domain}`, domain);
        return registry ? merged(contactsOf(registry), await this.#registrar(registry, domain)) : none;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Thin registries name the registrar's own server, which may know more, or be of no use. */
  async #registrar(registry: unknown, domain: string): Promise<Contacts> {
    const links = isRecord(registry) ? listOf(registry['links']).filter(isRecord) : [];
    const related = links.find(({ rel, type }) => rel === 'related' && type === 'application/rdap+json');
    const [href] = textOf(related?.['href']);
    if (href === undefined) return none;
    try {
      return contactsOf(await this.#object(href, domain));
    } catch (error) {
      if (error instanceof CoordinatorError) return none;
      throw error;
    }
  }

  /** @returns undefined for a domain that is not registered */
  async #object(url: string, domain: string): Promise<unknown> {
    const { status, content } = await this.#get(url);
    if (status === 404) return undefined;
    if (status !== 200) throw new CoordinatorError('rdap-failed', `RDAP for ${domain}: status ${status}`);
    const object = parse(content);
    const named = isRecord(object) ? textOf(object['ldhName'])[0]?.toLowerCase().replace(/\.$/, '') : '';
    if (isRecord(object) && object['objectClassName'] === 'domain' && named === domain) return object;
    throw new CoordinatorError('rdap-failed', `RDAP for ${domain}: another question is answered`);
  }

  async #bootstrapFile(): Promise<Bootstrap> {
    const { now, bootstrap } = this.#parts;
    const kept = this.#bootstrap;
    if (kept && now() - kept.at < keptFor) return kept.file;
    const file = this.#get(bootstrap).then(({ status, content }) => {
      if (status === 200) return readBootstrap(parse(content));
      throw new CoordinatorError('rdap-failed', `RDAP bootstrap file: status ${status}`);
    });
    const fresh = { at: now(), file };
    this.#bootstrap = fresh;
    try {
      return await file;
    } catch (error) {
      // The old one is better than none.
      if (this.#bootstrap === fresh) this.#bootstrap = kept;
      if (!kept) throw error;
      return kept.file;
    }
  }

  async #get(url: string): Promise<{ status: number; content: Uint8Array }> {
    const headers = { accept: 'application/rdap+json, application/json;q=0.9' };
    try {
      return await this.#parts.exchange({ url, headers, maxOctets });
    } catch (cause) {
      if (!(cause instanceof PkiError)) throw cause;
      throw new CoordinatorError('rdap-failed', `RDAP: ${cause.message}`, { cause });
    }
  }
}

function parse(content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString());
  } catch (cause) {
    throw new CoordinatorError('rdap-failed', 'RDAP: no JSON', { cause });
  }
}

const merged = (a: Contacts, b: Contacts): Contacts => ({
  mail: [...new Set([...a.mail, ...b.mail])],
  phone: [...new Set([...a.phone, ...b.phone])],
});
