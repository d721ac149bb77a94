import { parseOptions, required } from './options.ts';
import { type Command, usageError } from './usage.ts';

const help = `mecai staple: keep a server's vouchers fresh, and bring them to stock nginx, Apache or stunnel

  mecai staple --config <file.json>            run until told to stop
  mecai staple --config <file.json> --once     ask for what is due, deliver it, end
  mecai staple --config <file.json> --lint     judge the server's configuration, change nothing
  mecai staple --config <file.json> --check    connect to the server, see what it really sends

  --json   findings, or the state afterwards, as one JSON object

The file, with the least that is needed (docs/stapling.md tells the rest):
  { "vaList": "va-list.jws", "vaListKeys": { "vendor-1": "vendor.pem" },
    "server": { "kind": "nginx" }, "addresses": ["192.0.2.1", "2001:db8::1"],
    "test": ["nginx", "-t"], "reload": ["systemctl", "reload", "nginx"],
    "state": "/var/lib/mecai/state", "listen": "127.0.0.1:9180" }

Example:
  mecai staple --config /etc/mecai/staple.json --lint

Exit codes: 0 a voucher of every VA (--once), no error (--lint), all that is at hand is served
  (--check); 1 not so; 2 usage or configuration; 3 a file could not be read or written
`;

export const stapleModes = ['once', 'lint', 'check'] as const;

export const stapleCommand: Command = {
  summary: "keep a server's vouchers fresh",
  help,
  async run(args, terminal) {
    const { values } = parseOptions({
      args,
      options: {
        config: { type: 'string' },
        once: { type: 'boolean', default: false },
        lint: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const file = required(values.config, '--config');
    const modes = stapleModes.filter((mode) => values[mode]);
    if (modes.length > 1) throw usageError(`--${modes.join(' and --')}: one at a time`);
    // Loaded only now: the other commands start faster without it.
    const { runStaple } = await import('./staple-modes.ts');
    return runStaple(file, modes[0], values.json, terminal);
  },
};
