/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probe, type StartTlsProtocol } from './index.ts';
import { type Issued, TestCertificates } from './testing/certificates.ts';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from './testing/processes.ts';

// Real servers, each with its configuration in a directory of its own. They are started as root, as their
// packages do it, where they change to a user of their own.

const certificates = new TestCertificates();
const processes = new Processes();
const path = (name: string) => certificates.path(name);
let leaf: Issued;
let issuer: Issued;
let chainPath: string;

beforeAll(() => {
  issuer = certificates.issue('issuer', 'p256');
  leaf = certificates.issue('localhost', 'rsa', issuer);
  chainPath = certificates.bundle('chain.pem', leaf, issuer);
  // Servers read these after giving up root.
  chmodSync(certificates.directory, 0o755);
  chmodSync(leaf.keyPath, 0o644);
});
afterAll(async () => {
  await processes.stop();
  certificates.remove();
});

const account = (name: string, flag: '-u' | '-g') => Number(execFileSync('id', [flag, name]).toString());

/** A directory that belongs to the server's user. */
function directory(name: string, owner: string, mode = 0o755): string {
  mkdirSync(path(name), { recursive: true });
  chmodSync(path(name), mode);
  chownSync(path(name), account(owner, '-u'), account(owner, '-g'));
  return path(name);
}

async function expectChain(
  startTls: StartTlsProtocol,
  port: number,
  chain: readonly Issued[] = [leaf, issuer],
) {
  const result = await probe({ address: '127.0.0.1', port, serverName: 'localhost', startTls });
  expect(result.error).toBeUndefined();
  expect(result.possessionProven).toBe(true);
  expect(result.chain.map((der) => Buffer.from(der))).toEqual(chain.map(({ der }) => der));
}

describe('STARTTLS', () => {
  it('smtp: Postfix', async () => {
    const port = await freePort();
    const master = program('master', 'postfix', ['/usr/lib/postfix/sbin']);
    mkdirSync(path('postfix'));
    mkdirSync(path('postfix-queue'));
    for (const name of ['private', 'public']) directory(`postfix-queue/${name}`, 'postfix');
    mkdirSync(path('postfix-queue/pid'));
    certificates.write(
      'postfix/main.cf',
      `compatibility_level = 3.6
queue_directory = ${path('postfix-queue')}
data_directory = ${directory('postfix-data', 'postfix', 0o700)}
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_tls_security_level = may
smtpd_tls_chain_files = ${certificates.bundle('postfix.pem')}
smtpd_relay_restrictions = reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
maillog_file = /dev/stdout
local_recipient_maps =
alias_maps =
`,
    );
    execFileSync('sh', ['-c', `cat ${leaf.keyPath} ${chainPath} > ${path('postfix.pem')}`]);
    certificates.write(
      'postfix/master.cf',
      `127.0.0.1:${port} inet n - n - - smtpd
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`,
    );
    await processes.serve(master, ['-c', path('postfix'), '-d'], port);
    await expectChain('smtp', port);
  });

  it('imap, pop3, lmtp, sieve: Dovecot', async () => {
    const dovecot = program('dovecot', 'dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved');
    const ports = {
      imap: await freePort(),
      pop3: await freePort(),
      lmtp: await freePort(),
      sieve: await freePort(),
    };
    const off = (name: string) => `inet_listener ${name} {\n port = 0\n }`;
    const on = (name: string, port: number) =>
      `inet_listener ${name} {\n address = 127.0.0.1\n port = ${port}\n }`;
    const configuration = certificates.write(
      'dovecot.conf',
      `base_dir = ${path('dovecot')}
state_dir = ${path('dovecot-state')}
protocols = imap pop3 lmtp sieve
log_path = /dev/stderr
ssl = yes
ssl_cert = <${chainPath}
ssl_key = <${leaf.keyPath}
default_client_limit = 100
service imap-login {
 ${on('imap', ports.imap)}
 ${off('imaps')}
}
service pop3-login {
 ${on('pop3', ports.pop3)}
 ${off('pop3s')}
}
service managesieve-login {
 ${on('sieve', ports.sieve)}
}
service lmtp {
 ${on('lmtp', ports.lmtp)}
}
service stats {
 unix_listener stats-writer {
  mode = 0666
 }
}
passdb {
 driver = static
}
userdb {
 driver = static
 args = uid=nobody gid=nogroup home=/nonexistent
}
`,
    );
    await processes.serve(dovecot, ['-F', '-c', configuration], Object.values(ports));
    for (const protocol of ['imap', 'pop3', 'lmtp', 'sieve'] as const) {
      await expectChain(protocol, ports[protocol]);
    }
  });

  it('nntp: Cyrus', async () => {
    const port = await freePort();
    const place = directory('cyrus', 'cyrus');
    for (const name of ['state', 'state/db', 'state/proc', 'state/socket', 'spool']) {
      directory(`cyrus/${name}`, 'cyrus');
    }
    const configuration = certificates.write(
      'imapd.conf',
      `configdirectory: ${place}/state
defaultpartition: default
partition-default: ${place}/spool
servername: localhost
tls_server_cert: ${chainPath}
tls_server_key: ${leaf.keyPath}
`,
    );
    const services = certificates.write(
      'cyrus.conf',
      `START {
}
SERVICES {
 nntp cmd="nntpd -C ${configuration}" listen="127.0.0.1:${port}"
}
EVENTS {
}
`,
    );
    const master = program('master', 'cyrus-nntpd', ['/usr/lib/cyrus/bin']);
    const args = ['-D', '-C', configuration, '-M', services, '-p', `${place}/pid`];
    await processes.serve(master, args, port);
    await expectChain('nntp', port);
  });

  it('ftp: vsftpd', async () => {
    const port = await freePort();
    const configuration = certificates.write(
      'vsftpd.conf',
      `listen=YES
listen_address=127.0.0.1
listen_port=${port}
background=NO
ssl_enable=YES
rsa_cert_file=${chainPath}
rsa_private_key_file=${leaf.keyPath}
secure_chroot_dir=${directory('vsftpd', 'root')}
seccomp_sandbox=NO
`,
    );
    await processes.serve(program('vsftpd', 'vsftpd'), [configuration], port);
    await expectChain('ftp', port);
  });

  it('xmpp-client, xmpp-server: Prosody', async () => {
    const ports = { client: await freePort(), server: await freePort() };
    const configuration = certificates.write(
      'prosody.cfg.lua',
      `run_as_root = true
pidfile = "${path('prosody.pid')}"
data_path = "${path('prosody')}"
modules_enabled = { "tls", "saslauth", "disco" }
interfaces = { "127.0.0.1" }
c2s_ports = { ${ports.client} }
s2s_ports = { ${ports.server} }
c2s_require_encryption = true
log = { error = "*stderr" }
VirtualHost "localhost"
  ssl = { certificate = "${chainPath}", key = "${leaf.keyPath}" }
`,
    );
    mkdirSync(path('prosody'));
    await processes.serve(
      program('prosody', 'prosody'),
      ['--config', configuration, '-F'],
      Object.values(ports),
    );
    await expectChain('xmpp-client', ports.client);
    await expectChain('xmpp-server', ports.server);
  });

  it('ldap: slapd', async () => {
    const port = await freePort();
    const configuration = certificates.write(
      'slapd.conf',
      `include /etc/ldap/schema/core.schema
pidfile ${path('slapd.pid')}
TLSCertificateFile ${chainPath}
TLSCertificateKeyFile ${leaf.keyPath}
TLSCACertificateFile ${issuer.certificatePath}
`,
    );
    const args = ['-h', `ldap://127.0.0.1:${port}`, '-f', configuration, '-d', '0'];
    await processes.serve(program('slapd', 'slapd'), args, port);
    await expectChain('ldap', port);
  });

  it('postgres: PostgreSQL', async () => {
    const port = await freePort();
    const versions = [19, 18, 17, 16, 15, 14, 13].map((version) => `/usr/lib/postgresql/${version}/bin`);
    const [uid, gid] = [account('postgres', '-u'), account('postgres', '-g')];
    const data = directory('postgres', 'postgres', 0o700);
    execFileSync(program('initdb', 'postgresql', versions), ['-D', data, '-A', 'trust', '--no-sync'], {
      uid,
      gid,
      cwd: data,
      stdio: 'pipe',
    });
    const key = path('postgres.key');
    copyFileSync(leaf.keyPath, key);
    chmodSync(key, 0o600);
    chownSync(key, uid, gid);
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: data,
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: chainPath,
      ssl_key_file: key,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const options = { uid, gid, cwd: data };
    await processes.serve(program('postgres', 'postgresql', versions), ['-D', data, ...args], port, options);
    await expectChain('postgres', port);
  });

  it('mysql: MariaDB', async () => {
    const port = await freePort();
    const data = directory('mariadb', 'mysql', 0o700);
    const args = ['--no-defaults', `--datadir=${data}`, `--socket=${data}/socket`, `--pid-file=${data}/pid`];
    const network = [`--port=${port}`, '--bind-address=127.0.0.1', '--user=mysql', '--skip-grant-tables'];
    const small = ['--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M', '--skip-log-bin'];
    const tls = [`--ssl-cert=${chainPath}`, `--ssl-key=${leaf.keyPath}`];
    await processes.serve(
      program('mariadbd', 'mariadb-server'),
      [...args, ...network, ...small, ...tls],
      port,
    );
    await expectChain('mysql', port);
  });
});
