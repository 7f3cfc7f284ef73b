import initialise, * as glue from '../wasm/tea_wasm.js';
import { TeaError } from './errors.js';
import { compilable, wasmBytes } from './wasm_files.js';

/** What the WebAssembly engine offers. */
export type Engine = Pick<typeof glue, 'Answer' | 'Template' | 'check' | 'run'>;

let loading: Promise<Engine> | undefined;

/**
 * The engine; loaded at the first call and kept for the life of the page.
 *
 * Rejects with a TeaError, `wasm-unavailable`.
 */
export function loadEngine(url: URL): Promise<Engine> {
  loading ??= load(url).catch((error: unknown) => {
    loading = undefined; // another address, or a network that is back, may do
    throw error;
  });
  return loading;
}

async function load(url: URL): Promise<Engine> {
  compilable();
  const bytes = await wasmBytes(url);
  try {
    await initialise({ module_or_path: bytes });
  } catch (cause) {
    throw new TeaError('wasm-unavailable', `${url.href} is not the engine of this package`, {
      hint: 'serve the files of one version of tea-wasm-llm together',
      cause,
    });
  }
  return glue;
}
