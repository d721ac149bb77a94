/** Chains about the names that servers are asked for. */
import { der } from '../index.ts';
import { accepted, below, br, chain, type GeneratedChain, host, root } from './chain.ts';
import { commonName, dnsName, emptyName, ext, ipName } from './issue.ts';

export function nameChains(): GeneratedChain[] {
  const syntax = accepted('openssl does not judge the syntax of names');
  return [
    one('exact', 'trusted', host, host),
    one('upper case presented', 'trusted', 'WWW.Example.COM', host),
    one('upper case asked', 'trusted', host, 'WWW.EXAMPLE.com'),
    one('another host', 'name-mismatch', host, 'ftp.example.com'),
    one('the parent', 'name-mismatch', host, 'example.com'),
    one('wildcard', 'trusted', '*.example.com', host),
    one('wildcard for two labels', 'name-mismatch', '*.example.com', 'a.b.example.com'),
    one('wildcard for no label', 'name-mismatch', '*.example.com', 'example.com'),
    one('wildcard below a top-level domain', 'name-mismatch', '*.com', 'example.com'),
    one('partial wildcard', 'profile', 'w*.example.com', host, accepted('RFC 9525 6.3 wants a whole label')),
    one('wildcard inside', 'profile', 'www.*.com', host, {}),
    one('two wildcards', 'profile', '*.*.example.com', 'a.b.example.com'),
    one('bare wildcard', 'profile', '*', 'localhost'),
    one('underscore', 'profile', 'a_b.example.com', 'a_b.example.com', syntax),
    one('empty label', 'profile', 'a..example.com', 'a..example.com', syntax),
    one('leading period', 'profile', '.example.com', host),
    one('label of 64', 'profile', `${'a'.repeat(64)}.example.com`, `${'a'.repeat(64)}.example.com`, syntax),
    one('A-label', 'trusted', 'xn--bcher-kva.example', 'xn--bcher-kva.example'),
    one('address as a name', 'profile', '192.0.2.1', '192.0.2.1', syntax),
    san('IPv4', 'trusted', [ipName(192, 0, 2, 1)], { ip: '192.0.2.1' }),
    san('another IPv4', 'name-mismatch', [ipName(192, 0, 2, 1)], { ip: '192.0.2.2' }),
    san('IPv6', 'trusted', [ipName(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)], {
      ip: '2001:db8::1',
    }),
    san(
      'address of five octets',
      'profile',
      [ipName(192, 0, 2, 1, 1), ipName(192, 0, 2, 1)],
      {
        ip: '192.0.2.1',
      },
      syntax,
    ),
    chain(
      'names: none',
      'profile',
      below(root, [{}], { change: { subjectAltName: undefined } }),
      accepted('openssl falls back to the commonName'),
    ),
    chain('names: empty subject, not critical', 'profile', below(root, [{}], { subject: emptyName })),
    chain(
      'names: empty list',
      'malformed',
      below(root, [{}], { change: { subjectAltName: ext.subjectAltName([]) } }),
    ),
    chain(
      'names: commonName that is no host',
      'trusted',
      below(root, [{}], { subject: commonName('Gateway 7') }),
    ),
    chain('names: two commonNames', 'profile', below(root, [{}], { subject: twice }), br),
    chain(
      'names: commonName not presented',
      'profile',
      below(root, [{}], { subject: commonName('ftp.example.net') }),
      br,
    ),
  ];
}

const san = (
  id: string,
  expected: GeneratedChain['expected'],
  list: Uint8Array[],
  reference: GeneratedChain['name'],
  rest: Partial<GeneratedChain> = {},
) =>
  chain(
    `names: ${id}`,
    expected,
    below(root, [{}], { subject: commonName('x'), change: { subjectAltName: ext.subjectAltName(list) } }),
    { name: reference, ...rest },
  );

const one = (
  id: string,
  expected: GeneratedChain['expected'],
  presented: string,
  reference: string,
  rest: Partial<GeneratedChain> = {},
) => ({
  ...chain(
    `names: ${id}`,
    expected,
    below(root, [{}], {
      subject: emptyName,
      change: { subjectAltName: ext.subjectAltName([dnsName(presented)], true) },
    }),
    { name: { dns: reference } },
  ),
  ...rest,
});

/** The same commonName, two times. */
const twice = der.sequence(commonName(host).subarray(2), commonName(host).subarray(2));
