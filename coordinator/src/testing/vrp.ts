/** The VRP server with its real handler, and a decision in the test's hands. */
import { randomBytes } from 'node:crypto';
import { parsePrefix } from '@mecai/addresses';
import {
  type ChainResult,
  type VoucherRequest,
  decodeVoucherResponse,
  encodeVoucherRequest,
  encodeVoucherRequestJson,
} from '@mecai/voucher';
import type { Telemetry } from '@mecai/runtime';
import { testCertificate } from '@mecai/voucher/testing';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { type CoordinatorConfig, coordinatorConfig } from '../config.ts';
import type { Decided, Question } from '../decide.ts';
import { type VrpServer, startVrpServer } from '../http-server.ts';
import { Nonces } from '../nonces.ts';
import { VrpHandler } from '../vrp-handler.ts';
import { chainOf, keyPemOf, pemOf, serverName, webLeaf } from './chains.ts';
import { type Call, call, json } from './https.ts';
import { keptLog } from './log.ts';
import { measures, telemetry as untraced } from './telemetry.ts';

export const leaf = webLeaf();
export const good: VoucherRequest = {
  ipv4: Uint8Array.of(198, 51, 100, 7),
  port: 443,
  serverName,
  chains: [chainOf(leaf)],
};
export const goodDer = encodeVoucherRequest(good);
export const nonces = new Nonces(randomBytes(32));
export const issued: ChainResult = { status: 'issued', voucher: Uint8Array.of(1), perspectives: [] };
export const decided = (result: ChainResult): Decided => ({ result, unavailable: false });

const https = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
const { log, lines } = keptLog();
const defaults = coordinatorConfig.shape.limits.parse({});

export interface Settings {
  readonly limits?: Partial<CoordinatorConfig['limits']>;
  readonly requireKeyProof?: boolean;
  readonly requestWithinMs?: number;
  readonly now?: () => number;
  /** Without a collector by default. */
  readonly telemetry?: Telemetry;
}

export interface Scene {
  /** Without limits, for all tests of a file. */
  server: VrpServer;
  /** What was put to `decide`. */
  questions: Question[];
  decide: (question: Question) => Promise<Decided>;
  readonly lines: typeof lines;
}

/** To be called once a file: sets up a server, and clears the scene before each test. */
export function setScene(): Scene {
  const unlimited = { perMinute: 100_000_000, burst: 100_000_000 };
  beforeAll(async () => {
    scene.server = await start({
      limits: { authenticated: unlimited, unauthenticated: unlimited, target: unlimited, global: unlimited },
    });
  });
  afterAll(() => scene.server.close(0));
  beforeEach(() => {
    scene.questions = [];
    scene.decide = () => Promise.resolve(decided(issued));
    lines.length = 0;
  });
  return scene;
}

const scene: Scene = {
  server: {
    url: '',
    inFlight: 0,
    drain: () => undefined,
    useTls: () => undefined,
    close: () => Promise.resolve(),
  },
  questions: [],
  decide: () => Promise.reject(new Error('no test')),
  lines,
};

export const start = ({
  limits,
  requireKeyProof = false,
  requestWithinMs,
  now = Date.now,
  telemetry = untraced,
}: Settings = {}) =>
  startVrpServer({
    host: '127.0.0.1',
    port: 0,
    tls: { certificate: Buffer.from(pemOf(https)), key: Buffer.from(keyPemOf(https)) },
    handler: new VrpHandler({
      config: { limits: { ...defaults, ...limits }, requireKeyProof },
      allowedTargets: [parsePrefix('198.51.100.0/24'), parsePrefix('2001:db8::/32')],
      nonces,
      measures,
      log,
      now,
      decide: (question) => {
        scene.questions.push(question);
        return scene.decide(question);
      },
    }),
    nonces,
    maxInFlight: () => limits?.inFlight ?? defaults.inFlight,
    ...(requestWithinMs !== undefined && { requestWithinMs }),
    telemetry,
    measures,
    log,
    now,
  });

/** A server of this test alone. */
export async function using(settings: Settings, act: (server: VrpServer) => Promise<void>): Promise<void> {
  const server = await start(settings);
  try {
    await act(server);
  } finally {
    await server.close(0);
  }
}

export const ask = (body: Uint8Array | string, rest: Call = {}) => call(scene.server.url, { body, ...rest });
export const askJson = (body: unknown, rest: Call = {}) =>
  ask(typeof body === 'string' ? body : JSON.stringify(body), { headers: json, ...rest });

export function jsonOf(request: VoucherRequest): object {
  const value: object = JSON.parse(encodeVoucherRequestJson(request));
  return value;
}

export const saying = (pattern: RegExp): unknown => expect.stringMatching(pattern);
export const results = (body: Uint8Array) => decodeVoucherResponse(body).results;
export const problem = (status: number, reason?: string) => ({
  type: 'about:blank',
  title: saying(/./),
  detail: saying(/./),
  status,
  ...(reason !== undefined && { reason }),
});
export const portOf = ({ url }: VrpServer): number => Number(new URL(url).port);
