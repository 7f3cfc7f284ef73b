/**
 * Web Locks for Node, which has none before version 24: exclusive ones alone, first come, first
 * served. The tests in a browser have the real ones.
 */
export class Locks {
  readonly #tails = new Map<string, Promise<unknown>>();

  async request<T>(
    name: string,
    { signal }: { signal?: AbortSignal },
    work: () => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const before = this.#tails.get(name) ?? Promise.resolve();
    let release = () => {};
    const mine = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#tails.set(
      name,
      before.then(() => mine),
    );
    try {
      await Promise.race([before, rejected(signal)]);
      return await work();
    } finally {
      release();
    }
  }
}

function rejected(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
