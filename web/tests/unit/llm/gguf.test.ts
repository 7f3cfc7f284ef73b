import { expect, test } from 'vitest';
import { readHead } from '../../../ts/llm/gguf.js';
import { ggufHead } from '../../support/gguf.js';

const HEAD = ggufHead([
  ['general.architecture', 8, 'llama'],
  ['general.name', 8, 'Tiny'],
  ['tokenizer.ggml.tokens', 9, ['<unk>', '<s>', '</s>é']],
  ['tokenizer.ggml.token_type', 9, [2, 3, 3]],
  ['tokenizer.ggml.bos_token_id', 4, 1],
  ['tokenizer.ggml.eos_token_id', 4, 2],
  ['tokenizer.ggml.add_bos_token', 7, 1],
  ['llama.context_length', 4, 2048],
  ['llama.block_count', 4, 30],
  ['llama.embedding_length', 4, 576],
  ['llama.attention.head_count', 4, 9],
  ['llama.attention.head_count_kv', 4, 3],
]);

test('a head tells the model and what a token costs in the cache', async () => {
  expect(await readHead(new Blob([HEAD]))).toEqual({
    architecture: 'llama',
    name: 'Tiny',
    context: 2048,
    chatTemplate: undefined,
    bosToken: '<s>',
    eosToken: '</s>é',
    controlTokens: ['<s>', '</s>é'],
    pools: false,
    cachePerToken: 2 * 30 * 3 * (64 + 64),
  });
});

test('a vocabulary longer than the first read is read whole', async () => {
  const words = Array.from({ length: 3000 }, (_, index) => 'word'.repeat(750) + index);
  const head = ggufHead([
    ['tokenizer.ggml.tokens', 9, words],
    ['tokenizer.ggml.eos_token_id', 4, 2999],
  ]);
  expect(head.length).toBeGreaterThan(8 * 1024 * 1024);
  expect((await readHead(new Blob([head]))).eosToken).toMatch(/^(word)+2999$/);
});

test.each([
  ['no GGUF file', Buffer.from('<!doctype html>')],
  ['an empty file', Buffer.alloc(0)],
  ['a version long gone', ggufHead([], 1)],
  ['a version to come', ggufHead([], 4)],
  ['a type that there is not', ggufHead([['a', 99, 'x']])],
  ['a text longer than the file', Buffer.concat([HEAD.subarray(0, 24), Buffer.alloc(8, 0x7f)])],
] satisfies [string, Buffer<ArrayBuffer>][])('%s is a damaged model', async (_, bytes) => {
  await expect(readHead(new Blob([bytes]))).rejects.toMatchObject({ code: 'model-damaged' });
});

test.each([
  ['it is empty', ''],
  ['it is a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n'],
  ['it is an HTML page', '\n<!DOCTYPE html><html>'],
  ['it is an XML text', '<?xml version="1.0"?><Error/>'],
  ['it is a JSON text', '{"error": "Invalid username or password."}'],
  ['it is a ZIP archive', 'PK\x03\x04'],
])('what is no model is called what it is: %s', async (words, text) => {
  await expect(readHead(new Blob([text]))).rejects.toThrow(words);
});

test('a head that is cut off anywhere is a damaged model', async () => {
  for (let length = 0; length < HEAD.length; length += 1) {
    await expect(readHead(new Blob([HEAD.subarray(0, length)]))).rejects.toMatchObject({
      code: 'model-damaged',
    });
  }
});
