/** The Public Suffix List (publicsuffix.org): rules one a line, `*.` for any label, `!` for exceptions. */

export interface PublicSuffixOptions {
  /** Also the rules of its PRIVATE DOMAINS. BR 3.2.2.6 is content with the ICANN DOMAINS, and so is the default. */
  readonly privateDomains?: boolean;
}

/** A function that tells whether a domain (A-labels, lower case) is a public suffix. */
export function readPublicSuffixes(
  list: string,
  options: PublicSuffixOptions = {},
): (domain: string) => boolean {
  const rules = new Set<string>();
  let inPrivate = false;
  for (const line of list.split(/\r?\n/)) {
    if (line.includes('===BEGIN PRIVATE DOMAINS===')) inPrivate = true;
    if (line.includes('===END PRIVATE DOMAINS===')) inPrivate = false;
    const [rule = ''] = line.trim().split(/\s/);
    if (rule === '' || rule.startsWith('//') || (inPrivate && !options.privateDomains)) continue;
    const mark = /^(!|\*\.)?/.exec(rule)![0];
    const ascii = toAscii(rule.slice(mark.length));
    if (ascii) rules.add(mark + ascii);
  }
  return (domain) => {
    if (!domain.includes('.')) return true;
    if (rules.has(`!${domain}`)) return false;
    return rules.has(domain) || rules.has(`*.${domain.slice(domain.indexOf('.') + 1)}`);
  };
}

/** A-labels; the list is in Unicode. */
function toAscii(domain: string): string | undefined {
  try {
    return new URL(`http://${domain}`).hostname;
  } catch {
    return undefined;
  }
}
