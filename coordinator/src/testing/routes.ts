import { randomBytes } from 'node:crypto';
import { testCertificate } from '@mecai/voucher/testing';
import { type Route, serveRoutes } from '../http-routes.ts';
import { type VrpServer, startVrpServer } from '../http-server.ts';
import { Nonces } from '../nonces.ts';
import { RateLimiter } from '../rate-limits.ts';
import { keyPemOf, pemOf } from './chains.ts';
import { keptLog } from './log.ts';
import { measures, telemetry } from './telemetry.ts';

/** The coordinator's HTTPS server with nothing but these routes, and next to no limits. */
export function startRoutes(
  routes: readonly Route[],
  perRequester = { perMinute: 1_000_000, burst: 1_000_000 },
): Promise<VrpServer> {
  const https = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
  const { log } = keptLog();
  const limiter = new RateLimiter(perRequester);
  return startVrpServer({
    host: '127.0.0.1',
    port: 0,
    tls: { certificate: Buffer.from(pemOf(https)), key: Buffer.from(keyPemOf(https)) },
    handler: { handle: () => Promise.reject(new Error('no vouchers here')) },
    nonces: new Nonces(randomBytes(32)),
    routes: serveRoutes({ routes, limiter, log, now: Date.now }),
    maxInFlight: () => 100,
    telemetry,
    measures,
    log,
    now: Date.now,
  });
}
