import { TeaError } from '../errors.js';

export interface Environment {
  readonly fetch: typeof globalThis.fetch;
  readonly locks: Pick<LockManager, 'request'>;
  /** Absent where the page is not a secure context. */
  readonly storage: Partial<Pick<StorageManager, 'estimate' | 'persist' | 'persisted'>> | undefined;
  /** The address that relative ones are relative to. */
  readonly base: string;
  online(): boolean;
  /** Milliseconds, from any beginning. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 up to 1. */
  random(): number;
}

/**
 * The page or worker that this runs in.
 *
 * @throws TeaError `unsupported-browser`: it lacks something that the store cannot do without.
 */
export function browser(): Environment {
  const lacking = [
    [globalThis.indexedDB, 'IndexedDB'],
    [globalThis.crypto?.subtle, 'WebCrypto (is the page on https or localhost?)'],
    [globalThis.navigator?.locks, 'Web Locks'],
  ].find(([thing]) => !thing);
  if (lacking) {
    throw new TeaError('unsupported-browser', `This browser does not offer ${String(lacking[1])}.`);
  }
  return {
    fetch: (input, init) => globalThis.fetch(input, init),
    locks: navigator.locks,
    storage: navigator.storage,
    base: globalThis.location.href,
    online: () => navigator.onLine,
    now: () => performance.now(),
    sleep,
    random: Math.random,
  };
}

/** Waits `ms` milliseconds, or until the signal aborts, with its reason. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
