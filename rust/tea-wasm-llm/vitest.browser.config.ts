import { defineConfig } from 'vitest/config';

// What needs a real browser; one at a time, since each measures what it does.
export default defineConfig({
  test: {
    include: ['tests/browser/**/*.test.ts'],
    environment: 'node',
    fileParallelism: false,
    // A machine that is busy with other things is ten times slower.
    testTimeout: 400_000,
    hookTimeout: 120_000,
  },
});
