import type { HttpReply } from '../wasm/tea_wasm.js';
import { Fault, stopped } from './llm/fault.js';

/** Longer waits are not waited for: what a timer of the browser can hold, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

const milliseconds = (seconds: number): number => Math.min(seconds * 1000, LONGEST);

/** Wait. Rejects as soon as `signal` is aborted. */
export function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(stopped());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds(seconds));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/**
 * POST a body. The response, its body included, is to be over in `seconds`.
 *
 * Rejects with a Fault: `timeout`, `connection`, or `Interrupted` when `signal` is aborted.
 */
export async function post(
  url: string,
  headers: [string, string][],
  body: string,
  seconds: number,
  signal: AbortSignal,
): Promise<HttpReply> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), milliseconds(seconds));
  const failed = (error: unknown): Fault => {
    clearTimeout(timer);
    if (signal.aborted) return stopped();
    if (late.signal.aborted) return new Fault('timeout', 'no answer in time');
    return new Fault('connection', error instanceof Error ? error.message : String(error));
  };
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers,
      body,
      signal: AbortSignal.any([late.signal, signal]),
      redirect: 'error', // a key must not travel on to another server
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    throw failed(error);
  }
  const reader = response.body?.getReader();
  return {
    status: response.status,
    reason: response.statusText,
    header: (name) => response.headers.get(name) ?? undefined,
    async chunk() {
      try {
        const { value } = (await reader?.read()) ?? {};
        if (value === undefined) clearTimeout(timer);
        return value;
      } catch (error) {
        throw failed(error);
      }
    },
  };
}
