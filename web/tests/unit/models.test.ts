import { expect, test } from 'vitest';
import { TeaError } from '../../ts/errors.js';
import { modelOf, models } from '../../ts/models.js';

test('a model is fetched from its own address or one given', () => {
  expect(models.length).toBeGreaterThan(0);
  for (const row of models) {
    const model = modelOf(row.id, row.url ?? './model.gguf');
    expect(model.files).toEqual([
      { url: row.url ?? './model.gguf', size: row.size, sha256: row.sha256 },
    ]);
    expect(row.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(modelOf(row.id, 'https://example.org/m').files[0].url).toBe('https://example.org/m');
  }
});

test('a model without a row or address is an error with a hint', () => {
  expect(() => modelOf('smollm2-135')).toThrow(TeaError);
  expect(() => modelOf('smollm2-135')).toThrow("there is no model 'smollm2-135'");
  expect(() => modelOf('smollm2-135m')).toThrow('smollm2-135m has no address of its own');
});
