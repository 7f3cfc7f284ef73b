import { defineConfig } from 'vitest/config';

// What needs a real browser; one at a time, since each measures what it does.
export default defineConfig({
  test: {
    // The large ones are a run of their own, which needs a file of a gigabyte.
    include: [`tests/${process.env.TEA_LARGE_MODEL ? 'large' : 'browser'}/**/*.test.ts`],
    environment: 'node',
    fileParallelism: false,
    // A machine that is busy with other things is ten times slower.
    testTimeout: 400_000,
    hookTimeout: 120_000,
  },
});
