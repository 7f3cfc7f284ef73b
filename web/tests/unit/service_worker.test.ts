import { expect, test, vi } from 'vitest';

/** What the service worker of a site at `scope` leaves of the origin's caches once it is active. */
async function activated(scope: string, version: string, names: string[]): Promise<string[]> {
  const listeners = new Map<string, (event: unknown) => void>();
  const cached = new Set(names);
  vi.stubGlobal('FILES', []);
  vi.stubGlobal('VERSION', version);
  vi.stubGlobal('caches', {
    keys: async () => [...cached],
    delete: async (name: string) => cached.delete(name),
    open: async (name: string) => {
      cached.add(name);
      return { addAll: async () => undefined };
    },
  });
  vi.stubGlobal('self', {
    registration: { scope },
    addEventListener: (type: string, listener: (event: unknown) => void) =>
      listeners.set(type, listener),
    skipWaiting: async () => undefined,
    clients: { claim: async () => undefined },
  });
  vi.resetModules();
  // By a variable: the demo's sources have settings of their own for the compiler.
  const worker = '../../demo/sw/sw.ts';
  await import(worker);
  for (const type of ['install', 'activate']) {
    let done: Promise<unknown> = Promise.resolve();
    const event = { waitUntil: (work: Promise<unknown>) => (done = work) };
    listeners.get(type)?.(event);
    await done;
  }
  return [...cached];
}

test('a new version of a site replaces its own cache alone', async () => {
  const neighbour = await activated('https://here/b/', '1', []);
  const below = await activated('https://here/a/b/', '1', neighbour);
  const first = await activated('https://here/a/', '1', below);
  expect(first).toHaveLength(3);
  const second = await activated('https://here/a/', '2', first);
  expect(second).toHaveLength(3);
  expect(second).toEqual(expect.arrayContaining(below));
});
