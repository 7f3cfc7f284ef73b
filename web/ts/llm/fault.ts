import type { ErrorType } from '../spec.js';

/** The kinds of errors that a page can cause in a run. */
export type FaultKind = ErrorType | 'Interrupted';

/** What the engine takes as the error of a node. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind | 'timeout' | 'connection' | 'invalid',
    message: string,
    readonly hint = '',
  ) {
    super(message);
  }
}

/** What a stopped run rejects its requests with. */
export const stopped = (): Fault => new Fault('Interrupted', 'stopped');

/** `promise`, or a rejection as soon as `signal` is aborted. */
export function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(stopped());
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
