// The engine in a page of Chromium, behind standard input and output, for the judge of conformance/.
// Values of the engine cross as the text that they are, since JavaScript knows no whole numbers.
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

const ORIGIN = 'http://page.test';
const FILES = {
  '/': ['text/html', '<!doctype html><script type="module" src="/page.mjs"></script>'],
  '/page.mjs': ['text/javascript', new URL('page.mjs', import.meta.url)],
  '/wasm/tea_wasm.js': ['text/javascript', new URL('../../wasm/tea_wasm.js', import.meta.url)],
  '/wasm/tea_wasm_bg.wasm': [
    'application/wasm',
    new URL('../../wasm/tea_wasm_bg.wasm', import.meta.url),
  ],
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The next line, or undefined at the end. */
async function hear() {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
}

const say = (what, json) => process.stdout.write(`{"${what}": ${json}}\n`);

let answered = Promise.resolve();

/** Questions are answered in the order in which they are asked, so one must wait for the other. */
function ask(what, json) {
  const answer = answered.then(() => {
    say(what, json);
    return hear();
  });
  answered = answer;
  return answer;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
const page = await browser.newPage();
page.on('pageerror', (error) => process.stderr.write(`${error}\n`));
await page.route(`${ORIGIN}/**`, async (route) => {
  const file = FILES[new URL(route.request().url()).pathname];
  if (file === undefined) return route.fulfill({ status: 404 });
  const [contentType, content] = file;
  const body = content instanceof URL ? await readFile(content) : content;
  return route.fulfill({ contentType, body });
});
await page.exposeFunction('say', say);
await page.exposeFunction('ask', ask);
await page.goto(`${ORIGIN}/`);
await page.waitForFunction(() => globalThis.play !== undefined);

for (let told = await hear(); told !== undefined; told = await hear()) {
  for (let time = 0; time < told.run.times; time++) {
    const ended = await page.evaluate((run) => globalThis.play(run), told.run);
    say('ended', ended);
    if (JSON.parse(ended).problems !== undefined) break;
  }
}
await browser.close();
