import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@mecai/addresses/testing';

export interface Postfix {
  readonly port: number;
  /** Messages in this mailbox as they arrived, in the order of arrival. */
  mailbox(name: string): Buffer[];
  stop(): Promise<void>;
}

export interface PostfixOptions {
  /** Domains whose mail it delivers; it sends nothing anywhere. */
  readonly domains: readonly string[];
  /** Local parts that exist, each a maildir; what follows a `+` is ignored. Mail to others comes back. */
  readonly mailboxes: readonly string[];
  /** PEM file of key and chain, for STARTTLS. */
  readonly tlsChain?: string;
}

const daemons = '/usr/lib/postfix/sbin';
const account = (name: string, flag: '-u' | '-g') =>
  Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));

/**
 * A real Postfix on 127.0.0.1, with configuration, queue and mailboxes in a directory of its own. Needs root, as
 * Postfix does. It ends with this process.
 *
 * @throws Error when Postfix is not installed or does not come up
 */
export async function startPostfix({ domains, mailboxes, tlsChain }: PostfixOptions): Promise<Postfix> {
  if (!existsSync(join(daemons, 'master'))) {
    throw new Error('Postfix is not installed: apt-get install postfix (Debian, Ubuntu)');
  }
  const directory = mkdtempSync(join(tmpdir(), 'mecai-postfix-'));
  chmodSync(directory, 0o755);
  const path = (name: string) => join(directory, name);
  const owned = (name: string, owner: string, mode = 0o755) => {
    mkdirSync(path(name), { recursive: true });
    chmodSync(path(name), mode);
    chownSync(path(name), account(owner, '-u'), account(owner, '-g'));
    return path(name);
  };
  const port = await freePort();
  mkdirSync(path('etc'));
  mkdirSync(path('queue/pid'), { recursive: true });
  const queues = [
    'private',
    'public',
    'incoming',
    'active',
    'deferred',
    'bounce',
    'defer',
    'corrupt',
    'hold',
  ];
  for (const name of [...queues, 'trace', 'flush', 'saved']) owned(`queue/${name}`, 'postfix', 0o700);
  owned('queue/public', 'postfix', 0o755);
  owned('data', 'postfix', 0o700);
  owned('mail', 'nobody');
  writeFileSync(
    path('etc/mailboxes'),
    domains
      .flatMap((domain) =>
        mailboxes.map((name) => `/^${name}(\\+[^@]*)?@${domain.replaceAll('.', '\\.')}$/ ${name}/`),
      )
      .join('\n'),
  );
  writeFileSync(
    path('etc/main.cf'),
    `compatibility_level = 3.6
queue_directory = ${path('queue')}
data_directory = ${path('data')}
daemon_directory = ${daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = ${path('log')}
maillog_file_prefixes = ${directory}
recipient_delimiter = +
virtual_mailbox_domains = ${domains.join(' ')}
virtual_mailbox_base = ${path('mail')}
virtual_mailbox_maps = regexp:${path('etc/mailboxes')}
virtual_uid_maps = static:${account('nobody', '-u')}
virtual_gid_maps = static:${account('nobody', '-g')}
local_recipient_maps =
alias_maps =
# Unknown recipients are taken, and bounced after that, as a mail server further on does it.
smtpd_reject_unlisted_recipient = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_transport = error
relay_transport = error
smtpd_tls_security_level = ${tlsChain === undefined ? 'none' : `may\nsmtpd_tls_chain_files = ${tlsChain}`}
`,
  );
  writeFileSync(
    path('etc/master.cf'),
    `127.0.0.1:${port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`,
  );
  // Its own process group: it ends by a signal to the group.
  const master = spawn(join(daemons, 'master'), ['-c', path('etc'), '-d'], { stdio: 'pipe', detached: true });
  const kill = () => {
    if (master.exitCode === null && master.signalCode === null) process.kill(-master.pid!, 'SIGTERM');
  };
  process.once('exit', kill);
  await listening(master, port, () => (existsSync(path('log')) ? readFileSync(path('log'), 'utf8') : ''));
  return {
    port,
    mailbox(name) {
      const folder = join(path('mail'), name, 'new');
      if (!existsSync(folder)) return [];
      // Maildir names begin with the time.
      return readdirSync(folder)
        .toSorted()
        .map((file) => readFileSync(join(folder, file)));
    },
    async stop() {
      process.off('exit', kill);
      const exited = once(master, 'exit');
      kill();
      await exited;
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function listening(master: ChildProcess, port: number, log: () => string): Promise<void> {
  let words = '';
  master.stderr!.on('data', (chunk) => (words += String(chunk)));
  for (let tries = 0; tries < 200; tries++) {
    if (master.exitCode !== null) break;
    if (await connects(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Postfix did not come up:\n${words}${log()}`);
}

function connects(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.end('QUIT\r\n');
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
