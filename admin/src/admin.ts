/** `mecai-admin`: the operator's commands. The first word chooses the command; each has a file of its own. */
import { PkiError } from '@mecai/pki';
import { RuntimeError } from '@mecai/runtime';
import { agents } from './agents.ts';
import { campaign, token } from './analytics.ts';
import { AdminError } from './error.ts';
import { approval } from './approval.ts';
import { certificate, clear, holds, object } from './certificates.ts';
import { distrust } from './distrust.ts';
import { outbox } from './outbox.ts';
import { plan } from './plan/plan.ts';
import { seed } from './seed.ts';

export interface Command {
  /** In a few words. */
  readonly summary: string;
  readonly usage: string;
  /**
   * @param args what stands after the command's name
   * @param now milliseconds since 1970
   * @throws AdminError and what lies below it
   */
  run(args: readonly string[], environment: NodeJS.ProcessEnv, now: () => number): Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  agents,
  distrust,
  holds,
  certificate,
  object,
  clear,
  outbox,
  approval,
  plan,
  campaign,
  token,
  seed,
};

const usage = `mecai-admin: the operator of a voucher authority

  mecai-admin <command> [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`)
  .join('\n')}

mecai-admin <command> --help tells more.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration`;

/** @returns the exit code */
export async function runAdmin(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  now: () => number,
): Promise<number> {
  const [name = '', ...rest] = args;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (args.includes('--help') || args.includes('-h')) {
    console.log(command?.usage ?? usage);
    return 0;
  }
  try {
    if (!command) throw new AdminError('wrong-usage', name === '' ? 'which command?' : `no command ${name}`);
    await command.run(rest, environment, now);
    return 0;
  } catch (error) {
    console.error(`mecai-admin: ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof AdminError && error.code === 'wrong-usage')
      console.error(`\n${command?.usage ?? usage}`);
    return isMisuse(error) ? 2 : 1;
  }
}

const isMisuse = (error: unknown): boolean =>
  error instanceof RuntimeError ||
  error instanceof PkiError ||
  (error instanceof AdminError && error.code === 'wrong-usage') ||
  (error instanceof Error && 'syscall' in error) ||
  (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
