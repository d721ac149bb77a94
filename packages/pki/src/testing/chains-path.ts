/** Chains about lengths, times and the building of paths. */
import { below, chain, type GeneratedChain, host, plain, refused, root, times } from './chain.ts';
import { authority, commonName, ext, keyOf, now, server, type Shape } from './issue.ts';

export const pathChains = (): GeneratedChain[] => [...lengths(), ...validity(), ...buildings()];

function lengths(): GeneratedChain[] {
  const depths = times(6, (n) => chain(`depth ${n}`, 'trusted', below(root, plain(n))));
  const limited = times(4, (limit) => {
    const anchor = authority('Limited root', {
      change: { basicConstraints: ext.basicConstraints(true, limit) },
    });
    return times(5, (n) =>
      chain(
        `root pathLen ${limit}, ${n} intermediates`,
        n > limit ? 'path-length' : 'trusted',
        below(anchor, plain(n)),
        {
          anchors: [anchor],
        },
      ),
    );
  }).flat();
  const first = times(4, (limit) =>
    times(5, (n) => {
      const top = { change: { basicConstraints: ext.basicConstraints(true, limit) } };
      const expected = n > limit ? 'path-length' : 'trusted';
      return chain(`first CA pathLen ${limit}, ${n} below`, expected, below(root, [top, ...plain(n)]));
    }),
  ).flat();
  return [...depths, ...limited, ...first, selfIssued()];
}

function validity(): GeneratedChain[] {
  const second = 1000;
  const periods: [string, Partial<Shape>, GeneratedChain['expected'], Pick<GeneratedChain, 'openssl'>?][] = [
    ['expired', { notAfter: new Date(now.getTime() - second) }, 'expired'],
    ['not yet valid', { notBefore: new Date(now.getTime() + second) }, 'not-yet-valid'],
    ['in its last second', { notAfter: now }, 'trusted', refused('notAfter is inclusive (RFC 5280 4.1.2.5)')],
    ['in its first second', { notBefore: now }, 'trusted'],
    ['beyond 2050', { notAfter: new Date('2051-01-01T00:00:00Z') }, 'trusted'],
  ];
  return periods.flatMap(([what, period, expected, rest]) => {
    const anchor = authority('Timed root', period);
    return [
      chain(`leaf ${what}`, expected, below(root, [{}], period), rest),
      chain(`intermediate ${what}`, expected, below(root, [period, {}]), rest),
      chain(`root ${what}`, expected, below(anchor, [{}]), { anchors: [anchor], ...rest }),
    ];
  });
}

function buildings(): GeneratedChain[] {
  const second = authority('Second root');
  const ca = authority('Crossed', { issuer: root });
  const cross = authority('Crossed', { issuer: second });
  const leaf = server(host, ca);
  const stranger = authority('Stranger');
  const old = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2025-01-01T00:00:00Z') };
  const expiredCross = authority('Crossed', { issuer: second, ...old });
  const crossRoot = authority('Root', { issuer: second });
  const expiredCrossRoot = authority('Root', { issuer: second, ...old });
  const namesake = authority('Crossed', { issuer: root, key: keyOf('namesake') });
  return [
    chain('building: missing intermediate', 'no-issuer', [leaf]),
    chain('building: other root', 'no-issuer', [leaf, cross]),
    chain('building: cross-sign to a trusted root', 'trusted', [leaf, ca], { anchors: [root, second] }),
    chain('building: both ways', 'trusted', [leaf, cross, ca], refused('openssl tries one way')),
    chain('building: expired cross-sign first', 'trusted', [leaf, expiredCross, ca], {
      anchors: [root, second],
    }),
    chain('building: only an expired cross-sign', 'expired', [leaf, expiredCross], { anchors: [second] }),
    chain('building: cross-signed root, old root trusted', 'trusted', [leaf, ca, crossRoot], {
      anchors: [second],
    }),
    chain('building: cross-signed root expired, new root trusted', 'trusted', [leaf, ca, expiredCrossRoot]),
    chain('building: root sent along', 'trusted', [leaf, ca, root]),
    chain('building: out of order', 'trusted', [leaf, root, stranger, ca]),
    chain('building: strangers only', 'no-issuer', [leaf, stranger]),
    chain('building: CA of the same name and another key', 'bad-signature', [leaf, namesake]),
    chain('building: namesake first', 'trusted', [leaf, namesake, ca]),
    chain('building: self-signed leaf', 'no-issuer', [
      server(
        host,
        { ...leaf, key: keyOf('server'), certificate: leaf.certificate },
        {
          issuerName: commonName(host),
          signer: keyOf('server'),
        },
      ),
    ]),
    chain('building: no anchor', 'no-issuer', [leaf, ca], { anchors: [stranger] }),
  ];
}

function selfIssued(): GeneratedChain {
  const top = authority('Rolling', {
    issuer: root,
    change: { basicConstraints: ext.basicConstraints(true, 0) },
  });
  const next = authority('Rolling', { issuer: top, key: keyOf('next') });
  return chain('a self-issued CA does not count for pathLen', 'trusted', [server(host, next), next, top]);
}
