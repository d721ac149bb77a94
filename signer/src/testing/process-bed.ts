/** Signers as processes of their own, on one token for all tests of a file. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { TestCoordinator } from './client.ts';
import { type RunningSigner, type SignerFiles, createSignerFiles } from './signer-files.ts';
import { coordinator } from './world.ts';

export interface ProcessBed {
  readonly files: SignerFiles;
  /** Called after each test, the last first. */
  readonly stops: (() => unknown)[];
  readonly serve: SignerFiles['serve'];
  /** As this coordinator. */
  readonly ask: (signer: RunningSigner, id?: string) => TestCoordinator;
}

/** Registers what has to be done before and after the tests of a file. */
export function processBed(): ProcessBed {
  let files: SignerFiles;
  const stops: (() => unknown)[] = [];
  beforeAll(() => {
    files = createSignerFiles();
    files.ceremony();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).toReversed()) await stop();
  });
  afterAll(() => files.remove());
  return {
    get files() {
      return files;
    },
    stops,
    async serve(options) {
      const signer = await files.serve(options);
      stops.push(() => signer.stop());
      return signer;
    },
    ask({ grpc }, id = coordinator) {
      const client = new TestCoordinator(grpc, files.identity([id]));
      stops.push(() => client.close());
      return client;
    },
  };
}
