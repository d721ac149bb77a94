/** Which RDAP servers answer for a top-level domain (RFC 9224). */
import { isRecord, textOf } from './json.ts';

export interface Bootstrap {
  /** Base URLs, each with a final slash, https before http; none for a domain without RDAP. */
  bases(domain: string): readonly string[];
}

/**
 * `{ "services": [ [ ["com", "net"], ["https://rdap.example/"] ], … ] }`; entries of another form are passed over.
 */
export function readBootstrap(file: unknown): Bootstrap {
  const services = isRecord(file) && Array.isArray(file['services']) ? file['services'] : [];
  const basesOf = new Map<string, string[]>();
  for (const service of services) {
    if (!Array.isArray(service)) continue;
    const [domains, urls] = service.map((one: unknown) => (Array.isArray(one) ? one.flatMap(textOf) : []));
    const bases = (urls ?? [])
      .filter((url) => /^https?:\/\//i.test(url) && URL.canParse(url))
      .map((url) => (url.endsWith('/') ? url : `${url}/`));
    // RFC 9224 section 3: https is preferred.
    bases.sort((a, b) => Number(b.startsWith('https:')) - Number(a.startsWith('https:')));
    for (const domain of domains ?? []) basesOf.set(domain.toLowerCase(), bases);
  }
  return {
    bases(domain) {
      const labels = domain.split('.');
      // RFC 9224 section 4: the longest match.
      for (let from = 0; from < labels.length; from++) {
        const bases = basesOf.get(labels.slice(from).join('.'));
        if (bases) return bases;
      }
      return [];
    },
  };
}
