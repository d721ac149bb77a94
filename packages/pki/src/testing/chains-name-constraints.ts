/** Chains under name constraints (RFC 5280 section 4.2.1.10). */
import { der } from '../index.ts';
import { accepted, below, chain, type GeneratedChain, host, root } from './chain.ts';
import {
  attribute,
  authority,
  directoryName,
  dnsName,
  emailName,
  emptyName,
  ext,
  ipName,
  server,
  uriName,
} from './issue.ts';

type Outcome = 'trusted' | 'name-constraints' | 'malformed';

/** Constraints on an intermediate, names of the leaf below it. */
function constrained(
  id: string,
  expected: Outcome,
  permitted: Uint8Array[],
  excluded: Uint8Array[],
  names: Uint8Array[],
  rest: Partial<GeneratedChain> & { subject?: Uint8Array } = {},
): GeneratedChain {
  const { subject = emptyName, ...other } = rest;
  const certificates = below(root, [{ change: { constraints: ext.nameConstraints(permitted, excluded) } }], {
    subject,
    change: {
      subjectAltName: ext.subjectAltName([...names, dnsName('www.example.com')], subject === emptyName),
    },
  });
  return chain(`name constraints: ${id}`, expected, certificates, other);
}

export function nameConstraintChains(): GeneratedChain[] {
  const within = ipName(192, 0, 2, 0, 255, 255, 255, 0);
  const example = der.sequence(attribute('2.5.4.10', der.utf8String('Example')));
  const shouting = der.sequence(attribute('2.5.4.10', der.printableString('  EXAMPLE ')));
  const other = der.sequence(
    attribute('2.5.4.10', der.utf8String('Other')),
    attribute('2.5.4.3', der.utf8String(host)),
  );
  const top = authority('Constrained root', {
    change: { constraints: ext.nameConstraints([dnsName('example.com')], []) },
  });
  const narrowing = below(root, [
    { change: { constraints: ext.nameConstraints([dnsName('example.com'), dnsName('example.net')], []) } },
    { change: { constraints: ext.nameConstraints([dnsName('example.net')], []) } },
  ]);
  return [
    dns('permitted', 'trusted', ['example.com'], [], []),
    dns('permitted exactly', 'trusted', [host], [], []),
    dns('permitted in upper case', 'trusted', ['EXAMPLE.com'], [], []),
    dns('not permitted', 'name-constraints', ['example.net'], [], []),
    dns('one of two not permitted', 'name-constraints', ['example.com'], [], ['www.example.net']),
    dns('a name that only ends alike', 'name-constraints', ['ample.com', 'w.example.com'], [], []),
    dns('second of two permitted', 'trusted', ['example.net', 'example.com'], [], []),
    dns('all excluded', 'name-constraints', [], [''], []),
    dns('all permitted', 'trusted', [''], [], []),
    dns('excluded', 'name-constraints', [], ['example.com'], []),
    dns('excluded below', 'trusted', [], ['deep.www.example.com'], []),
    dns('another excluded', 'trusted', [], ['example.net'], []),
    dns('permitted and excluded', 'name-constraints', ['example.com'], [host], []),
    dns('wildcard permitted', 'trusted', ['example.com'], [], ['*.example.com']),
    dns('wildcard over a permitted host', 'name-constraints', [host], [], ['*.example.com']),
    dns(
      'wildcard over an excluded host',
      'name-constraints',
      [],
      ['ftp.example.com'],
      ['*.example.com'],
      accepted('openssl compares the wildcard as a label, though it stands for the excluded host'),
    ),
    dns('leading period', 'malformed', ['.example.com'], [], [], accepted('RFC 5280 has it for URIs only')),
    constrained('IP permitted', 'trusted', [within], [], [ipName(192, 0, 2, 7)]),
    constrained('IP not permitted', 'name-constraints', [within], [], [ipName(192, 0, 3, 7)]),
    constrained('IP excluded', 'name-constraints', [], [within], [ipName(192, 0, 2, 7)]),
    constrained(
      'IPv6 under IPv4 constraints',
      'name-constraints',
      [within],
      [],
      [ipName(...Array<number>(16).fill(1))],
    ),
    constrained('IP not constrained', 'trusted', [dnsName('example.com')], [], [ipName(192, 0, 3, 7)]),
    constrained(
      'IP range with a broken mask',
      'malformed',
      [ipName(192, 0, 2, 0, 255, 0, 255, 0)],
      [],
      [ipName(192, 9, 2, 7)],
      accepted('not CIDR (RFC 5280 refers to RFC 4632)'),
    ),
    constrained('directory permitted', 'trusted', [directoryName(example)], [], [], {
      subject: inside(example),
    }),
    constrained(
      'directory permitted by other case and string type',
      'trusted',
      [directoryName(shouting)],
      [],
      [],
      {
        subject: inside(example),
      },
    ),
    constrained('directory not permitted', 'name-constraints', [directoryName(example)], [], [], {
      subject: other,
    }),
    constrained('directory excluded', 'name-constraints', [], [directoryName(example)], [], {
      subject: inside(example),
    }),
    constrained('empty subject under directory constraints', 'trusted', [directoryName(example)], [], []),
    constrained('mail permitted', 'trusted', [emailName('example.com')], [], [emailName('a@example.com')]),
    constrained(
      'mail not permitted',
      'name-constraints',
      [emailName('example.com')],
      [],
      [emailName('a@www.example.com')],
    ),
    constrained(
      'mail below a domain',
      'trusted',
      [emailName('.example.com')],
      [],
      [emailName('a@www.example.com')],
    ),
    constrained(
      'mail excluded',
      'name-constraints',
      [],
      [emailName('a@example.com')],
      [emailName('a@EXAMPLE.com')],
    ),
    constrained(
      'URI permitted',
      'trusted',
      [uriName('.example.com')],
      [],
      [uriName('https://www.example.com/a')],
    ),
    constrained(
      'URI not permitted',
      'name-constraints',
      [uriName('example.com')],
      [],
      [uriName('https://www.example.com/a')],
    ),
    chain('name constraints: on the root', 'trusted', below(top, [{}]), { anchors: [top] }),
    chain('name constraints: broken below the root', 'name-constraints', [server('www.example.net', top)], {
      anchors: [top],
      name: { dns: 'www.example.net' },
    }),
    chain('name constraints: narrowed', 'name-constraints', narrowing),
    chain('name constraints: self-issued CA exempt', 'trusted', selfIssued()),
    chain('name constraints: self-issued leaf not exempt', 'name-constraints', selfIssuedLeaf()),
    chain(
      'name constraints: CA with a name outside',
      'name-constraints',
      below(root, [
        { change: { constraints: ext.nameConstraints([dnsName('example.com')], []) } },
        { change: { subjectAltName: ext.subjectAltName([dnsName('elsewhere.net')]) } },
      ]),
    ),
    chain(
      'name constraints: in a leaf',
      'profile',
      below(root, [{}], { change: { constraints: ext.nameConstraints([dnsName('x.example')], []) } }),
      accepted('RFC 5280 has it in CA certificates only'),
    ),
    chain(
      'name constraints: empty',
      'malformed',
      below(root, [{ change: { constraints: ext.nameConstraints([], []) } }]),
      accepted('RFC 5280 forbids it to CAs'),
    ),
  ];
}

const dns = (
  id: string,
  expected: Outcome,
  permitted: string[],
  excluded: string[],
  names: string[],
  rest = {},
) =>
  constrained(`DNS ${id}`, expected, permitted.map(dnsName), excluded.map(dnsName), names.map(dnsName), rest);

const inside = (name: Uint8Array) =>
  der.sequence(name.subarray(2), attribute('2.5.4.3', der.utf8String(host)));

const selfIssued = () => {
  const ca = authority('Self', {
    issuer: root,
    change: { constraints: ext.nameConstraints([dnsName('example.com')], []) },
  });
  const san = ext.subjectAltName([dnsName('elsewhere.net')]);
  const rolled = authority('Self', {
    issuer: ca,
    key: { ...server('x', ca).key },
    change: { subjectAltName: san },
  });
  return [server(host, rolled), rolled, ca];
};

/** The CA has the name of the server. */
function selfIssuedLeaf() {
  const constraints = ext.nameConstraints([dnsName('example.net')], []);
  const ca = authority(host, { issuer: root, change: { constraints } });
  return [server(host, ca), ca];
}
