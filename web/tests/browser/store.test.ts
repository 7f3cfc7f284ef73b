import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { CHUNK_BYTES } from '../../ts/store/database.js';
import type { openModelStore as Open } from '../../ts/store/store.js';
import type { ModelSource, Progress, StoredModel } from '../../ts/types.js';
import { Chromium } from '../support/chromium.js';
import { FileServer, noise, sha256 } from '../support/server.js';

const SIZE = 5 * CHUNK_BYTES + 1_234_567;
const ETAG = '"first"';

declare const openModelStore: typeof Open;

const server = new FileServer();
const content = noise(SIZE);
const digest = sha256(content);
let profile: string;
let chromium: Chromium;

beforeAll(async () => {
  await server.listen();
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, 'store_page.ts')],
    bundle: true,
    format: 'esm',
    write: false,
  });
  const script = Buffer.from(outputFiles[0]?.contents ?? []);
  const page = Buffer.from('<!doctype html><script type="module" src="/page.js"></script>');
  server.files.set('/', { content: page, etag: null, type: 'text/html' });
  server.files.set('/page.js', { content: script, etag: null, type: 'text/javascript' });
  server.files.set('/model.gguf', { content, etag: ETAG });
});

afterAll(() => server.close());

beforeEach(async () => {
  profile = await mkdtemp(join(tmpdir(), 'tea-store-'));
  chromium = await Chromium.start(profile);
});

afterEach(async () => {
  await chromium.kill();
  await rm(profile, { recursive: true, maxRetries: 5 });
  server.rate = Number.POSITIVE_INFINITY;
  server.cors = null;
  server.faults.length = 0;
});

async function open(): Promise<Page> {
  const page = await chromium.context.newPage();
  await page.goto(`${server.url}/`);
  await page.waitForFunction(() => 'openModelStore' in globalThis);
  server.forget();
  return page;
}

interface Outcome {
  readonly size: number;
  readonly sha256: string;
  readonly seen: Progress[];
  /** Of the error, where there was one. */
  readonly code?: string;
  readonly need?: number;
}

function source(url = `${server.url}/model.gguf`): ModelSource {
  return { id: 'small', files: [{ url, size: SIZE, sha256: digest }] };
}

/** Get the model in a page, and read what came. */
function get(page: Page, model = source()): Promise<Outcome> {
  return page.evaluate(async (wanted) => {
    const seen: Progress[] = [];
    try {
      const store = await openModelStore();
      const onProgress = (progress: Progress) => {
        seen.push(progress);
        Object(globalThis).told?.(progress.loaded);
      };
      const blobs = await store.get(wanted, { onProgress });
      const all = await new Blob(blobs).arrayBuffer();
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
      const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
      return { size: all.byteLength, sha256: hex, seen };
    } catch (error) {
      const { code, need } = error as { code?: string; need?: number };
      if (code === undefined) throw error;
      return { size: 0, sha256: '', seen, code, ...(need !== undefined && { need }) };
    }
  }, model);
}

function list(page: Page): Promise<StoredModel[]> {
  return page.evaluate(async () => {
    const store = await openModelStore();
    return await store.list();
  });
}

/** Requests for the model alone. */
function asked() {
  return server.log.filter((each) => each.path === '/model.gguf');
}

describe('the store in Chromium', () => {
  test('gives a reloaded page the same bytes without the server', async () => {
    const page = await open();
    const first = await get(page);
    expect(first).toMatchObject({ size: SIZE, sha256: digest });
    expect(asked()).toHaveLength(1);

    await page.reload();
    await page.waitForFunction(() => 'openModelStore' in globalThis);
    server.forget();
    expect(await get(page)).toMatchObject({ size: SIZE, sha256: digest });
    expect(asked()).toHaveLength(0);
  });

  test('goes on after a crash with at most one chunk fetched twice', async () => {
    const page = await open();
    server.rate = 20e6; // slow enough to be killed in the middle
    let received = 0;
    await page.exposeFunction('told', (loaded: number) => {
      received = loaded;
    });
    const crashed = get(page).catch(() => 'crashed');
    await vi.waitUntil(() => received > 2.5 * CHUNK_BYTES, { timeout: 60_000, interval: 20 });
    await chromium.kill();
    expect(await crashed).toBe('crashed');

    server.rate = Number.POSITIVE_INFINITY;
    chromium = await Chromium.start(profile);
    const again = await open();
    expect(await get(again)).toMatchObject({ size: SIZE, sha256: digest });
    expect(asked()).toMatchObject([{ ifRange: ETAG }]);
    const start = Number(/^bytes=(\d+)-$/.exec(asked()[0]?.range ?? '')?.[1]);
    expect(start).toBeGreaterThan(0);
    expect(received - start).toBeLessThanOrEqual(CHUNK_BYTES);
  });

  test.each(['changed', 'lost'])('fetches exactly the one chunk that is %s', async (how) => {
    const page = await open();
    await get(page);
    await page.evaluate(damage, { how, bytes: CHUNK_BYTES });
    server.forget();
    expect(await get(page)).toMatchObject({ size: SIZE, sha256: digest });
    const range = `bytes=${2 * CHUNK_BYTES}-${3 * CHUNK_BYTES - 1}`;
    expect(asked()).toMatchObject([{ range, sent: CHUNK_BYTES }]);
  });

  test('lets two tabs share one download', async () => {
    const [one, other] = [await open(), await open()];
    server.rate = 40e6;
    const [first, second] = await Promise.all([get(one), get(other)]);
    expect([first.sha256, second.sha256]).toEqual([digest, digest]);
    expect(asked()).toHaveLength(1);
    const waiting = [...first.seen, ...second.seen].filter(({ phase }) => phase === 'wait');
    expect(waiting.length).toBeGreaterThan(3);
    expect(waiting.some(({ loaded, bytesPerSecond }) => loaded > 0 && bytesPerSecond > 0)).toBe(
      true,
    );
  });

  test('resumes from another site with a plain range alone', async () => {
    const files = new FileServer();
    await files.listen();
    files.cors = { 'Access-Control-Allow-Origin': '*' };
    files.files.set('/model.gguf', { content, etag: ETAG });
    files.faults.push({ kind: 'cut', after: 2.5 * CHUNK_BYTES });
    const page = await open();
    expect(await get(page, source(`${files.url}/model.gguf`))).toMatchObject({ sha256: digest });
    expect(files.log.map(({ method }) => method)).toEqual(['GET', 'GET']);
    expect(files.log[1]).toMatchObject({ ifRange: null });
    await files.close();
  });
});

describe('a quota', () => {
  async function allow(page: Page, quotaSize: number | null): Promise<void> {
    // It is lifted with the session, so that one is left open.
    const session = await chromium.context.newCDPSession(page);
    const quota = quotaSize === null ? {} : { quotaSize };
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.url, ...quota });
  }

  test('that is clearly too small is found before a request', async () => {
    const page = await open();
    const size = 1e15; // what estimate() says is rounded, but no disk is as large as this
    const model = { id: 'huge', files: [{ url: `${server.url}/model.gguf`, size }] as const };
    expect(await get(page, model)).toMatchObject({ code: 'quota-exceeded', need: size });
    expect(asked()).toHaveLength(0);
  });

  test('that ends a download says the need, and keeps what came', async () => {
    const page = await open();
    await allow(page, 3.5 * CHUNK_BYTES);
    const failed = await get(page);
    expect(failed.code).toBe('quota-exceeded');
    const [stored] = await list(page);
    expect(stored).toMatchObject({ size: SIZE, complete: false });
    expect(stored?.stored).toBeGreaterThan(0);
    expect(failed.need).toBe(SIZE - (stored?.stored ?? 0));

    await allow(page, null);
    server.forget();
    expect(await get(page)).toMatchObject({ size: SIZE, sha256: digest });
    expect(asked()).toMatchObject([{ range: `bytes=${stored?.stored}-`, sent: failed.need }]);
  });
});

/** Change or take away the third chunk, behind the store's back. Runs in the page. */
async function damage({ how, bytes }: { how: string; bytes: number }): Promise<void> {
  const opening = indexedDB.open('tea-models');
  await new Promise((resolve) => opening.addEventListener('success', resolve));
  const change = opening.result.transaction('chunks', 'readwrite');
  const chunks = change.objectStore('chunks');
  const key = ['small', 0, 2];
  if (how === 'lost') chunks.delete(key);
  else chunks.put(new Blob([new Uint8Array(bytes)]), key);
  await new Promise((resolve) => change.addEventListener('complete', resolve));
  opening.result.close();
}
