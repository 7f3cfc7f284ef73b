import { expect, test } from 'vitest';
import { withoutControl } from '../../../ts/llm/control_tokens.js';

const CONTROL = ['<end>', '<end>x', '<bos>', '</think>'];
const hidden = (content: string) => withoutControl(content, CONTROL);

test('the name of a control token in a message is text', () => {
  expect(hidden('a<end>b<end>x')).toBe('a<\u200bend>b<\u200bend>x');
});

test('thinking marks stay visible to the template', () => {
  expect(hidden('<bos>hm</think>a')).toBe('<\u200bbos>hm</think>a');
});

test('what models call and what tools are is text, too', () => {
  const call = { name: 'f', arguments: { '<end>': ['<bos>', 1, null] } };
  expect(withoutControl([{ role: 'assistant', tool_calls: [call] }], CONTROL)).toEqual([
    {
      role: 'assistant',
      tool_calls: [{ name: 'f', arguments: { '<\u200bend>': ['<\u200bbos>', 1, null] } }],
    },
  ]);
});
