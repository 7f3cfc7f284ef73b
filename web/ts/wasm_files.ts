import { TeaError } from './errors.js';

/** `\0asm`, and a module of nothing with it. */
const MAGIC = [0, 0x61, 0x73, 0x6d];
const EMPTY = Uint8Array.from([...MAGIC, 1, 0, 0, 0]);

/**
 * Find out whether this page may compile WebAssembly at all.
 *
 * Throws a TeaError: `unsupported-browser`, or `wasm-unavailable` where a policy forbids it.
 */
export function compilable(): void {
  if (typeof WebAssembly !== 'object') {
    throw new TeaError('unsupported-browser', 'this browser has no WebAssembly');
  }
  try {
    new WebAssembly.Module(EMPTY);
  } catch (cause) {
    throw new TeaError('wasm-unavailable', 'the page may not compile WebAssembly', {
      hint: "add 'wasm-unsafe-eval' to script-src of the Content-Security-Policy",
      cause,
    });
  }
}

/** The response at `url`, when it begins like a module; the beginning was read already. */
async function opened(
  url: URL,
  signal?: AbortSignal,
): Promise<[Uint8Array, ReadableStreamDefaultReader<Uint8Array>]> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw unavailable(url, 'it cannot be fetched', cause);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw unavailable(url, `the server answers ${response.status}`);
  }
  const reader = response.body.getReader();
  const { value } = await reader.read();
  if (value === undefined || MAGIC.some((byte, index) => value[index] !== byte)) {
    await reader.cancel();
    throw unavailable(url, 'what is there is not WebAssembly');
  }
  return [value, reader];
}

/** The module at `url`. Rejects with a TeaError, `wasm-unavailable`. */
export async function wasmBytes(url: URL): Promise<ArrayBuffer> {
  const [first, reader] = await opened(url);
  const parts = [first];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
  }
  return new Blob(parts as BlobPart[]).arrayBuffer();
}

/**
 * Look whether there is a module at `url`, and read no more than its beginning.
 *
 * Rejects with a TeaError, `wasm-unavailable`: a worker that cannot load its module says nothing.
 */
export async function probe(url: URL, signal?: AbortSignal): Promise<void> {
  const [, reader] = await opened(url, signal);
  await reader.cancel();
}

function unavailable(url: URL, why: string, cause?: unknown): TeaError {
  return new TeaError('wasm-unavailable', `${url.href}: ${why}`, {
    hint: 'serve the .wasm files of tea-wasm-llm, or give their addresses as wasmUrl',
    ...(cause !== undefined && { cause }),
  });
}
