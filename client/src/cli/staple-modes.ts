/** What `mecai staple` does in each of its modes. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Assembled, assemble } from '../staple/assemble.ts';
import { loadStapleConfig, type StapleConfig } from '../staple/config.ts';
import { StapleError } from '../staple/error.ts';
import { type LintFinding, lintServer } from '../staple/lint.ts';
import { checkServed, servedText } from '../staple/probe-check.ts';
import { diskFiles } from '../staple/servers/source-files.ts';
import { startStatusServer, statusJson } from '../staple/status-page.ts';
import { planTargets, type Target } from '../staple/targets.ts';
import { heldVouchers } from '../staple/vouchers.ts';

import { CommandError, type ExitCode, exitCodes, type Terminal, usageError } from './usage.ts';
import type { stapleModes } from './staple-command.ts';

export async function runStaple(
  file: string,
  mode: (typeof stapleModes)[number] | undefined,
  json: boolean,
  terminal: Terminal,
): Promise<ExitCode> {
  const ending = new AbortController();
  try {
    const config = loadStapleConfig(file);
    const assembled = assemble(config, {
      now: () => terminal.now().getTime(),
      random: Math.random,
      log: logger(terminal, mode !== undefined),
      signal: ending.signal,
    });
    try {
      switch (mode) {
        case 'once':
          return await once(assembled, json, terminal);
        case 'lint':
          return lint(config, assembled, json, terminal);
        case 'check':
          return await check(config, assembled, json, terminal);
        default:
          return await forever(config, assembled, ending, terminal);
      }
    } finally {
      assembled.close();
    }
  } catch (error) {
    if (!(error instanceof StapleError)) throw error;
    const exitCode = error.code === 'bad-configuration' ? exitCodes.usage : exitCodes.unavailable;
    throw new CommandError(exitCode, error.message, { cause: error });
  }
}

/** JSON lines for a journal; on standard error where standard output has the findings. */
const logger =
  ({ out, err, now }: Terminal, aside: boolean) =>
  (event: string, fields: Readonly<Record<string, unknown>> = {}) =>
    (aside ? err : out)(`${JSON.stringify({ time: now().toISOString(), event, ...fields })}\n`);

async function once({ stapler }: Assembled, json: boolean, { out }: Terminal): Promise<ExitCode> {
  await stapler.round();
  const { status } = stapler;
  const view = statusJson(status);
  if (json) out(`${JSON.stringify(view)}\n`);
  else {
    for (const { name, endpoint, vas } of view.targets) {
      out(`${name ?? '(no name)'} at ${endpoint}\n`);
      for (const { id, status: said, voucher, next } of vas) {
        out(
          `  ${id.padEnd(20)} ${said}${voucher ? `, until ${voucher.notAfter}` : ''}; asked again ${next ?? 'never'}\n`,
        );
      }
    }
    for (const problem of view.problems) out(`PROBLEM ${problem}\n`);
  }
  const whole = view.targets.every(({ vas }) => vas.every(({ voucher }) => voucher));
  return whole && view.targets.length > 0 && view.problems.length === 0 ? exitCodes.ok : exitCodes.negative;
}

function lint(config: StapleConfig, { vas, server }: Assembled, json: boolean, { out }: Terminal): ExitCode {
  const configuration = server();
  if (!configuration) throw usageError('--lint: the configuration names no "server"');
  const findings = lintServer(configuration, {
    codepoints: vas().map(({ codepoint }) => codepoint),
    ...(config.wellKnown !== undefined && { wellKnown: config.wellKnown }),
    ocsp: config.ocsp !== undefined,
    ...(config.listen !== undefined && { listen: config.listen }),
    planProblems: planTargets(configuration, config, diskFiles).problems,
  });
  if (json) out(`${JSON.stringify({ findings })}\n`);
  else {
    for (const finding of findings) out(findingText(finding));
    out(`${configuration.sites.length} TLS servers read, ${findings.length} findings\n`);
  }
  return findings.some(({ severity }) => severity === 'error') ? exitCodes.negative : exitCodes.ok;
}

const findingText = ({ code, severity, place, message }: LintFinding): string =>
  `${severity === 'error' ? 'ERROR ' : 'advice'} ${code}${place ? ` ${place.file}:${place.line}` : ''}\n       ${message}\n`;

async function check(
  config: StapleConfig,
  { state, vas, server }: Assembled,
  json: boolean,
  { out, now }: Terminal,
): Promise<ExitCode> {
  const { targets, problems } = planTargets(server(), config, diskFiles);
  const list = vas();
  const parts = {
    vas: list,
    vouchersOf: ({ id }: Target) =>
      heldVouchers(
        state.load(id, () => undefined),
        list,
        now().getTime(),
      ),
    wellKnown: config.wellKnown !== undefined,
    timeoutMs: 10_000,
  };
  const served = (await Promise.all(targets.map((target) => checkServed(target, parts)))).flat();
  if (json) {
    const plain = served.map(({ target, ...rest }) => ({ name: target.name, port: target.port, ...rest }));
    out(`${JSON.stringify({ served: plain, problems })}\n`);
  } else {
    for (const one of served) out(servedText(one));
    for (const problem of problems) out(`PROBLEM ${problem}\n`);
  }
  return served.length > 0 && served.every(({ complete }) => complete) ? exitCodes.ok : exitCodes.negative;
}

async function forever(
  { listen }: StapleConfig,
  { stapler }: Assembled,
  ending: AbortController,
  { out, now }: Terminal,
): Promise<ExitCode> {
  const clock = () => now().getTime();
  const page =
    listen === undefined ? undefined : await startStatusServer(listen, () => stapler.status, clock);
  const stop = () => ending.abort();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.once('disconnect', stop);
  const ready = { ...(page && { status: page.url }) };
  out(`${JSON.stringify({ time: now().toISOString(), event: 'ready', ...ready })}\n`);
  process.send?.({ ready });
  try {
    while (!ending.signal.aborted) {
      const next = await stapler.round();
      await delay(Math.max(1_000, next - clock()), undefined, { signal: ending.signal }).catch(
        () => undefined,
      );
    }
  } finally {
    await page?.close();
    process.off('SIGTERM', stop).off('SIGINT', stop).off('disconnect', stop);
  }
  return exitCodes.ok;
}
