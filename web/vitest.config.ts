import { defineConfig } from 'vitest/config';

// Units only: they need no browser. What needs one is in tests/browser, driven by a script.
export default defineConfig({
  test: {
    include: ['tests/unit/**/*.test.ts'],
    environment: 'node',
    testTimeout: 60_000, // a machine that is busy with other things is ten times slower
  },
});
