/** The first four scenes of the demo; further ones are in `scenes`. Each knows how it has to come out. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '@mecai/addresses';
import { checkVoucher, describeVoucher, requestVoucher } from '@mecai/client';
import { judge, signObservation } from '@mecai/corroboration';
import { RefusalCode } from '@mecai/proto/signer';
import {
  type Endpoint,
  type Network,
  type TestCertificate,
  route,
  serverCertificate,
  tlsServer,
} from '@mecai/test/network';
import { type ChainResult, VoucherVerifier } from '@mecai/voucher';
import { CapturedCoordinator } from './captured-coordinator.ts';
import { type Printer, colours } from './printer.ts';
import { showIncident } from './scenes/dashboard.ts';
import { type Seen, Witness, issuerName } from './witness.ts';

export const serverName = 'www.shop.test';
export const address = '127.20.0.1';

export interface Stage {
  readonly network: Network;
  readonly printer: Printer;
  readonly site: Endpoint;
  readonly witness: Witness;
  readonly genuine: readonly [TestCertificate, TestCertificate];
  readonly forged: readonly [TestCertificate, TestCertificate];
  /** Puts a man in the middle in front of these agents, and of nobody else. */
  readonly intercept: (agents: readonly string[]) => void;
  /** Counts a decision with its observations and mismatches: what ClickHouse has to have in the end. */
  readonly tally: (observations: number, mismatches: number, decisions?: number) => void;
  readonly expected: {
    readonly observations: number;
    readonly decisions: number;
    readonly mismatches: number;
  };
  close(): Promise<void>;
}

/** A shop with a certificate of one CA, and an attacker with one for the same name from another. */
export async function setStage(network: Network, printer: Printer): Promise<Stage> {
  const { webIntermediate, brokenIntermediate } = network.pki;
  const genuine = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
  const forged = [serverCertificate(brokenIntermediate, { dns: [serverName] }), brokenIntermediate] as const;
  const shop = await tlsServer(genuine);
  const attacker = await tlsServer(forged);
  let intercepted: ReadonlySet<string> = new Set();
  const expected = { observations: 0, decisions: 0, mismatches: 0 };
  const site = await route(address, shop, (from) => (intercepted.has(from) ? attacker : undefined));
  const witness = await Witness.start(network);
  return {
    network,
    printer,
    site,
    witness,
    genuine,
    forged,
    tally: (observations, mismatches, decisions = 1) => {
      expected.observations += observations;
      expected.decisions += decisions;
      expected.mismatches += mismatches;
    },
    expected,
    intercept: (agents) => {
      intercepted = new Set(
        network.cities.filter(({ name }) => agents.includes(name)).map((city) => city.address),
      );
    },
    async close() {
      await witness.close();
      await Promise.all([site, shop, attacker].map((endpoint) => endpoint.close()));
    },
  };
}

const ders = (chain: readonly TestCertificate[]) => chain.map(({ der }) => der);

interface Asked {
  readonly result: ChainResult;
  readonly milliseconds: number;
  readonly seen: readonly Seen[];
  readonly mismatches: number;
}

/** Asks for a voucher and shows what every perspective saw, those too that came after the decision. */
async function ask(
  stage: Stage,
  chain: readonly [TestCertificate, ...TestCertificate[]],
  expected: { mismatches: number },
): Promise<Asked> {
  const { network, printer, witness, site } = stage;
  const collect = witness.from();
  const since = performance.now();
  const { results } = await requestVoucher(
    network.vrpUrl,
    { ipv4: parseAddress(address), port: site.port, serverName, chains: [ders(chain)] },
    { ca: readFileSync(network.files.httpsCa, 'utf8'), keys: [chain[0].privateKey] },
  );
  const milliseconds = Math.round(performance.now() - since);
  stage.tally(network.cities.length, expected.mismatches);
  const { seen, mismatches } = await collect(network.cities.length, expected.mismatches);
  printer.table([
    ['perspective', 'region', 'network', 'saw a certificate by', 'proof after', 'verdict'].map(colours.dim),
    ...network.cities.map(({ name, city, country, rir, asn }) => {
      const one = seen.find(({ observation }) => observation.agent === name)?.observation;
      const { verdict, code } = one
        ? judge(one, ders(chain), true)
        : { verdict: 'inconclusive' as const, code: 'no answer' };
      return [
        `${city} ${country}`,
        rir,
        `AS${asn}`,
        one?.chain[0] ? issuerName(one.chain[0]) : '-',
        one?.timings ? `${(one.timings.proof / 1000).toFixed(1)} ms` : '-',
        colours[verdict](code ?? verdict),
      ];
    }),
  ]);
  printer.line();
  return { result: results[0]!, milliseconds, seen, mismatches: mismatches.length };
}

const verdictsOf = (result: ChainResult) =>
  result.perspectives.map(({ country, rir, asn, ipv4 }) => ({ country, rir, asn, ...ipv4 }));

export async function sceneVoucher(stage: Stage): Promise<{ ok: boolean; seen: readonly Seen[] }> {
  const { network, printer, genuine, site } = stage;
  printer.scene(
    '(a) A voucher',
    `The shop at ${address} port ${site.port} asks a voucher authority of another CA for a second opinion.`,
  );
  const { result, milliseconds, seen } = await ask(stage, genuine, { mismatches: 0 });
  const ok =
    result.status === 'issued' && result.voucher !== undefined && seen.length === network.cities.length;
  printer.step(
    {
      step: 'voucher',
      ok,
      status: result.status,
      detail: result.detail,
      milliseconds,
      perspectives: verdictsOf(result),
    },
    `${result.status} in ${milliseconds} ms, as soon as four of six had seen it; the others were heard all the same`,
  );
  if (!result.voucher) return { ok: false, seen };
  const file = join(network.directory, 'voucher.der');
  writeFileSync(file, result.voucher);

  const vaRoot = network.pki.vaRoot.der;
  const verifier = new VoucherVerifier({ roots: [vaRoot] });
  const { failures, verified } = checkVoucher(
    result.voucher,
    { chain: ders(genuine), address, port: site.port, trustContext: 'MOZ' },
    { verifier, now: new Date() },
  );
  if (verified) {
    printer.line();
    printer.line(describeVoucher(verified.content, verified.vaCertificate));
    printer.line();
  }
  printer.step(
    {
      step: 'client',
      ok: failures.length === 0,
      failures: failures.map(({ code }) => code),
      octets: result.voucher.length,
    },
    `the client library accepts it for this connection (${result.voucher.length} octets)`,
  );
  let openssl: string;
  try {
    execFileSync(
      'openssl',
      [
        'cms',
        '-verify',
        '-inform',
        'DER',
        '-in',
        file,
        '-CAfile',
        network.files.vaRoot,
        '-purpose',
        'any',
        '-out',
        `${file}.content`,
      ],
      { stdio: 'pipe' },
    );
    openssl = 'CMS Verification successful';
  } catch (error) {
    openssl = (error as Error).message;
  }
  const accepted = openssl === 'CMS Verification successful';
  printer.step(
    { step: 'openssl', ok: accepted, openssl },
    `openssl cms -verify -inform DER -in voucher.der -CAfile va-root.pem -purpose any: ${openssl}`,
  );
  return { ok: ok && failures.length === 0 && accepted, seen };
}

export async function sceneRegionalAttack(stage: Stage): Promise<boolean> {
  const { network, printer, genuine, forged } = stage;
  const region = network.cities.filter(({ rir }) => rir === 'apnic');
  printer.scene(
    '(b) A man in the middle in one region',
    `On the way from ${region.map(({ city }) => city).join(' and ')} someone answers with a certificate for ${serverName} ` +
      'that another CA was tricked into issuing. Both CAs are in the browsers’ lists.',
  );
  stage.intercept(region.map(({ name }) => name));
  const { result, milliseconds, mismatches } = await ask(stage, genuine, { mismatches: region.length });
  const ok = result.status === 'issued' && mismatches === region.length;
  printer.step(
    {
      step: 'regional-attack',
      ok,
      status: result.status,
      mismatches,
      milliseconds,
      perspectives: verdictsOf(result),
    },
    `the shop's voucher: ${result.status}; ${mismatches} mismatch events on record, each with signed evidence`,
  );
  printer.line();
  const attacker = await ask(stage, forged, { mismatches: network.cities.length - region.length });
  const refused = attacker.result.status === 'mismatch';
  printer.step(
    {
      step: 'regional-attacker',
      ok: refused,
      status: attacker.result.status,
      detail: attacker.result.detail,
    },
    `the attacker's voucher for the forged certificate: ${attacker.result.status} (${attacker.result.detail})`,
  );
  const noticed = await showIncident(
    stage,
    region.map(({ name }) => name),
  );
  return ok && refused && noticed;
}

export async function sceneWideAttack(stage: Stage): Promise<boolean> {
  const { network, printer, genuine } = stage;
  const most = network.cities.filter(({ rir }) => rir !== 'ripencc');
  printer.scene(
    '(c) A man in the middle nearly everywhere',
    `Now also on the way from ${most
      .slice(0, 2)
      .map(({ city }) => city)
      .join(' and ')}.`,
  );
  stage.intercept(most.map(({ name }) => name));
  const { result, mismatches } = await ask(stage, genuine, { mismatches: most.length });
  const ok = result.status === 'mismatch' && mismatches === most.length;
  printer.step(
    {
      step: 'wide-attack',
      ok,
      status: result.status,
      detail: result.detail,
      mismatches,
      perspectives: verdictsOf(result),
    },
    `the shop's voucher: ${result.status} (${result.detail}); ${mismatches} mismatch events on record`,
  );
  stage.intercept([]);
  return ok;
}

export async function sceneCapturedCoordinator(stage: Stage, earlier: readonly Seen[]): Promise<boolean> {
  const { network, printer, forged, site } = stage;
  printer.scene(
    '(d) A captured coordinator',
    'It has the coordinator’s identity and wants a voucher for the forged certificate. The signer believes it nothing.',
  );
  const captured = new CapturedCoordinator(network);
  try {
    const drawn = await captured.draw({
      addresses: [parseAddress(address)],
      port: site.port,
      serverName,
      startTls: '',
      chain: ders(forged),
    });
    if (drawn.$case !== 'drawn') throw new Error(`draw: ${JSON.stringify(drawn)}`);
    const { nonce, agents, targets } = drawn.drawn;
    const own = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const invented = agents.map((agent) =>
      signObservation(
        {
          nonce,
          agent,
          target: targets[0],
          observedAt: Date.now(),
          chain: ders(forged),
          possessionProven: true,
          tls: undefined,
          ocsp: [],
          sctLists: [],
          timings: undefined,
          failure: undefined,
        },
        own,
      ),
    );
    const attempts = [
      ['without any evidence', []],
      ['with observations it signed itself', invented],
      ['with observations of scene (a), replayed', earlier.map(({ signed }) => signed)],
      [
        'with observations of scene (a), altered',
        earlier.map(({ signed }, i) => ({
          ...signed,
          observation: invented[i % invented.length]!.observation,
        })),
      ],
    ] as const;
    let all = true;
    for (const [how, observations] of attempts) {
      const answer = await captured.evidence(nonce, observations);
      const refused = answer.$case === 'refused' ? answer.refused : undefined;
      const ok = refused?.code === RefusalCode.REFUSAL_CODE_NO_QUORUM;
      all &&= ok;
      const faults = [...new Set(refused?.faults.map(({ fault }) => fault))];
      printer.step(
        { step: 'captured-coordinator', ok, how, answer: answer.$case, detail: refused?.detail, faults },
        `${how}: ${answer.$case}${faults.length > 0 ? `, ${refused!.faults.length} observations thrown out: ${faults.join(', ')}` : ''}`,
      );
    }
    return all && auditShowsIt(stage, attempts.length);
  } finally {
    captured.close();
  }
}

function auditShowsIt({ network, printer }: Stage, attempts: number): boolean {
  const lines = readFileSync(join(network.directory, 'audit.jsonl'), 'utf8').trimEnd().split('\n');
  const records = lines.map((line) => JSON.parse(line) as { event: string; coordinator: string });
  const issued = records.filter(({ event }) => event === 'issued').length;
  const refused = records.filter(({ event }) => event === 'refused').length;
  const ok = refused >= attempts && issued >= 2;
  printer.step(
    { step: 'audit-log', ok, records: records.length, issued, refused },
    `the signer's hash-chained audit log has all of it: ${issued} vouchers issued, ${refused} refusals`,
  );
  return ok;
}
