/**
 * A made-up history, written by the engine itself and always the same: perspectives in ten countries look at
 * endpoints of several CAs, and for a while some are intercepted on the way from Kazakhstan.
 */
import type { Store } from '../store.ts';
import { seedClients } from './seed-clients.ts';

export interface SeedOptions {
  /** Observations. */
  readonly rows: number;
  readonly endpoints: number;
  /** The last of them, milliseconds since 1970. */
  readonly until: number;
  /** How long it took them all, milliseconds. */
  readonly spanMs: number;
  readonly progress?: (rows: number) => void;
}

interface Place {
  readonly agent: string;
  readonly city: string;
  readonly country: string;
  readonly rir: string;
  readonly asn: number;
}

const place = (agent: string, city: string, country: string, rir: string, asn: number): Place => ({
  agent,
  city,
  country,
  rir,
  asn,
});

export const places: readonly Place[] = [
  place('almaty', 'Almaty', 'KZ', 'ripencc', 64_501),
  place('astana', 'Astana', 'KZ', 'ripencc', 64_502),
  place('frankfurt', 'Frankfurt', 'DE', 'ripencc', 64_503),
  place('stockholm', 'Stockholm', 'SE', 'ripencc', 64_504),
  place('ashburn', 'Ashburn', 'US', 'arin', 64_505),
  place('montreal', 'Montréal', 'CA', 'arin', 64_506),
  place('singapore', 'Singapore', 'SG', 'apnic', 64_507),
  place('sydney', 'Sydney', 'AU', 'apnic', 64_508),
  place('lima', 'Lima', 'PE', 'lacnic', 64_509),
  place('nairobi', 'Nairobi', 'KE', 'afrinic', 64_510),
  place('tokyo', 'Tokyo', 'JP', 'apnic', 64_511),
  place('lagos', 'Lagos', 'NG', 'afrinic', 64_512),
];

export const forgedIssuer = 'CN=Qaznet Trust Network,C=KZ';
const issuers = [
  'CN=Example Web Issuing CA 1,O=Example,C=SE',
  'CN=Example Web Issuing CA 2,O=Example,C=SE',
  'CN=Other Trust Server CA,O=Other Trust,C=US',
  'CN=Broken Issuing CA,O=Broken,C=NL',
];

const list = (values: readonly (string | number)[]) =>
  `[${values.map((value) => (typeof value === 'number' ? value : `'${value}'`)).join(',')}]`;
const column = (member: keyof Place) => list(places.map((one) => one[member]));
const digest = (text: string) => `lower(hex(SHA256(${text})))`;

/** What observation \`n\` is; the rest is derived. */
const facts = `SELECT number AS n,
    fromUnixTimestamp64Milli(toInt64({from:Int64} + intDiv(number * {span:UInt64}, {rows:UInt64}))) AS at,
    toUInt8(number % ${places.length}) + 1 AS place,
    toUInt32(intHash64(intDiv(number, ${places.length})) % {endpoints:UInt32}) AS endpoint,
    intHash64(number + 1) % 1000 AS dice,
    number * 10 >= {rows:UInt64} * 8 AND place <= 2 AND endpoint % 10 = 3 AS intercepted,
    dice < 12 AS failed,
    -- A certificate is replaced once in the span, each at a time of its own.
    intHash64(endpoint) % {rows:UInt64} < number AS renewed,
    if(intercepted, ${digest("'forged key'")}, ${digest("concat('key ', toString(endpoint))")}) AS spki,
    if(intercepted, ${digest("concat('forged ', toString(endpoint))")},
      ${digest("concat('leaf ', toString(endpoint), ' ', toString(renewed))")}) AS leaf,
    if(intercepted, ${digest("'forged issuer'")}, ${digest("concat('issuer ', toString(endpoint % 4))")}) AS above,
    if(intercepted, '${forgedIssuer}', ${list(issuers)}[endpoint % 4 + 1]) AS issuer
  FROM numbers({first:UInt64}, {count:UInt64})`;

const observations = `INSERT INTO observations (id, received_at, observed_at, nonce, coordinator, agent, country,
    city, rir, asn, address, target_country, target_asn, port, server_name, start_tls, key_type, chain, leaf,
    leaf_spki, leaf_key, issuer, possession_proven, tls_version, cipher_suite, key_group, signature_scheme, alpn,
    error_class, error_detail, connect_us, first_byte_us, proof_us, end_us, verified, verdict, rules_version, weight)
  SELECT lower(hex(reinterpretAsFixedString(sipHash128(n)))), at, at - toIntervalMillisecond(40 + dice % 50),
    ${digest("concat('draw ', toString(intDiv(n, 12)))")}, 'va1', ${column('agent')}[place], ${column('country')}[place],
    ${column('city')}[place], ${column('rir')}[place], ${column('asn')}[place],
    toIPv6(concat('::ffff:203.0.', toString(intDiv(endpoint, 250) % 250), '.', toString(endpoint % 250 + 1))),
    ['US', 'DE', 'JP', 'BR'][endpoint % 4 + 1], 65000 + endpoint % 40, if(endpoint % 50 = 7, 25, 443),
    concat('www.site', toString(endpoint), '.example'), if(endpoint % 50 = 7, 'smtp', ''), 'ecdsa',
    if(failed, [], [leaf, above]), if(failed, '', leaf), if(failed, '', spki), if(failed, '', 'ec-prime256v1'),
    if(failed, '', issuer), NOT failed, if(failed, 0, 772), if(failed, 0, 4865), if(failed, 0, 29),
    if(failed, 0, 1027), if(failed, '', 'h2'),
    if(failed, ['connect-timeout', 'refused', 'reset'][dice % 3 + 1], ''), if(failed, 'no answer', ''),
    8000 + dice * 40, 16000 + dice * 70, if(failed, 0, 30000 + dice * 80), 40000 + dice * 90, 1,
    multiIf(failed, 'inconclusive', intercepted, 'mismatch', 'match'), 1, 1
  FROM (${facts})`;

const certificates = `INSERT INTO certificates (fingerprint, first_received_at, subject, issuer, serial, not_before,
    not_after, dns_names, spki, key, fault, der_base64)
  SELECT fingerprint, first_seen, concat('CN=www.site', e, '.example'), issuer, substring(fingerprint, 1, 16),
    toStartOfDay(first_seen), toStartOfDay(first_seen) + toIntervalDay(90),
    [concat('www.site', e, '.example'), concat('site', e, '.example')], spki, 'ec-prime256v1', '',
    base64Encode(concat('certificate ', fingerprint))
  FROM (SELECT leaf AS fingerprint, min(received_at) AS first_seen, any(o.issuer) AS issuer, any(leaf_spki) AS spki,
      extract(any(server_name), '[0-9]+') AS e
    FROM observations AS o WHERE leaf != '' GROUP BY leaf)
  UNION ALL
  SELECT fingerprint, min(received_at), any(o.issuer), 'CN=Example Root,O=Example', '01', toDateTime('2020-01-01'),
    toDateTime('2040-01-01'), [], ${digest("concat('key ', fingerprint)")}, 'rsa-2048', '',
    base64Encode(concat('certificate ', fingerprint))
  FROM observations AS o ARRAY JOIN arraySlice(chain, 2) AS fingerprint GROUP BY fingerprint`;

const mismatches = `INSERT INTO mismatches (id, received_at, seen_at, nonce, coordinator, agent, country, rir, asn,
    address, port, server_name, start_tls, key_type, expected, observed, observation, evidence_valid)
  SELECT id, received_at, observed_at, nonce, coordinator, agent, country, rir, asn, address, port, server_name,
    start_tls, key_type, [${digest("concat('leaf ', extract(server_name, '[0-9]+'), ' 1')")}], chain, id, 1
  FROM observations WHERE verdict = 'mismatch'`;

const decisions = `INSERT INTO decisions (id, received_at, decided_at, nonce, coordinator, status, reason, detail,
    \`target.address\`, \`target.port\`, \`target.server_name\`, \`target.start_tls\`, \`target.key_type\`, chain,
    \`perspective.agent\`, \`perspective.address\`, \`perspective.verdict\`, \`perspective.code\`, voucher,
    requester, authenticated, audit_sequence)
  SELECT substring(nonce, 1, 32), max(received_at), max(received_at), nonce, 'va1',
    if(countIf(verdict = 'match') > countIf(verdict != 'match'), 'issued', 'mismatch'), '', '',
    [any(address)], [any(port)], [any(server_name)], [any(start_tls)], [any(key_type)], anyIf(chain, verdict = 'match'),
    groupArray(agent), groupArray(address), groupArray(verdict), groupArray(error_class),
    if(countIf(verdict = 'match') > countIf(verdict != 'match'), ${digest("concat('voucher ', nonce)")}, ''),
    toIPv6('198.51.100.7'), 1, 1
  FROM observations WHERE received_at >= fromUnixTimestamp64Milli({decided:Int64}) GROUP BY nonce`;

const vouchers = `INSERT INTO vouchers (id, received_at, coordinator, serial, produced_at, not_after, address, port,
    server_name, start_tls, key_type, chain, leaf, trust_contexts, der_base64)
  SELECT voucher, received_at, coordinator, substring(nonce, 1, 32), decided_at, decided_at + toIntervalDay(1),
    target.address, target.port[1], target.server_name[1], target.start_tls[1], target.key_type[1], chain,
    chain[1], ['MOZ', 'CHROME'], base64Encode('voucher')
  FROM decisions WHERE voucher != ''`;

const affected = `FROM observations WHERE verdict = 'mismatch' AND country = 'KZ'`;

const incidents = `INSERT INTO incidents
  SELECT {incident:String}, 1, 1, 'regional-interception', 'open', min(received_at),
    min(received_at) + toIntervalSecond(40), max(received_at), NULL, max(received_at), 0.99,
    concat('Agents in KZ see certificates by ${forgedIssuer} for ', toString(uniqExact(server_name)), ' names, everybody else sees others.'),
    ['one-issuer', 'one-key', 'simultaneous-onset'], ['KZ'], ['ripencc'], arraySort(groupUniqArray(asn)),
    arraySort(groupUniqArray(toString(agent))), arraySort(groupUniqArray(1000)(server_name)),
    arraySort(groupUniqArray(1000)(concat(server_name, ':', toString(port)))), uniqExact(server_name),
    arraySort(groupUniqArray(1000)(leaf)), groupUniqArray(1000)(leaf_spki), groupUniqArray(issuer),
    arraySort(groupUniqArray(1000)(${digest("concat('leaf ', extract(server_name, '[0-9]+'), ' 1')")})), count()
  ${affected}`;

const evidence = `INSERT INTO incident_evidence
  SELECT {incident:String}, 'differs', id, received_at, agent, country, asn, server_name, address, port, leaf, error_class
  ${affected} ORDER BY received_at, id LIMIT 1000
  UNION ALL
  SELECT {incident:String}, 'agrees', id, received_at, agent, country, asn, server_name, address, port, leaf, error_class
  FROM observations WHERE country != 'KZ' AND verdict = 'match'
    AND server_name IN (SELECT server_name ${affected}) AND received_at >= (SELECT min(received_at) ${affected})
  ORDER BY received_at, id LIMIT 1000`;

/** Other rules, days later, ask for more than the first glance of an attack. */
const verdicts = `INSERT INTO verdicts (observation, rules_version, received_at, verdict)
  SELECT id, 2, received_at, 'new' ${affected} ORDER BY received_at, id LIMIT 4`;

/** Observations written at once. */
const step = 500_000;
export const seededIncident = '5eed'.repeat(8);

export async function seed(
  store: Store,
  { rows, endpoints, until, spanMs, progress }: SeedOptions,
): Promise<void> {
  const from = until - spanMs;
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    await store.command(observations, { from, span: spanMs, rows, endpoints, first, count });
    progress?.(first + count);
  }
  await store.command(certificates);
  await store.command(mismatches);
  // The last day's decisions.
  await store.command(decisions, { decided: until - Math.min(spanMs, 86_400_000) });
  await store.command(vouchers);
  await store.command(incidents, { incident: seededIncident });
  await store.command(evidence, { incident: seededIncident });
  await store.command(verdicts);
  await seedClients(store, until);
}
