/** Chains under policy constraints (RFC 5280 sections 4.2.1.5, 4.2.1.11 and 4.2.1.14). */
import { der, extensionOids } from '../index.ts';
import { below, chain, type GeneratedChain, root } from './chain.ts';
import { ext, extension } from './issue.ts';

const [a, b, any] = ['1.3.6.1.4.1.99999.1', '1.3.6.1.4.1.99999.2', '2.5.29.32.0'] as const;

const constraints = (explicit: number | undefined, mapping?: number) =>
  extension(
    extensionOids.policyConstraints,
    der.sequence(
      ...(explicit === undefined ? [] : [der.integer(explicit, 0x80)]),
      ...(mapping === undefined ? [] : [der.integer(mapping, 0x81)]),
    ),
    true,
  );
const mappings = (...pairs: [string, string][]) =>
  extension(
    extensionOids.policyMappings,
    der.sequence(...pairs.map(([from, to]) => der.sequence(der.oid(from), der.oid(to)))),
    true,
  );
const inhibitAny = (skip: number) => extension(extensionOids.inhibitAnyPolicy, der.integer(skip), true);

type Extensions = Record<string, Uint8Array>;

function policy(
  id: string,
  expected: 'trusted' | 'policy',
  cas: Extensions[],
  leaf: Extensions,
): GeneratedChain {
  const certificates = below(
    root,
    cas.map((change) => ({ change })),
    { change: leaf },
  );
  return chain(`policy: ${id}`, expected, certificates);
}

export function policyChains(): GeneratedChain[] {
  const required = { constraints: constraints(0) };
  return [
    policy('none required', 'trusted', [has(a)], has(b)),
    policy('required and the same', 'trusted', [{ ...has(a), ...required }], has(a)),
    policy('required and another', 'policy', [{ ...has(a), ...required }], has(b)),
    policy('required and none', 'policy', [{ ...has(a), ...required }], {}),
    policy('required below any policy', 'trusted', [{ ...has(any), ...required }], has(b)),
    policy(
      'required after one more certificate',
      'policy',
      [{ ...has(a), constraints: constraints(1) }, has(a)],
      has(b),
    ),
    policy(
      'required at the very end',
      'policy',
      [{ ...has(a), constraints: constraints(2) }, has(a)],
      has(b),
    ),
    policy('required too late', 'trusted', [{ ...has(a), constraints: constraints(3) }, has(a)], has(b)),
    policy(
      'any policy inhibited',
      'policy',
      [{ ...has(any), ...required, inhibit: inhibitAny(0) }],
      has(any),
    ),
    policy(
      'any policy inhibited below',
      'trusted',
      [{ ...has(any), ...required, inhibit: inhibitAny(1) }],
      has(any),
    ),
    policy('mapped', 'trusted', [{ ...has(a), ...required, mappings: mappings([a, b]) }], has(b)),
    policy('mapped away', 'policy', [{ ...has(a), ...required, mappings: mappings([a, b]) }], has(a)),
    policy(
      'mapping inhibited',
      'policy',
      [
        { ...has(a), constraints: constraints(0, 0) },
        { ...has(a), mappings: mappings([a, b]) },
      ],
      has(b),
    ),
    policy('any policy in the middle', 'trusted', [{ ...has(a), ...required }, has(any)], has(a)),
    policy('lost in the middle', 'policy', [{ ...has(a), ...required }, {}], has(a)),
  ];
}

const has = (...policies: string[]) => ({ policies: ext.policies(...policies) });
