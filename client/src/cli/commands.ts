/** The `mecai` command line. */
import { connectCommand } from './connect-command.ts';
import { inspectCommand } from './inspect-command.ts';
import { perspectivesCommand } from './perspectives-command.ts';
import { requestCommand } from './request-command.ts';
import { stapleCommand } from './staple-command.ts';
import { type Command, CommandError, type ExitCode, exitCodes, type Terminal } from './usage.ts';
import { verifyCommand } from './verify-command.ts';

const commands: ReadonlyMap<string, Command> = new Map([
  ['request', requestCommand],
  ['inspect', inspectCommand],
  ['verify', verifyCommand],
  ['connect', connectCommand],
  ['perspectives', perspectivesCommand],
  ['staple', stapleCommand],
]);

const overview = `mecai: vouchers, a second opinion on TLS certificates

  mecai <command> [options]

${[...commands].map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`).join('\n')}

mecai <command> --help tells more, with an example.
`;

export async function runCommand(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? terminal.err : terminal.out)(overview);
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  const command = commands.get(name);
  if (!command) {
    terminal.err(`mecai: no command ${JSON.stringify(name)}\n\n${overview}`);
    return exitCodes.usage;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    terminal.out(command.help);
    return exitCodes.ok;
  }
  try {
    return await command.run(rest, terminal);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    terminal.err(`mecai ${name}: ${error.message}\n`);
    if (error.exitCode === exitCodes.usage) terminal.err(`mecai ${name} --help tells how it is used\n`);
    return error.exitCode;
  }
}
