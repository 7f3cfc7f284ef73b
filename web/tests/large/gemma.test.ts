/** A model of 1.07 GB in Chromium: downloads, resumes, is stored and loads; and what that takes. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import type * as Package from '../../ts/index.js';
import { CHUNK_BYTES } from '../../ts/store/database.js';
import type { ModelSource } from '../../ts/types.js';
import { Chromium } from '../support/chromium.js';
import { FileServer, sha256 } from '../support/server.js';

declare const tea: typeof Package;

const DIST = join(import.meta.dirname, '../../dist');
const MINUTES = 60_000;
const FLOW = `
nodes:
  - {name: say, uses: llm.call, with: {prompt: Hello, max_tokens: 2}, output: {text: "{{ result.content }}"}}
`;

const server = new FileServer();
const figures: Record<string, number> = {};
let source: ModelSource;
let profile: string;
let chromium: Chromium;

beforeAll(async () => {
  const path = process.env.TEA_LARGE_MODEL;
  if (!path) throw new Error('set TEA_LARGE_MODEL to a GGUF file of 1 GB or more');
  const content = await readFile(path);
  await server.listen();
  server.cors = {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  };
  for (const name of await readdir(DIST)) {
    const type = { js: 'text/javascript', wasm: 'application/wasm' }[name.split('.').at(-1) ?? ''];
    if (!type) continue;
    server.files.set(`/${name}`, { content: await readFile(join(DIST, name)), etag: null, type });
  }
  const script = "import * as tea from './index.js';\nglobalThis.tea = tea;\n";
  const page = '<!doctype html><script type="module" src="/page.js"></script>';
  const [text, html] = [Buffer.from(script), Buffer.from(page)];
  server.files.set('/page.js', { content: text, etag: null, type: 'text/javascript' });
  server.files.set('/', { content: html, etag: null, type: 'text/html' });
  server.files.set('/model.gguf', { content, etag: '"1"' });
  const digest = sha256(content);
  source = { id: 'large', files: [{ url: '/model.gguf', size: content.length, sha256: digest }] };
  profile = await mkdtemp(join(tmpdir(), 'tea-large-'));
}, 5 * MINUTES);

afterAll(async () => {
  await chromium.kill();
  await server.close();
  await rm(profile, { recursive: true, maxRetries: 5 });
  console.log(JSON.stringify(figures));
}, MINUTES);

async function open(): Promise<Page> {
  const page = await chromium.context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => 'tea' in globalThis);
  server.forget();
  return page;
}

/** Get it into the store; how long that took, in seconds. */
function get(page: Page): Promise<number> {
  return page.evaluate(async (wanted) => {
    const began = performance.now();
    const store = await tea.openModelStore();
    const onProgress = ({ loaded }: Package.Progress) => Object(globalThis).told?.(loaded);
    await store.get(wanted, { onProgress });
    return (performance.now() - began) / 1000;
  }, source);
}

async function measured<T>(what: string, work: Promise<T>): Promise<T> {
  figures[`${what}, MB at the peak`] = Math.round((await chromium.peakMemory(work)) / 1e6);
  return work;
}

test('is killed while it downloads, goes on, and is stored', {
  timeout: 15 * MINUTES,
}, async () => {
  const size = source.files[0].size ?? 0;
  chromium = await Chromium.start(profile);
  figures['empty browser, MB'] = Math.round((await chromium.memory()) / 1e6);
  server.rate = 50e6; // slow enough to be killed in the middle
  const page = await open();
  let received = 0;
  await page.exposeFunction('told', (loaded: number) => {
    received = loaded;
  });
  const killed = get(page).catch(() => 'killed');
  await vi.waitUntil(() => received > size / 4, { timeout: 5 * MINUTES, interval: 100 });
  await chromium.kill();
  expect(await killed).toBe('killed');

  server.rate = Number.POSITIVE_INFINITY;
  chromium = await Chromium.start(profile);
  const again = await open();
  figures['download of the rest, s'] = await measured('download', get(again));
  expect(server.log).toMatchObject([{ ifRange: '"1"' }]);
  const start = Number(/^bytes=(\d+)-$/.exec(server.log[0]?.range ?? '')?.[1]);
  expect(start).toBeGreaterThan(0);
  expect(received - start).toBeLessThanOrEqual(CHUNK_BYTES);
  await again.close();
});

test('is verified without a request', { timeout: 5 * MINUTES }, async () => {
  const page = await open();
  figures['verify, s'] = await measured('verify', get(page));
  expect(server.log).toEqual([]);
  await page.close();
});

test('is loaded and answers', { timeout: 15 * MINUTES }, async () => {
  const page = await open();
  const work = page.evaluate(
    async ({ model, flow }) => {
      const began = performance.now();
      const made = await tea.createTea({ model, context: 1024 });
      const loaded = (performance.now() - began) / 1000;
      const state = await made.run(flow);
      return { loaded, state };
    },
    { model: source, flow: FLOW },
  );
  const { loaded, state } = await measured('load and answer', work);
  figures['verify and load, s'] = loaded;
  expect(state).toHaveProperty('text');
  expect(server.log.filter((asked) => asked.path === '/model.gguf')).toEqual([]);
});
