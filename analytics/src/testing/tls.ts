import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A certificate for localhost that only it itself vouches for: files of PEM. */
export function makeTls(directory: string): { certificate: string; key: string } {
  const [certificate, key] = [join(directory, 'tls.pem'), join(directory, 'tls.key')];
  const options = `req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=localhost
    -addext subjectAltName=DNS:localhost -keyout`.split(/\s+/);
  execFileSync('openssl', [...options, key, '-out', certificate], { stdio: 'ignore' });
  return { certificate, key };
}
