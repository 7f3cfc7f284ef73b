// Measures how long a page takes to be ready with a model that it has stored, against wllama's own
// load of the same Blob: `node scripts/ready.mjs MODEL.gguf [RUNS]`. dist/ must be built.
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [model, runs = '5'] = process.argv.slice(2);
const root = fileURLToPath(new URL('..', import.meta.url));
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const server = createServer(async (request, response) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  const file = path === '/model.gguf' ? model : join(root, path);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  const content =
    path === '/' ? Buffer.from('<!doctype html>') : await readFile(file).catch(() => null);
  if (content === null) response.writeHead(404).end();
  else
    response
      .writeHead(200, { ...HEADERS, 'Content-Type': path === '/' ? 'text/html' : type })
      .end(content);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://127.0.0.1:${server.address().port}`;
const profile = await mkdtemp(join(tmpdir(), 'tea-ready-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
});

/** Seconds until the stored model is ready, and until wllama has loaded the same Blob; in a new page each. */
async function once(size) {
  const page = await context.newPage();
  await page.goto(address);
  const tea = await page.evaluate(async (bytes) => {
    const { createTea } = await import('/dist/index.js');
    const start = performance.now();
    const source = { id: 'model', files: [{ url: '/model.gguf', size: bytes }] };
    const made = await createTea({ model: source, threads: 1, context: 2048 });
    const seconds = (performance.now() - start) / 1000;
    await made.dispose();
    return seconds;
  }, size);
  await page.reload();
  const wllama = await page.evaluate(async (bytes) => {
    const { openModelStore } = await import('/dist/index.js');
    const { Wllama } = await import('/node_modules/@wllama/wllama/esm/index.js');
    const store = await openModelStore();
    const blobs = await store.get({ id: 'model', files: [{ url: '/model.gguf', size: bytes }] });
    const start = performance.now();
    const loaded = new Wllama({ default: '/dist/wllama.wasm' }, { suppressNativeLog: true });
    loaded.setCompat(null);
    await loaded.loadModel(blobs, { n_ctx: 2048, n_threads: 1, n_gpu_layers: 0 });
    const seconds = (performance.now() - start) / 1000;
    await loaded.exit();
    return seconds;
  }, size);
  await page.close();
  return [tea, wllama];
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const { size } = await stat(model);
  await once(size); // the download
  const rows = [];
  for (let run = 0; run < Number(runs); run += 1) rows.push(await once(size));
  for (const [tea, wllama] of rows) console.log(`${tea.toFixed(2)} s, ${wllama.toFixed(2)} s`);
  const [tea, wllama] = [0, 1].map((column) => median(rows.map((row) => row[column])));
  console.log(
    `median ${tea.toFixed(2)} s against ${wllama.toFixed(2)} s: ${(tea / wllama).toFixed(2)}`,
  );
} finally {
  await context.close();
  server.close();
  await rm(profile, { recursive: true, maxRetries: 5 });
}
