/** Configuration of `mecai staple`: one JSON file; relative paths are taken from its directory. */
import { AddressError, parseAddress } from '@mecai/addresses';
import { isServerName, startTlsProtocols } from '@mecai/voucher';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describeIssues } from '@mecai/runtime/config-issues';
import * as z from 'zod';
import { StapleError } from './error.ts';

const address = () =>
  z.string().refine((text) => {
    try {
      return parseAddress(text).length > 0;
    } catch (error) {
      if (error instanceof AddressError) return false;
      throw error;
    }
  }, 'expected an IP address');
const seconds = (least: number, most: number) => z.number().int().min(least).max(most);
/** A program and its arguments; no shell. */
const command = () => z.array(z.string().min(1)).min(1);

const schema = (base: string) => {
  const path = () =>
    z
      .string()
      .min(1)
      .transform((text) => resolve(base, text));
  const site = z.strictObject({
    name: z.string().refine(isServerName, 'expected a host name in lower case'),
    /** One IPv4 and one IPv6 address at most, as clients reach them. */
    addresses: z.array(address()).min(1).max(2),
    port: z.number().int().min(1).max(65_535).default(443),
    startTls: z.enum(startTlsProtocols).optional(),
    /** PEM, leaf first. */
    certificate: path(),
    /** Without it requests are served under tighter limits. */
    key: path().optional(),
    serverInfoFile: path().optional(),
    ocspFile: path().optional(),
  });
  return z.strictObject({
    /** The client vendor's signed list of VAs. */
    vaList: path(),
    /** Names and PEM files of the vendor's keys. */
    vaListKeys: z.record(z.string(), path()),
    /** Names (`id`) of the VAs to ask; all active ones by default. */
    vas: z.array(z.string()).min(1).optional(),
    /** PEM of the CAs that certify the VAs' own servers; the system's by default. */
    vaCa: path().optional(),
    server: z
      .discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('nginx'), configuration: path().default('/etc/nginx/nginx.conf') }),
        z.strictObject({
          kind: z.literal('apache'),
          configuration: path().default('/etc/apache2/apache2.conf'),
          serverRoot: path().default('/etc/apache2'),
          /** `Define`s and environment that the server is started with. */
          defines: z.record(z.string(), z.string()).default({}),
        }),
      ])
      .optional(),
    /** Public addresses of this machine, for servers that listen on all of them. */
    addresses: z.array(address()).max(2).default([]),
    /** Public address by local one, behind NAT. */
    nat: z.record(address(), address()).default({}),
    /** Servers that are not in the configuration, or on another machine. */
    sites: z.array(site).default([]),
    /** Bundles for `/.well-known/mecai/` go there. */
    wellKnown: path().optional(),
    /** Vouchers in the OCSP slot, too. */
    ocsp: z
      .strictObject({
        /** Names of up to three VAs; the first three by default. */
        vas: z.array(z.string()).min(1).max(3).optional(),
      })
      .optional(),
    /** Vouchers and the times of the next requests. */
    state: path(),
    /** Mode of the files written, octal. */
    fileMode: z
      .string()
      .regex(/^0?[0-7]{3}$/)
      .default('644')
      .transform((text) => Number.parseInt(text, 8)),
    /** Asked before the reload whether the server would take its files. */
    test: command().optional(),
    /** Run when a file has changed; on a machine that only delivers files, what delivers them. */
    reload: command().optional(),
    commandTimeoutSeconds: seconds(1, 3_600).default(60),
    /** Loopback address of the status page, metrics and OCSP responder. */
    listen: z
      .string()
      .regex(/^(127\.\d+\.\d+\.\d+|\[::1\]|localhost):\d{1,5}$/, 'expected a loopback address and a port')
      .optional(),
    renewEverySeconds: seconds(60, 86_400).default(43_200),
    /** Renewals are moved forward by a random part of the interval, up to this share of it. */
    jitter: z.number().min(0).max(0.9).default(0.2),
    /** How often the server's configuration and certificates are looked at. */
    lookEverySeconds: seconds(1, 3_600).default(60),
    /** How often the VAs' renewal information is fetched if they do not say. */
    renewalInformationSeconds: seconds(1, 86_400).default(3_600),
    requestTimeoutSeconds: seconds(1, 600).default(60),
    /** Requests to one VA at the same time. */
    concurrency: z.number().int().min(1).max(100).default(8),
  });
};

export type StapleConfig = z.output<ReturnType<typeof schema>>;
export type ListedSite = StapleConfig['sites'][number];

/** Throws `StapleError` `bad-configuration` naming file, member, line and what was expected. */
export function loadStapleConfig(file: string): StapleConfig {
  let text: string;
  let json: unknown;
  try {
    text = readFileSync(file, 'utf8');
    json = JSON.parse(text);
  } catch (cause) {
    throw new StapleError('bad-configuration', `${file}: ${(cause as Error).message}`, { cause });
  }
  const parsed = schema(dirname(resolve(file))).safeParse(json);
  if (parsed.success) return parsed.data;
  throw new StapleError('bad-configuration', describeIssues(parsed.error.issues, { file, text }));
}
