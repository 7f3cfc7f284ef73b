import { expect, test } from 'vitest';
import { Queue } from '../../ts/queue.js';

async function taken(queue: Queue<number>): Promise<number[]> {
  const all: number[] = [];
  for await (const value of queue) all.push(value);
  return all;
}

test('values pushed before and after a reader are read in order', async () => {
  const queue = new Queue<number>();
  queue.push(1);
  const all = taken(queue);
  await Promise.resolve();
  queue.push(2);
  queue.push(3);
  queue.end();
  expect(await all).toEqual([1, 2, 3]);
});

test('an error comes after all that was given', async () => {
  const queue = new Queue<number>();
  queue.push(1);
  queue.fail(new Error('over'));
  const values = queue[Symbol.asyncIterator]();
  expect(await values.next()).toEqual({ value: 1, done: false });
  await expect(values.next()).rejects.toThrow('over');
});
