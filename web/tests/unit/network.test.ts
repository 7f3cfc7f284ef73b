import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, expect, test } from 'vitest';
import type { HttpReply } from '../../wasm/tea_wasm.js';
import { post, sleep } from '../../ts/network.js';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: RequestListener): Promise<string> {
  server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const never = new AbortController().signal;

async function body(reply: HttpReply): Promise<string> {
  let all = '';
  for (let chunk = await reply.chunk(); chunk; chunk = await reply.chunk()) {
    all += Buffer.from(chunk).toString();
  }
  return all;
}

test('a request and its response arrive as they were sent', async () => {
  let seen = '';
  const url = await serve(async (request, response) => {
    for await (const piece of request) seen += String(piece);
    seen += ` ${request.method} ${request.headers.authorization}`;
    response.writeHead(503, { 'retry-after': '7', 'content-type': 'text/event-stream' });
    response.write('one ');
    response.end('two');
  });
  const reply = await post(url, [['Authorization', 'Bearer key']], '{"a": 1.0}', 5, never);
  expect(seen).toBe('{"a": 1.0} POST Bearer key');
  expect([reply.status, reply.header('retry-after'), reply.header('x-none')]).toEqual([
    503,
    '7',
    undefined,
  ]);
  expect(await body(reply)).toBe('one two');
});

test('a server silent before or in its answer runs out of time', async () => {
  const silent = await serve(() => {});
  await expect(post(silent, [], '', 0.05, never)).rejects.toMatchObject({ kind: 'timeout' });
  server?.closeAllConnections();
  server?.close();
  const url = await serve((_, response) => void response.write('begin'));
  const reply = await post(url, [], '', 2, never);
  await expect(body(reply)).rejects.toMatchObject({ kind: 'timeout' });
});

test('a connection that breaks or cannot be made may pass', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('begin', () => response.destroy());
  });
  const reply = await post(url, [], '', 5, never);
  await expect(body(reply)).rejects.toMatchObject({ kind: 'connection' });
  server?.close();
  await expect(post(url, [], '', 5, never)).rejects.toMatchObject({ kind: 'connection' });
});

test('a key does not travel on to another server', async () => {
  const url = await serve((_, response) => {
    response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end();
  });
  await expect(post(url, [], '', 5, never)).rejects.toMatchObject({ kind: 'connection' });
});

test('a signal ends a request, a body and a wait', async () => {
  const url = await serve((_, response) => void response.write('begin'));
  const stop = new AbortController();
  const reply = await post(url, [], '', 5, stop.signal);
  const read = body(reply);
  const wait = sleep(1000, stop.signal);
  stop.abort();
  for (const each of [read, wait, post(url, [], '', 5, stop.signal), sleep(1, stop.signal)]) {
    await expect(each).rejects.toMatchObject({ kind: 'Interrupted' });
  }
});
