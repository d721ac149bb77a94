import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { expect } from 'vitest';
import { probe, type ProbeOptions, type ProbeResult } from '../index.ts';
import { program } from './processes.ts';

/** @param serverName null: no SNI */
export const at = (
  port: number,
  options?: ProbeOptions,
  serverName: string | null = 'localhost',
): Promise<ProbeResult> =>
  probe({ address: '127.0.0.1', port, ...(serverName !== null && { serverName }) }, options);

export const chainOf = ({ chain }: ProbeResult): Buffer[] => chain.map((der) => Buffer.from(der));

export function expectProven(result: ProbeResult): void {
  expect(result.error).toBeUndefined();
  expect(result.possessionProven).toBe(true);
  const { connect, firstByte, proof, end } = result.timings;
  expect(connect).toBeLessThanOrEqual(firstByte!);
  expect(firstByte).toBeLessThanOrEqual(proof!);
  expect(proof).toBeLessThanOrEqual(end);
}

/** The chain in openssl's own view. */
export function shownByOpenssl(port: number, ...args: readonly string[]): Buffer[] {
  const output = execFileSync(
    program('openssl', 'openssl'),
    ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-showcerts', ...args],
    { input: '', stdio: 'pipe' },
  ).toString();
  const [shown = ''] = output.split('---\nServer certificate');
  return [...shown.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(
    ([pem]) => new X509Certificate(pem).raw,
  );
}
