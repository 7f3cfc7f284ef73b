import 'fake-indexeddb/auto';

import { afterAll, afterEach, beforeAll } from 'vitest';

import { IndexedDbStore } from '../../../ts/store/store.js';
import { sleep, type Environment } from '../../../ts/store/environment.js';
import type { ModelSource, Progress } from '../../../ts/types.js';
import { Locks } from '../../support/locks.js';
import { FileServer, noise, sha256 } from '../../support/server.js';

export const CHUNK = 1000;
export const SIZE = 4_500; // five chunks, the last of them half
export const CONTENT = noise(SIZE);
export const ETAG = '"first"';

/** A server, and stores in databases of their own, for the tests of one file. */
export class Fixture {
  readonly server = new FileServer();
  readonly locks = new Locks();
  /** Milliseconds of every wait before another try. */
  readonly waits: number[] = [];
  online = true;
  /** Called in each wait. */
  duringWait = () => {};
  storage: Environment['storage'];
  readonly #open: IndexedDbStore[] = [];
  #names = 0;

  constructor() {
    beforeAll(() => this.server.listen());
    afterEach(async () => {
      for (const store of this.#open.splice(0)) await store[Symbol.asyncDispose]();
      this.waits.length = 0;
      this.online = true;
      this.duringWait = () => {};
      this.storage = undefined;
      this.server.faults.length = 0;
      this.server.files.clear();
      this.server.forget();
    });
    afterAll(() => this.server.close());
  }

  /** Serve a file, by default the one that `model` describes. */
  serve(content: Buffer = CONTENT, etag: string | null = ETAG, path = '/model.gguf'): void {
    this.server.files.set(path, { content, etag });
  }

  model(changes: Partial<ModelSource> = {}): ModelSource {
    const file = { url: `${this.server.url}/model.gguf`, size: SIZE, sha256: sha256(CONTENT) };
    return { id: 'small', files: [file], ...changes };
  }

  newName(): string {
    this.#names += 1;
    return `store ${this.#names} ${Math.random()}`;
  }

  /** A store, of a new name unless one is given; another of the same name is another tab. */
  async store(name = this.newName(), stall = 2_000): Promise<IndexedDbStore> {
    const policy = {
      tries: 4,
      firstWait: 1_000,
      longestWait: 30_000,
      longestAsked: 300_000,
      stall,
    };
    const store = await IndexedDbStore.open(name, this.#environment(), {
      chunkBytes: CHUNK,
      policy,
    });
    this.#open.push(store);
    return store;
  }

  #environment(): Environment {
    return {
      fetch: (input, init) => fetch(input, init),
      locks: this.locks as unknown as Environment['locks'],
      storage: this.storage,
      base: `${this.server.url}/page`,
      online: () => this.online,
      now: () => performance.now(),
      sleep: async (ms, signal) => {
        this.waits.push(ms);
        this.duringWait();
        await sleep(0, signal);
      },
      random: () => 1,
    };
  }
}

/** The bytes of a store's answer, as one piece. */
export async function contentOf(blobs: readonly Blob[]): Promise<Buffer> {
  return Buffer.from(await new Blob([...blobs]).arrayBuffer());
}

/** Collects what is reported. */
export function reports(): { all: Progress[]; onProgress: (progress: Progress) => void } {
  const all: Progress[] = [];
  return { all, onProgress: (progress) => all.push(progress) };
}

/** Change bytes of a stored chunk behind the store's back, or take them away. */
export async function damage(name: string, chunk: number, content: Blob | null): Promise<void> {
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = indexedDB.open(name);
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const change = db.transaction('chunks', 'readwrite');
  const chunks = change.objectStore('chunks');
  if (content) chunks.put(content, ['small', 0, chunk]);
  else chunks.delete(['small', 0, chunk]);
  await new Promise((resolve) => {
    change.oncomplete = resolve;
  });
  db.close();
}
