import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestCertificate, keyPem, pem } from '../network/index.ts';

/**
 * nginx as target of probes, as an ordinary operator has it: a certificate on P-256, which ACME clients order by default;
 * session tickets, which are on by default and come to every client of TLS 1.3, two a handshake. One worker, where
 * Debian has one for each core. Without the access log: it is of requests, and a probe makes none.
 */
export async function startNginx(
  directory: string,
  address: string,
  port: number,
  chain: readonly [TestCertificate, ...TestCertificate[]],
) {
  writeFileSync(join(directory, 'target.pem'), pem(...chain));
  writeFileSync(join(directory, 'target.key'), keyPem(chain[0]));
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server {
    listen ${port} ssl;
    ssl_certificate ${directory}/target.pem; ssl_certificate_key ${directory}/target.key;
    ssl_protocols TLSv1.2 TLSv1.3;
  }
}
`,
  );
  const child = spawn('nginx', ['-c', join(directory, 'nginx.conf')], { stdio: 'inherit' });
  for (;;) {
    const socket = connect(port, address);
    const up = await new Promise<boolean>((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    pids: () => [
      child.pid!,
      ...readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').map(Number),
    ],
    stop: () => void child.kill('SIGTERM'),
  };
}
