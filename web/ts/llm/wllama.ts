import { Wllama, type WllamaLogger } from '@wllama/wllama/esm/index.js';
import { TeaError } from '../errors.js';
import { probe } from '../wasm_files.js';
import type { GgufHead } from './gguf.js';
import { checkMemory } from './memory.js';
import { probeWorker } from './worker_probe.js';

/** How to load a model. Sizes in tokens, times in seconds. */
export interface LoadSettings {
  readonly wasm: URL;
  readonly context: number;
  readonly threads: number;
  readonly timeout: number;
  /** For vectors instead of answers. */
  readonly embeddings: boolean;
}

/** A model in the memory of a worker. */
export interface Loaded {
  readonly wllama: Wllama;
  /** Whether the vocabulary wants texts to begin with its first token. */
  readonly addsBos: boolean;
}

/** Tokens of a prompt that are computed at a time; between two of them an answer can be stopped. */
const BATCH = 128;

/** Keeps what the worker says, for messages; nothing goes to the console. */
class Words implements WllamaLogger {
  /** The cause that llama.cpp gives, else the last word on an error. */
  get reason(): string {
    return this.#cause ?? this.#last;
  }
  #cause: string | undefined;
  #last = '';
  readonly debug = (): void => {};
  readonly log = (): void => {};
  readonly warn = (...words: unknown[]): void => this.#keep(words);
  readonly error = (...words: unknown[]): void => this.#keep(words);

  #keep(words: unknown[]): void {
    const text = words
      .map((word) => (word instanceof Error ? word.message : String(word)))
      .join(' ');
    this.#cause ??= /error loading model: (.+)/.exec(text)?.[1];
    if (/error|fail|invalid|unknown|abort/i.test(text)) this.#last = text.trim();
  }
}

/**
 * Throw where this browser cannot run models: `unsupported-browser`.
 *
 * wllama's module has 64-bit memory; a browser without it would try the one of a foreign server.
 */
function checkBrowser(): void {
  try {
    new WebAssembly.Memory({
      address: 'i64',
      initial: 1n,
    } as unknown as WebAssembly.MemoryDescriptor);
  } catch (cause) {
    throw new TeaError('unsupported-browser', 'this browser has no 64-bit WebAssembly memory', {
      hint: 'Chrome, Edge and Firefox have it',
      cause,
    });
  }
}

/**
 * Load a model into a worker of its own.
 *
 * Rejects with a TeaError: `wasm-unavailable`, `unsupported-browser`, `model-too-large`,
 * `model-damaged`, `load-timeout`; and with the signal's reason. Nothing is left behind then.
 */
export async function load(
  files: readonly Blob[],
  head: GgufHead,
  settings: LoadSettings,
  signal: AbortSignal,
): Promise<Loaded> {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  checkMemory(size, head.cachePerToken * settings.context);
  checkBrowser();
  await probe(settings.wasm, signal);
  await probeWorker();
  signal.throwIfAborted(); // from here on an abort is an event
  const words = new Words();
  const wllama = new Wllama({ default: settings.wasm.href }, { logger: words });
  wllama.setCompat(null); // else it would fetch files from a foreign server
  const loading = wllama.loadModel([...files], {
    n_ctx: settings.context,
    n_threads: settings.threads,
    n_gpu_layers: 0, // the same tokens everywhere
    n_batch: settings.embeddings ? settings.context : BATCH,
    n_ubatch: settings.embeddings ? settings.context : BATCH,
    n_parallel: 1,
    warmup: false,
    ...(settings.embeddings && {
      embeddings: true,
      ...(!head.pools && { pooling_type: 'mean' as const }),
    }),
  });
  try {
    await inTime(loading, settings.timeout, signal);
  } catch (cause) {
    await wllama.exit();
    signal.throwIfAborted();
    throw cause instanceof TeaError ? cause : unusable(head, words.reason || String(cause), cause);
  }
  const info = wllama.getLoadedContextInfo() as {
    readonly success?: boolean;
    add_bos_token: boolean;
  };
  if (info.success !== true) {
    await wllama.exit();
    throw unusable(head, words.reason || 'it says no more');
  }
  return { wllama, addsBos: info.add_bos_token };
}

function unusable(head: GgufHead, why: string, cause?: unknown): TeaError {
  const architecture = head.architecture || 'unknown';
  return new TeaError(
    'model-damaged',
    `llama.cpp cannot load the model (architecture ${architecture}): ${why}`,
    cause === undefined ? {} : { cause },
  );
}

/** wllama's promise settles never when its worker fails at its start, or is ended. */
function inTime(loading: Promise<void>, seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const hint =
        'see the console for what the Content-Security-Policy blocked, or raise loadTimeout';
      reject(
        new TeaError('load-timeout', `the model was not loaded in ${seconds} seconds`, { hint }),
      );
    }, seconds * 1000);
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    loading.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    });
  });
}
