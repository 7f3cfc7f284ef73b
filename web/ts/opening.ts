import type { Engine } from './engine.js';
import { aborted, TeaError } from './errors.js';
import { type GgufHead, readHead } from './llm/gguf.js';
import { checkMemory } from './llm/memory.js';
import { PageModel } from './llm/model.js';
import { openModelStore } from './store/store.js';
import type { TeaOptions } from './options.js';
import type { ModelSource } from './types.js';

const DEFAULT_CONTEXT = 8192; // tokens
const MIB = 1024 * 1024;
/** Seconds to load a model, besides those for its size. */
const LEAST_SECONDS = 60;
/** Slower than any disk and processor that could run a model. */
const MIB_PER_SECOND = 5;

/**
 * A model ready to answer: from the store or its address, checked, and in memory.
 *
 * @internal
 */
export async function openModel(
  engine: Engine,
  given: NonNullable<TeaOptions['model']>,
  options: TeaOptions,
): Promise<PageModel> {
  const signal = options.signal ?? new AbortController().signal;
  const source = sourceOf(given);
  const files = source === undefined ? blobsOf(given) : await fromStore(source, options);
  const [first] = files;
  if (first === undefined) throw new TeaError('bad-argument', 'the model has no file');
  const head = await readHead(first);
  const context = contextOf(options, source, head);
  const { load } = await import('./llm/wllama.js'); // large, and not needed for an API
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const wllama = options.wasmUrl?.wllama ?? new URL('./wllama.wasm', import.meta.url);
  const settings = {
    wasm: new URL(wllama, import.meta.url),
    threads: threads(options),
    timeout: options.loadTimeout ?? LEAST_SECONDS + size / MIB / MIB_PER_SECOND,
  };
  const model = new PageModel(
    engine,
    head,
    source ?? { id: 'model' },
    context,
    (embeddings, tokens, stop) =>
      load(files, head, { ...settings, context: tokens, embeddings }, stop),
  );
  const progress = { phase: 'load', total: size, bytesPerSecond: 0 } as const;
  options.onProgress?.({ ...progress, loaded: 0, secondsLeft: Number.POSITIVE_INFINITY });
  try {
    await model.load(signal);
  } catch (error) {
    throw signal.aborted ? aborted(signal) : error;
  }
  options.onProgress?.({ ...progress, loaded: size, secondsLeft: 0 });
  return model;
}

/** The source that was given; undefined where the files themselves were. */
function sourceOf(given: NonNullable<TeaOptions['model']>): ModelSource | undefined {
  if (typeof given === 'string') {
    const url = new URL(given, globalThis.location?.href).href;
    return { id: url, files: [{ url }] };
  }
  return 'files' in given ? given : undefined;
}

function blobsOf(given: NonNullable<TeaOptions['model']>): readonly Blob[] {
  return given instanceof Blob ? [given] : (given as readonly Blob[]);
}

async function fromStore(source: ModelSource, options: TeaOptions): Promise<Blob[]> {
  const sizes = source.files.map((file) => file.size ?? 0);
  checkMemory(sizes.reduce((sum, size) => sum + size, 0));
  const { signal, onProgress } = options;
  const long = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  if (options.store !== undefined) return options.store.get(source, long);
  const store = await openModelStore();
  try {
    return await store.get(source, long);
  } finally {
    await store[Symbol.asyncDispose]();
  }
}

/** What the options say, else the model's default, else the smaller of 8192 and its own. */
function contextOf(options: TeaOptions, source: ModelSource | undefined, head: GgufHead): number {
  const given = options.context ?? source?.context;
  if (given !== undefined && !(Number.isInteger(given) && given > 0)) {
    throw new TeaError('bad-argument', `context must be a number of tokens, not ${given}`);
  }
  return given ?? Math.min(DEFAULT_CONTEXT, head.context ?? DEFAULT_CONTEXT);
}

let warned = false;

/** Threads that share memory need a page that is isolated from other origins. */
function threads(options: TeaOptions): number {
  const wanted = options.threads ?? Math.max((navigator.hardwareConcurrency || 2) - 1, 1);
  if (wanted === 1 || globalThis.crossOriginIsolated) return wanted;
  if (!warned) {
    warned = true;
    const message =
      'the page is not cross-origin isolated, so the model runs on one thread: send the headers ' +
      'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp';
    if (options.onWarning) options.onWarning({ code: 'one-thread', message });
    else console.warn(`tea-wasm-llm: ${message}`);
  }
  return 1;
}
