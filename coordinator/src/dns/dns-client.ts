/** DNS through the operator's recursive resolvers; names come from strangers' certificates and requests. */
import { Resolver } from 'node:dns/promises';
import { CoordinatorError } from '../error.ts';

/** One CAA property (RFC 8659 section 4.1). */
export interface CaaProperty {
  /** Lower case. */
  readonly tag: string;
  readonly value: string;
}

/**
 * Each answer is empty where the name or the type does not exist.
 *
 * @throws CoordinatorError `dns-failed` where that could not be learnt: no answer in time, SERVFAIL (which is
 *   also what CNAME loops and bogus signatures come to), a malformed answer, more records than are read
 */
export interface DnsClient {
  /** TXT records, the strings of each joined, that every resolver sees: proofs of control rest on them. */
  txt(name: string): Promise<string[]>;
  /** CAA records at this very name. */
  caa(name: string): Promise<CaaProperty[]>;
  /** IPv4 addresses, then IPv6 addresses, as text. */
  addresses(host: string): Promise<string[]>;
}

export interface DnsOptions {
  /** `address` or `address:port`, brackets around IPv6; without any, those of the system. */
  readonly resolvers: readonly string[];
  /** For the first try, milliseconds; the second and last is given twice that. */
  readonly timeoutMs: number;
}

/** Records of one answer; a message has room for some thousands (RFC 1035 section 4.2.2: 65,535 octets). */
const maxRecords = 100;
/** The name or its records are not there, or it cannot be a name at all (RFC 1035 section 2.3.4). */
const nothing: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME']);

export function dnsClient({ resolvers, timeoutMs }: DnsOptions): DnsClient {
  const resolver = (servers: readonly string[]) => {
    const one = new Resolver({ timeout: timeoutMs, tries: 2, maxTimeout: 2 * timeoutMs });
    if (servers.length > 0) one.setServers(servers);
    return one;
  };
  const any = resolver(resolvers);
  const each = resolvers.length > 1 ? resolvers.map((server) => resolver([server])) : [any];
  return {
    async txt(name) {
      const answers = await Promise.all(each.map((one) => records(name, () => one.resolveTxt(name))));
      const [first = [], ...others] = answers.map((lists) => lists.map((strings) => strings.join('')));
      return first.filter((text) => others.every((texts) => texts.includes(text)));
    },
    async caa(name) {
      const answer = await records(name, () => any.resolveCaa(name));
      return answer.flatMap((record) =>
        // Node puts `type: 'CAA'` and the flags beside the property.
        Object.entries(record).flatMap(([tag, value]) =>
          tag === 'critical' || tag === 'type' ? [] : { tag: tag.toLowerCase(), value: String(value) },
        ),
      );
    },
    async addresses(host) {
      const [four, six] = await Promise.all([
        records(host, () => any.resolve4(host)),
        records(host, () => any.resolve6(host)),
      ]);
      return [...four, ...six];
    },
  };
}

async function records<T>(name: string, ask: () => Promise<T[]>): Promise<T[]> {
  let answer: T[];
  try {
    answer = await ask();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    if (nothing.has(code)) return [];
    throw new CoordinatorError('dns-failed', `DNS gives no answer for ${shown(name)}: ${code}`, { cause });
  }
  if (answer.length <= maxRecords) return answer;
  throw new CoordinatorError('dns-failed', `${answer.length} DNS records at ${shown(name)}`);
}

const shown = (name: string) => name.slice(0, 253).replace(/[^\x21-\x7e]/g, '?');
