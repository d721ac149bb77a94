/** `mecai-admin approval`: has the contacts of a domain called, and sees what came of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { GetApprovalResponse, OpenApprovalResponse } from '@mecai/proto/coordinator';
import type { Command } from './admin.ts';
import { printable } from './certificate-words.ts';
import { ask, misused, withCoordinator } from './coordinator.ts';

const options = { config: { type: 'string' }, out: { type: 'string' } } as const;

export const approval: Command = {
  summary: 'approval of a certificate by telephone',
  usage: `usage: mecai-admin approval <command> --config <file.json>

  open <file>     begins one for a certificate or CSR, PEM or DER, and prints whom to call and what to say
  show <number>   its state, and the call sheet again   [--out <file>: the signed statement, CMS]`,
  async run(args, environment) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [verb, what, ...rest] = positionals;
    if (what === undefined || rest.length > 0) throw misused('approval open <file>, or show <number>');
    await withCoordinator(values.config, environment, async ({ approval: client }) => {
      if (verb === 'open') {
        const certificateOrCsr = readFileSync(what);
        const { number, callSheet } = await ask<OpenApprovalResponse>((...within) =>
          client.openApproval({ certificateOrCsr }, ...within),
        );
        console.log(callSheet === '' ? `Transaction ${number}: the calls are being made.` : callSheet);
      } else if (verb === 'show') {
        const number = what.replace(/\s/g, '');
        const { state, names, callSheet, statement } = await ask<GetApprovalResponse>((...within) =>
          client.getApproval({ number }, ...within),
        );
        console.log([`${state}: ${names.map(printable).join(', ')}`, callSheet].join('\n').trimEnd());
        if (values.out !== undefined) {
          if (statement.length === 0) throw misused('there is no statement: it is not approved');
          writeFileSync(values.out, statement);
        }
      } else throw misused(`no command ${verb}`);
    });
  },
};
