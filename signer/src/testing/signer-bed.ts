/** A signer that is started anew for each test of an option, on one token for all of them. */
import { createLogger } from '@mecai/runtime';
import { type Voucher, parseSignedVoucher } from '@mecai/voucher';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { startSigner } from '../start.ts';
import { TestCoordinator, nameOf } from './client.ts';
import { type SignerFiles, createSignerFiles } from './signer-files.ts';

interface Started {
  readonly grpc: string;
  readonly admin: string;
}

export interface SignerBed {
  readonly files: SignerFiles;
  /** Called after each test, the last first. */
  readonly stops: (() => unknown)[];
  /** The signer with these members of the configuration changed, in place of the one before. */
  readonly start: (changes?: object) => Promise<Started>;
  readonly stop: () => Promise<void>;
  readonly ask: (server: Started, tls?: ReturnType<SignerFiles['identity']>) => TestCoordinator;
  readonly asking: (changes: object) => Promise<TestCoordinator>;
  /** What one voucher with evidence of six says. */
  readonly issued: (changes: object) => Promise<Voucher>;
  /** `issued`, or the name of the refusal. */
  readonly asIs: (changes: object, matching?: number) => Promise<string>;
}

/** Registers what has to be done before and after the tests of a file. */
export function signerBed(): SignerBed {
  let files: SignerFiles;
  const stops: (() => unknown)[] = [];
  const bed: SignerBed = {
    get files() {
      return files;
    },
    stops,
    async start(changes = {}) {
      await bed.stop();
      const running = await startSigner({
        log: createLogger('signer', 'silent'),
        config: files.configure(changes),
        environment: {},
        fail: () => undefined,
      });
      stops.push(() => running.stop());
      const { ready } = running;
      return { grpc: String(ready['grpc']), admin: String(ready['admin']) };
    },
    async stop() {
      for (const one of stops.splice(0).toReversed()) await one();
    },
    ask({ grpc }, tls = files.identity()) {
      const client = new TestCoordinator(grpc, tls);
      stops.push(() => client.close());
      return client;
    },
    asking: async (changes) => bed.ask(await bed.start(changes)),
    async issued(changes) {
      const client = await bed.asking(changes);
      const drawn = await client.draw();
      if (typeof drawn === 'string') throw new Error(drawn);
      const step = await client.prove(drawn, drawn.agents.length);
      if (step.$case !== 'issued') throw new Error(nameOf(step));
      return parseSignedVoucher(step.issued.voucher).voucher;
    },
    asIs: async (changes, matching = 4) => (await bed.asking(changes)).voucher(matching),
  };
  beforeAll(() => {
    files = createSignerFiles();
    Object.assign(process.env, files.soft.environment);
    files.ceremony();
  });
  afterAll(() => files.remove());
  afterEach(() => bed.stop());
  return bed;
}
