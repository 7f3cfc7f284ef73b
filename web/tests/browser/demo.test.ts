import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { CONTENT_POLICY } from '../../demo/policy.js';
import { models } from '../../ts/models.js';
import { Chromium } from '../support/chromium.js';
import { FileServer } from '../support/server.js';
import { addSite } from '../support/site.js';

const SITE = join(import.meta.dirname, '../../demo/dist');
const MODEL = models.find((row) => row.id === 'smollm2-135m');
const FILE = `/models/${MODEL?.file}`;
const SECONDS = 1000;
const LOAD = 200 * SECONDS; // with other programs on every core

const server = new FileServer();
let profile: string;
let chromium: Chromium;
let page: Page;
/** What the page or the browser complained of, and requests that left the site. */
const complaints: string[] = [];

beforeAll(async () => {
  const model = process.env.TEA_TEST_MODEL;
  if (!model) throw new Error('set TEA_TEST_MODEL to the file of the model smollm2-135m');
  await server.listen();
  server.cors = {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Content-Security-Policy': `${CONTENT_POLICY}; frame-ancestors 'none'`,
  };
  await addSite(server, SITE);
  server.files.set(FILE, { content: await readFile(model), etag: '"model"' });
  profile = await mkdtemp(join(tmpdir(), 'tea-demo-'));
  chromium = await Chromium.start(profile);
  page = await chromium.context.newPage();
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) complaints.push(line.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(server.url)) {
      complaints.push(`request to ${request.url()}`);
    }
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(server.url);
});

afterAll(async () => {
  await chromium.kill();
  await server.close();
  await rm(profile, { recursive: true, maxRetries: 5 });
});

beforeEach(() => {
  complaints.length = 0;
  server.rate = Number.POSITIVE_INFINITY;
});

/** The rules of axe that the page breaks, at both widths and in both schemes. */
async function faults(): Promise<string[]> {
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8');
  await page.evaluate(axe);
  const found = new Set<string>();
  for (const width of [360, 1280]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      const broken = await page.evaluate(async () => {
        const { axe: run } = globalThis as unknown as { axe: typeof import('axe-core') };
        const { violations } = await run.run(document, { resultTypes: ['violations'] });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
      });
      for (const each of broken) found.add(each);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) found.add(`${over} px too wide at ${width}`);
    }
  }
  return [...found];
}

/** Tab until the element has the focus. */
async function tabTo(selector: string): Promise<void> {
  for (let steps = 0; steps < 40; steps += 1) {
    if (await page.locator(selector).evaluate((found) => found === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the Tab key does not reach ${selector}`);
}

async function answered(count: number): Promise<string> {
  await page.waitForFunction(
    (wanted) =>
      document.querySelectorAll('#log .reply').length === wanted &&
      document.querySelector('#send:not([hidden])') !== null,
    count,
    { timeout: LOAD },
  );
  return textOf('#log .reply');
}

/** What the last element of a kind says. */
async function textOf(selector: string): Promise<string> {
  return (await page.locator(selector).last().textContent())?.trim() ?? '';
}

/** Run the example as it is; its answer is the same each time. */
async function runExample(): Promise<string> {
  await page.click('#tab-workflow');
  await page.click('#run');
  await page.waitForSelector('#result:visible', { timeout: LOAD });
  return textOf('#result');
}

describe.sequential('the page', () => {
  test('offers the smallest model first, and is accessible', async () => {
    await page.waitForSelector('#models input:checked');
    expect(await page.inputValue('#models input:checked')).toBe(MODEL?.id);
    expect(await textOf('#start')).toBe('Download: 98 MB');
    expect(await faults()).toEqual([]);
  });

  test('downloads at a key, pauses, and goes on where it was', async () => {
    server.rate = 10e6;
    await page.keyboard.press('Tab');
    expect(await textOf(':focus')).toBe("Skip to the page's content");
    await tabTo('#models input:checked');
    await tabTo('#start');
    await page.keyboard.press('Enter');
    await page.waitForFunction(
      () => (document.getElementById('bar') as HTMLProgressElement).value > 1.8e7,
      null,
      { timeout: LOAD },
    );
    server.rate = 1e5; // there must be time to look at it
    const figures = /^\d+ of 98 MB · \d+\.\d MB\/s · \d+ (s|min) left$/;
    expect(await textOf('#figures')).toMatch(figures);
    expect(await faults()).toEqual([]);
    await tabTo('#pause');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#resume:focus');
    expect(await textOf('#figures')).toMatch(/^\d+ of 98 MB are stored/);
    expect(await faults()).toEqual([]);

    server.rate = Number.POSITIVE_INFINITY;
    server.forget();
    await page.keyboard.press('Enter');
    await page.waitForSelector('#work:visible', { timeout: LOAD });
    const ranges = server.log.filter((asked) => asked.path === FILE).map((asked) => asked.range);
    expect(ranges).toEqual([expect.stringMatching(/^bytes=[1-9]\d+-$/)]);
    expect(complaints).toEqual([]);
  });

  test('answers, by keyboard alone', async () => {
    await page.waitForSelector('#question:focus');
    expect(await faults()).toEqual([]);
    await page.keyboard.type('What is the capital of France?');
    await page.keyboard.press('Enter');
    expect(await answered(1)).toContain('Paris');
    expect(await page.locator('#announce').textContent()).toContain('Paris');
    await page.waitForSelector('#question:focus');
    expect(await faults()).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test('stops an answer at Escape, and keeps what has come', async () => {
    await page.click('#tab-workflow');
    await page.selectOption('#example', { label: 'stream-a-story.yaml' });
    await page.click('#run');
    await page.waitForFunction(
      () => (document.getElementById('tokens')?.textContent?.length ?? 0) > 40,
      null,
      { timeout: LOAD },
    );
    await page.keyboard.press('Escape');
    await page.waitForSelector('#run:visible', { timeout: 10 * SECONDS });
    expect(await textOf('#tokens')).toMatch(/^.{40,} … \(stopped\)$/s);
    expect(await page.locator('#result').isVisible()).toBe(false);
    await page.selectOption('#example', { label: 'local-chat.yaml' });
    await page.click('#tab-chat');
    await page.click('#clear-chat');
    expect(await page.locator('#log li').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test('runs an example, and says what is wrong in a workflow', async () => {
    expect(await runExample()).toContain('Paris');
    expect(await faults()).toEqual([]);
    await page.fill('#yaml', 'nodes: [{name: a, uses: nonsense}]');
    await page.click('#run');
    await page.waitForSelector('#problem:visible');
    expect(await textOf('#problem')).toContain('unknown action "nonsense"');
    expect(await faults()).toEqual([]);
    await page.selectOption('#example', { label: 'local-chat.yaml' });
    expect(complaints).toEqual([]);
  });

  test('opens without its server, and answers from what is stored', async () => {
    await page.waitForFunction(async () => (await navigator.serviceWorker.ready).active !== null);
    server.files.clear();
    server.forget();
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#start')?.textContent === 'Start');
    expect(await faults()).toEqual([]);
    await page.click('#start');
    await page.waitForSelector('#work:visible', { timeout: LOAD });
    expect(await runExample()).toContain('Paris');
    expect(server.sent).toBe(0);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(complaints).toEqual([]);
  });

  test('forgets a model at a press', async () => {
    await page.click('#change');
    await page.click('#stored button');
    await page.waitForSelector('#stored', { state: 'hidden' });
    expect(await textOf('#start')).toBe('Download: 98 MB');
    const left = await page.evaluate(async () => {
      const opening = indexedDB.open('tea-models');
      await new Promise((resolve) => opening.addEventListener('success', resolve));
      const counting = opening.result.transaction('chunks').objectStore('chunks').count();
      await new Promise((resolve) => counting.addEventListener('success', resolve));
      return counting.result;
    });
    expect(left).toBe(0);
    expect(complaints).toEqual([]);
  });
});
