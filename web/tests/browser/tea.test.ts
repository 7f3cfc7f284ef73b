/** The whole package in Chromium, as it is shipped: a real model, a strict policy, no other server. */

import { readFile } from 'node:fs/promises';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { ModelSource, Tea, TeaOptions } from '../../ts/index.js';
import type * as Package from '../../ts/index.js';
import { Chromium } from '../support/chromium.js';
import { FileServer, sha256 } from '../support/server.js';

const ROOT = join(import.meta.dirname, '../..');
const MODEL = '/models/smollm2.gguf';
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'";
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const TYPES: Record<string, string> = { js: 'text/javascript', wasm: 'application/wasm' };

declare const tea: typeof Package;
declare let made: Tea;

/** Options that can be sent to a page. */
interface Plain extends Pick<TeaOptions, 'context' | 'loadTimeout' | 'threads' | 'wasmUrl'> {
  readonly model?: ModelSource | string;
}

const server = new FileServer();
let source: ModelSource;
let example: string;
let profile: string;
let chromium: Chromium;
let requests: string[];

beforeAll(async () => {
  const file = process.env.TEA_TEST_MODEL;
  if (!file) throw new Error('TEA_TEST_MODEL must name the GGUF file of SmolLM2-135M');
  await server.listen();
  for (const name of await readdir(join(ROOT, 'dist'))) {
    const type = TYPES[name.split('.').at(-1) ?? ''];
    if (type) {
      const content = await readFile(join(ROOT, 'dist', name));
      server.files.set(`/tea/${name}`, { content, etag: null, type });
    }
  }
  const script = "import * as tea from '/tea/index.js';\nglobalThis.tea = tea;\n";
  const page = '<!doctype html><script type="module" src="/page.js"></script>';
  server.files.set('/page.js', {
    content: Buffer.from(script),
    etag: null,
    type: 'text/javascript',
  });
  server.files.set('/', { content: Buffer.from(page), etag: null, type: 'text/html' });
  const content = await readFile(file);
  server.files.set(MODEL, { content, etag: '"1"' });
  const files = [
    { url: `${server.url}${MODEL}`, size: content.length, sha256: sha256(content) },
  ] as const;
  source = { id: 'smollm2', files };
  const examples = process.env.TEA_EXAMPLES ?? join(ROOT, '../examples/llm');
  example = await readFile(join(examples, 'local-chat.yaml'), 'utf8');
});

afterAll(() => server.close());

beforeEach(async () => {
  server.cors = { ...ISOLATED, 'Content-Security-Policy': POLICY };
  profile = await mkdtemp(join(tmpdir(), 'tea-page-'));
  chromium = await Chromium.start(profile);
});

afterEach(async () => {
  await chromium.kill();
  await rm(profile, { recursive: true, maxRetries: 5 });
  server.faults.length = 0;
});

async function open(): Promise<Page> {
  const page = await chromium.context.newPage();
  requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(`${server.url}/`);
  await page.waitForFunction(() => 'tea' in globalThis);
  return page;
}

/** Make a Tea in the page, and keep it there. One thread: it shares the machine with other tests. */
function create(page: Page, options: Plain = { model: source }) {
  return page.evaluate(async (given) => {
    const phases = new Set<string>();
    const warnings: string[] = [];
    const onProgress = ({ phase }: { phase: string }) => phases.add(phase);
    const onWarning = ({ code }: { code: string }) => warnings.push(code);
    const start = performance.now();
    Object.assign(globalThis, {
      made: await tea.createTea({ threads: 1, context: 1024, ...given, onProgress, onWarning }),
    });
    return { phases: [...phases], warnings, seconds: (performance.now() - start) / 1000 };
  }, options);
}

/** The code with which createTea refuses. */
function refusal(page: Page, options: Plain): Promise<string> {
  return page.evaluate(async (given) => {
    try {
      await (await tea.createTea({ threads: 1, context: 1024, ...given })).dispose();
      return 'made';
    } catch (error) {
      if (error instanceof tea.TeaError) return error.code;
      throw error;
    }
  }, options);
}

const ask = (page: Page, yaml: string) => page.evaluate((text) => made.run(text), yaml);

/** Bytes of the model that were sent. */
const modelBytes = (): number =>
  server.log.filter(({ path }) => path === MODEL).reduce((sum, { sent }) => sum + sent, 0);

describe('a visitor', () => {
  test('gets the model once, and answers though the server fails', async () => {
    server.forget();
    const page = await open();
    expect((await create(page)).phases).toEqual(['download', 'load']);
    const answer = {
      question: 'What is the capital of France?',
      answer: expect.stringContaining('Paris'),
    };
    expect(await ask(page, example)).toEqual({ ...answer, tokens: 7 });
    expect(modelBytes()).toBe(source.files[0].size);

    server.forget();
    server.broken = MODEL;
    try {
      await page.reload();
      await page.waitForFunction(() => 'tea' in globalThis);
      expect((await create(page)).phases).toContain('load');
      expect(await ask(page, example)).toEqual({ ...answer, tokens: 7 });
      expect(server.log.filter(({ path }) => path === MODEL)).toEqual([]);
    } finally {
      server.broken = null;
    }
    const foreign = requests.filter(
      (url) => !url.startsWith(server.url) && !url.startsWith('blob:'),
    );
    expect(foreign).toEqual([]);
  });
});

const chat = (extra: string): string => `
nodes:
  - name: ask
    uses: llm.stream
    with:
      system: Answer in one short sentence.
      prompt: What is the capital of France?
      temperature: 0
      max_tokens: 24
      ${extra}
`;

describe('a loaded model', () => {
  test('is held to a schema, a map and choices', async () => {
    const page = await open();
    await create(page);
    const shaped = (shape: string): string =>
      chat(shape).replace('temperature: 0', 'temperature: 1\n      seed: 3').replace('24', '80');
    const schema = `schema:
        type: object
        additionalProperties: false
        required: [capital, people, found, kind]
        properties:
          capital: {type: string, maxLength: 12}
          people: {type: integer, minimum: 1, maximum: 99}
          found: {type: string, format: date}
          kind: {$ref: "#/$defs/kind"}
        $defs: {kind: {type: ["null", string], maxLength: 4}}`;
    const data = (await ask(page, shaped(schema))).data as Record<string, unknown>;
    expect(Object.keys(data)).toEqual(['capital', 'people', 'found', 'kind']);
    expect(data.people).toSatisfy((n: number) => Number.isInteger(n) && n >= 1 && n <= 99);
    expect(data.found).toMatch(/^\d{4}-\d\d-\d\d$/);

    const choices = `choices: ['say "a"', 'say "ab"']`;
    expect((await ask(page, shaped(choices))).choice).toMatch(/^say "ab?"$/);
    const pattern = String.raw`schema: {type: string, pattern: '^(no|yes)\.{2}$'}`;
    expect((await ask(page, shaped(pattern))).data).toMatch(/^(no|yes)\.\.$/);
  });

  test('streams, stops, counts and goes on as the other engines do', async () => {
    const page = await open();
    await create(page);

    const events = await page.evaluate(async (yaml) => {
      const seen = [];
      for await (const event of made.stream(yaml)) seen.push(event);
      return seen;
    }, chat(''));
    expect(events[0]).toEqual({ type: 'start', workflow: null });
    expect(events.at(-1)?.type).toBe('complete');
    const pieces = events.flatMap((event) => (event.type === 'token' ? [event.text] : []));
    expect(pieces.length).toBeGreaterThan(3);
    expect(pieces.join('')).toBe('The capital of France is Paris.');

    // A stop text ends the answer, and is counted as a token of it.
    expect(await ask(page, chat('stop: [" Paris"]'))).toMatchObject({
      content: 'The capital of France is',
      finish_reason: 'stop',
      usage: { prompt_tokens: 27, completion_tokens: 6 },
    });
    expect(await ask(page, chat('stop: never'))).toMatchObject({ finish_reason: 'stop' });
    expect(await ask(page, chat('').replace('max_tokens: 24', 'max_tokens: 3'))).toMatchObject({
      content: 'The capital of',
      finish_reason: 'length',
      usage: { completion_tokens: 3 },
    });

    // The same seed, the same answer.
    const drawn = chat('seed: 7').replace('temperature: 0', 'temperature: 1.5');
    const [one, two] = [await ask(page, drawn), await ask(page, drawn)];
    expect(one).toEqual(two);

    // Leaving the loop stops the answer; the next run is not held up by it.
    const long = chat('')
      .replace('max_tokens: 24', 'max_tokens: 900')
      .replace('What is', 'Write of');
    const first = await page.evaluate(async (yaml) => {
      for await (const event of made.stream(yaml)) if (event.type === 'token') return event.text;
      return '';
    }, long);
    expect(first).not.toBe('');
    expect(await ask(page, chat(''))).toMatchObject({ content: 'The capital of France is Paris.' });

    // A signal stops it at once.
    const stopped = await page.evaluate(async (yaml) => {
      const controller = new AbortController();
      let at = 0;
      setTimeout(() => {
        at = performance.now();
        controller.abort();
      }, 200);
      const error = await made.run(yaml, {}, { signal: controller.signal }).catch((e) => e);
      return { code: error.code, late: performance.now() - at };
    }, long);
    expect(stopped.code).toBe('aborted');
    expect(stopped.late).toBeLessThan(500);

    // What does not fit is an error with both numbers.
    const failed = await page.evaluate(
      async (yaml) => {
        const error = await made.run(yaml).catch((e) => e);
        return [error.code, error.kind, error.node, error.message];
      },
      chat('').replace('What is', 'word '.repeat(1010)),
    );
    expect(failed.slice(0, 3)).toEqual(['workflow-failed', 'LimitError', 'ask']);
    expect(failed[3]).toMatch(/the prompt has 10\d\d tokens, but only 1000 fit/);

    // A model that was asked last is still there.
    expect(await ask(page, chat(''))).toMatchObject({ content: 'The capital of France is Paris.' });
    await page.evaluate(() => made.dispose());
    const closed = await page.evaluate((yaml) => made.run(yaml).catch((e) => e.code), chat(''));
    expect(closed).toBe('aborted');
  });

  test('makes vectors of length 1, and asks an API only if told to', async () => {
    const page = await open();
    await create(page, { model: source, context: 256 });
    const state = await ask(
      page,
      'nodes: [{name: e, uses: llm.embed, with: {text: [Paris, France]}, output: e}]',
    );
    const { embedding, dimensions } = state.e as { embedding: number[][]; dimensions: number };
    expect([embedding.length, dimensions]).toEqual([2, 576]);
    for (const row of embedding) expect(Math.hypot(...row)).toBeCloseTo(1, 4);

    const choices = [{ message: { content: 'Hi' }, finish_reason: 'stop' }];
    const reply = JSON.stringify({ model: 'm', choices, usage: {} });
    const type = 'application/json';
    server.files.set('/v1/chat/completions', { content: Buffer.from(reply), etag: null, type });
    const api = `
settings: {llm: {backend: api, api_base: "${server.url}/v1", model: m}}
nodes: [{name: a, uses: llm.call, with: {prompt: hello}, output: a}]`;
    expect(await ask(page, api)).toMatchObject({ a: { content: 'Hi', backend: 'api' } });
    const refused = await page.evaluate(
      (yaml) => made.run(yaml, {}, { backend: 'local' }).then((s) => s.a),
      api.replace('hello', 'Say hi.').replace('with: {', 'with: {max_tokens: 2, '),
    );
    expect(refused).toMatchObject({ backend: 'local' });
  });
});

describe('a trap is an error with a code:', () => {
  const model = () => ({ model: source });

  test('files that are no model', async () => {
    const page = await open();
    const bad = (name: string, content: Buffer): ModelSource => {
      server.files.set(`/models/${name}`, { content, etag: null });
      return { id: name, files: [{ url: `${server.url}/models/${name}` }] };
    };
    const good = server.files.get(MODEL)?.content ?? Buffer.alloc(0);
    const half = Buffer.from(good.subarray(0, good.length / 2)); // a whole head, tensors cut off
    expect(await refusal(page, { model: bad('half', half) })).toBe('model-damaged');
    expect(await refusal(page, { model: bad('text', Buffer.from('no model')) })).toBe(
      'model-damaged',
    );
    const head = Buffer.from(good.subarray(0, 1000));
    expect(await refusal(page, { model: bad('head', head) })).toBe('model-damaged');
    expect(await refusal(page, { model: `${server.url}/models/none` })).toBe('http-status');
  });

  test('addresses where no WebAssembly is', async () => {
    const page = await open();
    // A server that answers with its start page, whatever it is asked for; first, since an engine
    // that is there is kept.
    expect(await refusal(page, { wasmUrl: { engine: server.url } })).toBe('wasm-unavailable');
    const wllama = `${server.url}/tea/none.wasm`;
    expect(await refusal(page, { ...model(), wasmUrl: { wllama } })).toBe('wasm-unavailable');
    expect(await refusal(page, { ...model(), wasmUrl: { wllama: server.url } })).toBe(
      'wasm-unavailable',
    );
    expect(await refusal(page, {})).toBe('made');
  });

  test.each([
    ['worker-src', POLICY.replace(" 'self' blob:", " 'self'"), 'wasm-unavailable'],
    ['script-src', POLICY.replace(" 'wasm-unsafe-eval'", ''), 'wasm-unavailable'],
  ])('a policy that is too strict in %s', async (_, policy, code) => {
    server.cors = { ...ISOLATED, 'Content-Security-Policy': policy };
    expect(await refusal(await open(), model())).toBe(code);
  });

  test('a model that cannot fit, before anything is downloaded', async () => {
    const page = await open();
    server.forget();
    const large = { id: 'large', files: [{ url: `${server.url}${MODEL}`, size: 5e9 }] } as const;
    expect(await refusal(page, { model: large })).toBe('model-too-large');
    expect(server.log.map(({ path }) => path)).not.toContain(MODEL);
  });

  test('a page not isolated runs one thread, and says so once', async () => {
    server.cors = { 'Content-Security-Policy': POLICY };
    const page = await open();
    const options = { model: source, threads: 4 };
    expect((await create(page, options)).warnings).toEqual(['one-thread']);
    await page.evaluate(() => made.dispose());
    expect((await create(page, options)).warnings).toEqual([]);
    await page.evaluate(() => made.dispose());
  });

  test('loading is stopped by the signal and by the clock', async () => {
    const page = await open();
    await create(page); // so that it is in the store
    await page.evaluate(() => made.dispose());
    const code = await page.evaluate(async (given) => {
      const controller = new AbortController();
      const onProgress = ({ phase }: { phase: string }) => {
        if (phase === 'load') setTimeout(() => controller.abort(), 50);
      };
      const options = {
        model: given,
        threads: 1,
        context: 1024,
        onProgress,
        signal: controller.signal,
      };
      return await tea.createTea(options).catch((error) => error.code);
    }, source);
    expect(code).toBe('aborted');
    expect(await refusal(page, { model: source, loadTimeout: 0.05 })).toBe('load-timeout');
    expect(await refusal(page, model())).toBe('made');
  });
});
