import { defineConfig } from 'vitest/config';

const project = (root: string, name = root.split('/').at(-1)!) => ({
  extends: true as const,
  test: { name, root, include: ['src/**/*.test.ts'] },
});

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
      project('packages/addresses'),
      project('packages/pki'),
      project('packages/voucher'),
      project('packages/tls-probe'),
      project('packages/corroboration'),
      project('packages/placement'),
      project('packages/runtime'),
      project('packages/database'),
      project('proto'),
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
