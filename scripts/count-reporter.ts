import type { Reporter, TestModule } from 'vitest/node';

/** The last line of a test run: what a reader and a script can count. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    let skipped = 0;
    const flaky: string[] = [];
    for (const module of modules) {
      // A file that cannot even be loaded has no tests to count.
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else skipped++;
        if (test.diagnostic()?.flaky) flaky.push(test.fullName);
      }
    }
    // After the default reporter's own summary.
    setImmediate(() => {
      for (const name of flaky) console.log(`passed only after another try: ${name}`);
    });
    setImmediate(() =>
      console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`),
    );
  }
}
