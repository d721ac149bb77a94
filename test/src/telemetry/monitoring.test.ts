/** The rules and the dashboard, held against what a running network really exports to a real Prometheus. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { identity, noticeOf, startRegistry } from '../log/owners.ts';
import { serverCertificate } from '../network/index.ts';
import { Asker, serverName } from '../trust/asker.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort } from '@mecai/addresses/testing';

const monitoring = join(import.meta.dirname, '../../../infra/monitoring');
/** All that they might ever say. */
const logLevel = 'trace';
const metricNames = (text: string) => new Set(text.match(/\bmecai_[a-z_]+/g));

test.each([
  ['check', 'rules', 'alerts.yaml'],
  ['test', 'rules', 'alerts.test.yaml'],
  ['check', 'config', 'prometheus.yaml'],
])('promtool %s %s %s', (...args) => {
  expect(execFileSync('promtool', args, { cwd: monitoring, encoding: 'utf8' })).toContain('SUCCESS');
});

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}
const text = (name: string) => readFileSync(join(monitoring, name), 'utf8');
const { panels } = JSON.parse(text('dashboard.json')) as Dashboard;
/** Rules by name: alerts, and what is recorded for them. */
const rules = new Map(
  Array.from(
    text('alerts.yaml').matchAll(/- (?:alert|record): (\S+)\n([\s\S]*?)(?=\n {6}- |\n {2}- |$)/g),
    ([, name = '', rest = '']) => [name, rest] as const,
  ),
);

test.each<[string, string, string[]]>([
  ['availability', 'mecai_vrp_responses_total', ['VouchersUnavailable', 'BudgetShrinks', 'PartAway']],
  ['decision latency', 'mecai_decision_duration_seconds', ['DecisionsSlow']],
  ['concurrence with the quorum, by agent', 'mecai_verdicts_total', ['PerspectiveDisagrees']],
  ['probe error classes', 'mecai_probe_duration_seconds', ['ProbesFail']],
  ['ages of holds', 'mecai_certificates_age_seconds', ['HoldsOverdue', 'ObjectionUndecided']],
  ['sink lag', 'mecai_analytics_lag_seconds', ['SinkLags']],
  ['HSM latency', 'mecai_hsm_sign_duration_seconds', ['HsmSlow']],
])('objective %s: a metric, alerts, a panel', (_, metric, alerts) => {
  const withRecorded = (expression: string) =>
    expression.replaceAll(/mecai:\w+:\w+/g, (name) => rules.get(name) ?? '');
  for (const alert of alerts) expect([...rules.keys()]).toContain(alert);
  expect(alerts.map((alert) => withRecorded(rules.get(alert)!)).join()).toContain(metric);
  const shown = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => withRecorded(expr)));
  expect(shown.filter((expression) => expression.includes(metric))).not.toEqual([]);
});

test('every alert has a test that it fires', () => {
  const fires = new Set(
    Array.from(text('alerts.test.yaml').matchAll(/alertname: (\w+)\n +exp_alerts:\n/g), ([, name]) => name!),
  );
  expect([...rules.keys()].filter((name) => !name.startsWith('mecai:') && !fires.has(name))).toEqual([]);
});

describe('a running network', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-prometheus-'));
  let asker: Asker;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let stop: () => Promise<void> = () => Promise.resolve();
  let url: string;
  const query = async (path: string): Promise<never> => {
    const answer = await fetch(`${url}/api/v1/${path}`);
    return ((await answer.json()) as { data: never }).data;
  };
  const instant = async (expression: string) => {
    const { result } = (await query(`query?query=${encodeURIComponent(expression)}`)) as {
      result: { metric: Record<string, string>; value: [number, string] }[];
    };
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  };

  beforeAll(async () => {
    registry = await startRegistry('example.test', [['email', {}, 'text', 'owner@example.test']]);
    asker = await Asker.start(
      {
        agentProcesses: 6,
        analytics: { logLevel },
        signer: { logLevel },
        agent: { logLevel },
        coordinator: {
          logLevel,
          publicUrl: 'https://va.test',
          allowedTargets: ['127.0.0.0/8'],
          certificateLog: { hold: { maxMs: 0 }, sweepEveryMs: 200 },
          // Where no mail server is: the try counts.
          notice: noticeOf(await freePort(), registry.bootstrap),
        },
      },
      identity,
    );
    const { coordinator, signer, agents, analytics } = asker.network;
    const { webIntermediate } = asker.network.pki;
    const ask = await asker.about([
      serverCertificate(webIntermediate, { dns: [serverName] }),
      webIntermediate,
    ]);
    expect((await ask()).status).toBe('issued');
    const targets = [coordinator, signer, analytics!, ...agents.values()].flatMap(
      ({ ready }) => ready['admin']!,
    );
    const config = {
      global: { scrape_interval: '1s' },
      rule_files: [join(monitoring, 'alerts.yaml')],
      scrape_configs: [
        { job_name: 'mecai', static_configs: [{ targets: targets.map((target) => new URL(target).host) }] },
      ],
    };
    writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const prometheus = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    stop = async () => {
      prometheus.kill('SIGTERM');
      await once(prometheus, 'exit');
    };
    await vi.waitFor(
      async () => expect(await instant('count(up == 1)')).toEqual([{ metric: {}, value: targets.length }]),
      { timeout: 60_000, interval: 250 },
    );
  });
  afterAll(async () => {
    await stop();
    await asker.close();
    registry.close();
    rmSync(directory, { recursive: true });
  });

  test('every metric in the rules and on the dashboard is exported by some process', async () => {
    // The outbox is counted every ten seconds.
    for (const there of [
      'mecai_outbox_oldest_seconds{stage="delivery"} > 0',
      'mecai_outbox_tries_total > 0',
    ]) {
      await vi.waitFor(async () => expect(await instant(`count(${there})`)).toHaveLength(1), {
        timeout: 90_000,
        interval: 250,
      });
    }
    const exported = new Set<string>(await query('label/__name__/values'));
    for (const file of ['alerts.yaml', 'dashboard.json']) {
      const named = metricNames(text(file));
      expect(named.size).toBeGreaterThan(5);
      expect([...named].filter((name) => !exported.has(name))).toEqual([]);
    }
  });

  test('says what happened: one voucher, six verdicts, six probes, one signature', async () => {
    expect(await instant('sum(mecai_decision_duration_seconds_count{status="issued"})')).toMatchObject([
      { value: 1 },
    ]);
    const [verdicts] = await instant('sum(mecai_verdicts_total{verdict!=""})');
    expect(verdicts!.value).toBe(6);
    await expect
      .poll(() => instant('sum(mecai_probe_duration_seconds_count{outcome="ok"})'), { timeout: 60_000 })
      .toMatchObject([{ value: 6 }]);
    expect(await instant('sum(mecai_hsm_sign_duration_seconds_count)')).toMatchObject([{ value: 1 }]);
    expect(await instant('min(mecai_part_there)')).toMatchObject([{ value: 1 }]);
  });

  test('labels stay few', async () => {
    const series = await instant('topk(3, count by (__name__) ({__name__=~"mecai_.+"}))');
    for (const { value } of series) expect(value).toBeLessThan(400);
  });

  test('nothing in it is anybody’s address', async () => {
    for (const target of [asker.network.coordinator, asker.network.signer, asker.network.analytics!]) {
      const exported = await (await fetch(`${target.ready['admin']}/metrics`)).text();
      expect(exported).not.toContain(serverName);
      expect(exported).not.toContain('127.0.0.80');
    }
  });

  test('logs are JSON, and hold no secret, mail address or requester', async () => {
    const { directory: at, files, vrpUrl, coordinator } = asker.network;
    const requester = '127.33.44.55';
    const agent = new Agent({ ca: readFileSync(files.httpsCa, 'utf8'), localAddress: requester });
    const { webIntermediate } = asker.network.pki;
    const [leaf, other] = [serverName, 'www.other.test'].map((name) =>
      serverCertificate(webIntermediate, { dns: [name] }),
    );
    const request = { ipv4: Uint8Array.of(127, 0, 0, 80), port: 1, serverName };
    const chains = [[leaf!.der, webIntermediate.der]];
    // Nobody listens there; a proof by a key of somebody else.
    expect((await requestVoucher(vrpUrl, { ...request, chains }, { agent })).results[0]!.status).toBe(
      'inconclusive',
    );
    const proof = { agent, keys: [other!.privateKey] };
    await requestVoucher(vrpUrl, { ...request, chains }, proof).then(
      ({ results }) => expect(results[0]).toMatchObject({ reason: 'unauthenticated' }),
      (error: unknown) => expect(error).toBeInstanceOf(Error),
    );
    agent.destroy();
    await fetch(`${coordinator.ready['admin']}/status`);
    const logs = readdirSync(join(at, 'logs')).map((name) => readFileSync(join(at, 'logs', name), 'utf8'));
    expect(logs.length).toBeGreaterThan(8);
    const lines = logs.flatMap((log) => log.split('\n').filter(Boolean));
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty('time');
    const secrets = readdirSync(at)
      .filter((name) => /\.(key|nk|token)$|^pin$/.test(name))
      .map((name) => [name, readFileSync(join(at, name), 'utf8')] as const);
    expect(secrets.length).toBeGreaterThan(15);
    // Of a PEM file each line but the first and last, of the others the whole.
    const forbidden = secrets.flatMap(([name, content]) =>
      content
        .split('\n')
        .filter((line) => line.length > 7 && !line.startsWith('-----'))
        .map((line) => [name, line] as const),
    );
    const written = lines.join('\n');
    expect(forbidden.filter(([, secret]) => written.includes(secret)).map(([name]) => name)).toEqual([]);
    for (const one of ['owner@example.test', 'PRIVATE KEY', requester]) expect(written).not.toContain(one);
  });

  test('the rules are evaluated', async () => {
    const { groups } = (await query('rules')) as { groups: { rules: { health: string; name: string }[] }[] };
    const evaluated = groups.flatMap((group) => group.rules);
    expect(evaluated.length).toBeGreaterThan(10);
    expect(evaluated.filter(({ health }) => health === 'err')).toEqual([]);
  });
});
