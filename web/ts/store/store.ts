import { TeaError } from '../errors.js';
import type { LongOptions, ModelSource, ModelStore, StoredModel } from '../types.js';
import { CHUNK_BYTES, Database, fresh, type ModelRecord, moved, storedBytes } from './database.js';
import { FileWork, type Job } from './file.js';
import { PACE, type Pace, Patience } from './patience.js';
import { Meter } from './progress.js';
import { alone } from './sharing.js';
import { check, sized, total } from './source.js';
import { browser, type Surroundings } from './surroundings.js';

/** Where the store is. */
export interface StoreOptions {
  /** Of the database; stores of different names know nothing of each other. */
  readonly name?: string;
}

/**
 * Open the store of models in this page's IndexedDB.
 *
 * Rejects with a TeaError: `unsupported-browser`, or `store-unavailable` where the browser lets
 * this page store nothing.
 */
export async function openModelStore(options: StoreOptions = {}): Promise<ModelStore> {
  return IndexedDbStore.open(options.name ?? 'tea-models', browser());
}

/** @internal How a store works; what is not the page's business. */
export interface StoreTuning {
  readonly chunkBytes: number;
  readonly pace: Pace;
}

/** @internal */
export class IndexedDbStore implements ModelStore {
  readonly #name: string;
  readonly #db: Database;
  readonly #from: Surroundings;
  readonly #tuning: StoreTuning;
  readonly #closing = new AbortController();
  /** Models that this page has verified: once is enough. */
  readonly #verified = new Map<string, number>();

  private constructor(name: string, db: Database, from: Surroundings, tuning: StoreTuning) {
    this.#name = name;
    this.#db = db;
    this.#from = from;
    this.#tuning = tuning;
  }

  static async open(
    name: string,
    from: Surroundings,
    tuning: StoreTuning = { chunkBytes: CHUNK_BYTES, pace: PACE },
  ): Promise<IndexedDbStore> {
    return new IndexedDbStore(name, await Database.open(name), from, tuning);
  }

  async get(model: ModelSource, options: LongOptions = {}): Promise<Blob[]> {
    check(model);
    const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(signals);
    const report = options.onProgress ?? (() => undefined);
    try {
      return await alone(this.#lock(model.id), this.#from, signal, report, async (tell) => {
        const record = await this.#record(model, signal);
        const meter = new Meter(total(record.files), this.#from.now, tell);
        const { pace } = this.#tuning;
        const job: Job = { db: this.#db, record, from: this.#from, pace, meter, signal };
        await this.#complete(job);
        return await this.#blobs(job.record);
      });
    } catch (error) {
      throw signal.aborted ? new TeaError('aborted', 'stopped', { cause: signal.reason }) : error;
    }
  }

  async list(): Promise<StoredModel[]> {
    return (await this.#db.models()).map((record) => ({
      id: record.id,
      title: record.title,
      stored: stored(record),
      size: total(record.files),
      complete: record.files.every((file) => file.complete),
    }));
  }

  async remove(id: string): Promise<void> {
    const { signal } = this.#closing;
    await this.#from.locks.request(this.#lock(id), { signal }, () => this.#db.remove(id));
  }

  async persist(): Promise<boolean> {
    const { storage } = this.#from;
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  }

  async estimate(): Promise<{ usage: number; quota: number } | undefined> {
    const { usage, quota } = (await this.#from.storage?.estimate?.().catch(() => null)) ?? {};
    return usage === undefined || quota === undefined ? undefined : { usage, quota };
  }

  /** Stops what is under way; what is stored stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#db.close();
  }

  #lock(id: string): string {
    return `${this.#name}: ${id}`;
  }

  /** What is stored of a model, or a new record where that is nothing, or another model. */
  async #record(model: ModelSource, signal: AbortSignal): Promise<ModelRecord> {
    const old = await this.#db.model(model.id);
    const kept = old && moved(old, model, this.#tuning.chunkBytes);
    if (kept) return kept;
    const patience = new Patience(this.#tuning.pace, this.#from, signal, () => undefined);
    const files = await sized(model.files, this.#from, patience);
    if (old) await this.#db.remove(model.id);
    return fresh(model, files, this.#tuning.chunkBytes, Date.now());
  }

  async #complete(job: Job): Promise<void> {
    const { id, since, files } = job.record;
    if (this.#verified.get(id) === since && files.every((file) => file.complete)) return;
    const need = () => total(job.record.files) - stored(job.record);
    await this.#refuseWhatCannotFit(id, need());
    try {
      for (const index of files.keys()) await new FileWork(job, index).complete();
    } catch (error) {
      if (error instanceof TeaError && error.code === 'quota-exceeded') {
        throw tooLarge(id, need(), error);
      }
      throw error;
    }
    this.#verified.set(id, since);
  }

  /** Browsers guess what is free. Only a guess that leaves no doubt is heeded. */
  async #refuseWhatCannotFit(id: string, need: number): Promise<void> {
    const guess = need > 0 ? await this.estimate() : undefined;
    if (guess && need > guess.quota - guess.usage) throw tooLarge(id, need, guess);
  }

  async #blobs(record: ModelRecord): Promise<Blob[]> {
    const files = record.files.map(async (_file, index) => {
      // A Blob of Blobs refers to them: the bytes stay on disk until they are read.
      return new Blob(await this.#db.chunks(record.id, index));
    });
    return await Promise.all(files);
  }
}

function stored(record: ModelRecord): number {
  return record.files.reduce((sum, file) => sum + storedBytes(file, record.chunkBytes), 0);
}

function tooLarge(id: string, need: number, cause: unknown): TeaError {
  const text = `${id} needs ${Math.ceil(need / 1e6)} MB more than are stored, and there is no room`;
  return new TeaError('quota-exceeded', text, {
    cause,
    need,
    hint: 'free space on the device, remove another model, or leave a private window',
  });
}
