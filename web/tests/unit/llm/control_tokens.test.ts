import { expect, test } from 'vitest';
import { withoutControl } from '../../../ts/llm/control_tokens.js';

const CONTROL = ['<end>', '<end>x', '<bos>', '</think>'];
const hidden = (content: string) =>
  withoutControl([{ role: 'user', content }], CONTROL)[0]?.content;

test('the name of a control token in a message is text', () => {
  expect(hidden('a<end>b<end>x')).toBe('a<\u200bend>b<\u200bend>x');
});

test('thinking marks stay visible to the template', () => {
  expect(hidden('<bos>hm</think>a')).toBe('<\u200bbos>hm</think>a');
});
