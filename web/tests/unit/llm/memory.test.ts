import { expect, test } from 'vitest';
import { TeaError } from '../../../ts/errors.js';
import { checkMemory } from '../../../ts/llm/memory.js';
import { models } from '../../../ts/models.js';

const GIB = 1024 ** 3;

/** With what advice a model of so many bytes is refused. */
function refused(size: number, cache: number, device?: number): string | undefined {
  try {
    checkMemory(size, cache, device);
    return undefined;
  } catch (error) {
    if (error instanceof TeaError && error.code === 'model-too-large') return error.hint;
    throw error;
  }
}

test('a model that fits passes, on a device of unknown memory too', () => {
  for (const row of models) expect(refused(row.size, 0)).toBeUndefined();
  expect(refused(1.1 * GIB, 0.2 * GIB, 4)).toBeUndefined();
  expect(refused(3.5 * GIB, 0, 8)).toBeUndefined();
});

test('what WebAssembly cannot hold is refused with its cause', () => {
  expect(refused(4.5e9, 0)).toBe('use a smaller model');
  expect(refused(3 * GIB, 1 * GIB)).toBe('lower the context');
});

test('what a small device cannot hold is refused', () => {
  expect(refused(1.1 * GIB, 0, 1)).toBe('use a smaller model');
});
