import { TeaError } from '../errors.js';

const SECONDS = 10;

/**
 * Find out whether the page may start the kind of worker that wllama runs in.
 *
 * Rejects with a TeaError, `wasm-unavailable`: wllama itself would wait for ever.
 */
export async function probeWorker(): Promise<void> {
  const url = URL.createObjectURL(new Blob(['postMessage(0)'], { type: 'text/javascript' }));
  let worker: Worker | undefined;
  try {
    worker = new Worker(url, { type: 'module' });
    const started = worker;
    await new Promise<void>((resolve, reject) => {
      started.onmessage = () => resolve();
      started.onerror = () => reject(new Error('the worker was blocked'));
      setTimeout(() => reject(new Error(`nothing for ${SECONDS} seconds`)), SECONDS * 1000);
    });
  } catch (cause) {
    throw new TeaError('wasm-unavailable', 'the page may not start a worker from a blob', {
      hint: "add 'worker-src blob:' to the Content-Security-Policy",
      cause,
    });
  } finally {
    worker?.terminate();
    URL.revokeObjectURL(url);
  }
}
