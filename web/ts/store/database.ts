import { type DBSchema, type IDBPDatabase, type IDBPObjectStore, openDB } from 'idb';

import { TeaError } from '../errors.js';
import type { ModelSource } from '../types.js';
import type { SizedFile } from './source.js';

/** Bytes of one stored Blob. Small beside every limit on one record, big enough to be few. */
export const CHUNK_BYTES = 16 * 1024 * 1024;

/** What is stored of one file. */
export interface FileRecord {
  readonly url: string;
  readonly size: number;
  /** What the source says the whole file's is, or null. */
  readonly sha256: string | null;
  /** The strong ETag that the stored bytes came with, or null. */
  readonly etag: string | null;
  /** The sha256 of each stored chunk, from the first on. */
  readonly chunks: readonly string[];
  /** All chunks are there, and together they had the file's sha256. */
  readonly complete: boolean;
}

/** What is stored of one model. */
export interface ModelRecord {
  readonly id: string;
  readonly title: string;
  readonly chunkBytes: number;
  readonly files: readonly FileRecord[];
  /** Milliseconds since 1970. */
  readonly since: number;
}

type ChunkKey = [id: string, file: number, chunk: number];

interface Schema extends DBSchema {
  models: { key: string; value: ModelRecord };
  chunks: { key: ChunkKey; value: Blob };
}

type Table<Name extends 'models' | 'chunks'> = IDBPObjectStore<
  Schema,
  ('models' | 'chunks')[],
  Name,
  'readwrite'
>;

export class Database {
  private constructor(readonly db: IDBPDatabase<Schema>) {}

  /** @throws TeaError `store-unavailable`: the browser does not let this page store anything. */
  static async open(name: string): Promise<Database> {
    return guarded(async () => {
      const db = await openDB<Schema>(name, 1, {
        upgrade(created) {
          created.createObjectStore('models', { keyPath: 'id' });
          created.createObjectStore('chunks');
        },
        // Another tab deletes the database or brings a newer one: do not stand in its way.
        blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
      });
      return new Database(db);
    });
  }

  close(): void {
    this.db.close();
  }

  models(): Promise<ModelRecord[]> {
    return guarded(() => this.db.getAll('models'));
  }

  model(id: string): Promise<ModelRecord | undefined> {
    return guarded(() => this.db.get('models', id));
  }

  chunk(id: string, file: number, chunk: number): Promise<Blob | undefined> {
    return guarded(() => this.db.get('chunks', [id, file, chunk]));
  }

  /** A file's Blobs in order; one that is lost is left out. */
  chunks(id: string, file: number): Promise<Blob[]> {
    return guarded(() => this.db.getAll('chunks', keys(id, file)));
  }

  /** Stores a record alone. */
  put(record: ModelRecord): Promise<void> {
    return guarded(async () => void (await this.db.put('models', record)));
  }

  /**
   * Stores a chunk and the record that counts it: both, or neither.
   *
   * Rejects with a TeaError, `quota-exceeded` where the browser has no room for the chunk.
   */
  putChunk(record: ModelRecord, file: number, chunk: number, blob: Blob): Promise<void> {
    return this.#change((models, chunks) => [
      chunks.put(blob, [record.id, file, chunk]),
      models.put(record),
    ]);
  }

  /** Stores a record and deletes all chunks of one of its files. */
  clearFile(record: ModelRecord, file: number): Promise<void> {
    return this.#change((models, chunks) => [
      chunks.delete(keys(record.id, file)),
      models.put(record),
    ]);
  }

  remove(id: string): Promise<void> {
    return this.#change((models, chunks) => [chunks.delete(keys(id)), models.delete(id)]);
  }

  /** One transaction on both tables. */
  #change(requests: (models: Table<'models'>, chunks: Table<'chunks'>) => Promise<unknown>[]) {
    return guarded(async () => {
      const change = this.db.transaction(['models', 'chunks'], 'readwrite');
      const made = requests(change.objectStore('models'), change.objectStore('chunks'));
      const [outcome, ...each] = await Promise.allSettled([change.done, ...made]);
      if (outcome.status === 'fulfilled') return;
      // What ended the transaction says more than what its requests then say.
      const failed = each.find((request) => request.status === 'rejected');
      throw change.error ?? failed?.reason ?? outcome.reason;
    });
  }
}

/** The record of a model of which nothing is stored yet. */
export function newRecord(
  model: ModelSource,
  files: readonly SizedFile[],
  chunkBytes: number,
  since: number,
): ModelRecord {
  const { id, title = id } = model;
  return { id, title, chunkBytes, files: files.map(newFileRecord), since };
}

function newFileRecord({ url, size, sha256 }: SizedFile): FileRecord {
  return { url, size, sha256: sha256 ?? null, etag: null, chunks: [], complete: false };
}

/**
 * The record as it serves a source, or null where it is of another model.
 *
 * A file of the same digest may have moved; what it is stored as is then kept.
 */
export function rebase(
  record: ModelRecord,
  model: ModelSource,
  chunkBytes: number,
): ModelRecord | null {
  const files: FileRecord[] = [];
  for (const [index, { url, size, sha256 }] of model.files.entries()) {
    const old = record.files[index];
    if (old === undefined || old.sha256 !== (sha256 ?? null)) return null;
    if (size !== undefined && old.size !== size) return null;
    if (old.sha256 === null && old.url !== url) return null;
    files.push(old.url === url ? old : { ...old, url, etag: null });
  }
  const same = files.length === record.files.length && record.chunkBytes === chunkBytes;
  return same ? { ...record, files } : null;
}

/** The record with one of its files replaced. */
export function withFile(record: ModelRecord, index: number, file: FileRecord): ModelRecord {
  return { ...record, files: record.files.map((old, at) => (at === index ? file : old)) };
}

/** Bytes of a file that are stored. */
export function storedBytes(file: FileRecord, chunkBytes: number): number {
  return Math.min(file.size, file.chunks.length * chunkBytes);
}

function keys(id: string, file?: number): IDBKeyRange {
  // An array sorts after every number, and so ends what begins with [id] or [id, file].
  const start = file === undefined ? [id] : [id, file];
  return IDBKeyRange.bound(start, [...start, []]);
}

/** Errors of IndexedDB by the names that the package gives them. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof TeaError) throw cause;
    if (cause instanceof DOMException && cause.name === 'QuotaExceededError') {
      const text = 'The browser has no more room for this page.';
      throw new TeaError('quota-exceeded', text, { cause });
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TeaError('store-unavailable', `The browser's storage failed: ${why}`, { cause });
  }
}
