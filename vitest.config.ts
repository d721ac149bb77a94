import { defineConfig } from 'vitest/config';

const project = (root: string, isolate = true) => ({
  extends: true as const,
  test: { name: root.split('/').at(-1)!, root, isolate, include: ['src/**/*.test.ts'] },
});
/** Only functions of what they are given: their test files may share a worker. */
const pure = (root: string) => project(root, false);

export default defineConfig({
  test: {
    // Processes are real and the machine may be small: files one after another inside two workers.
    reporters: ['default', './scripts/count-reporter.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Processes are killed at random moments on machines of any load. The last lines name what needed another try.
    retry: 2,
    testTimeout: 120_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      pure('packages/addresses'),
      pure('packages/pki'),
      pure('packages/voucher'),
      pure('packages/tls-probe'),
      pure('packages/corroboration'),
      pure('packages/placement'),
      project('packages/runtime'),
      project('packages/database'),
      pure('proto'),
      project('signer'),
      project('coordinator'),
      project('probe-agent'),
      project('analytics'),
      project('client'),
      project('admin'),
      project('demo'),
      project('infra'),
      project('test'),
    ],
  },
});
