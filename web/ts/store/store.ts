import { TeaError } from '../errors.js';
import type { LongOptions, ModelSource, ModelStore, StoredModel } from '../types.js';
import {
  CHUNK_BYTES,
  Database,
  newRecord,
  type ModelRecord,
  rebase,
  storedBytes,
} from './database.js';
import { FileWork, type Job } from './file.js';
import { RETRY_POLICY, type RetryPolicy, Retrier } from './retry.js';
import { Meter } from './progress.js';
import { withTabLock } from './tab_lock.js';
import { check, sized, total } from './source.js';
import { browser, type Environment } from './environment.js';

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
  readonly policy: RetryPolicy;
}

/** @internal */
export class IndexedDbStore implements ModelStore {
  readonly #name: string;
  readonly #db: Database;
  readonly #environment: Environment;
  readonly #tuning: StoreTuning;
  readonly #closing = new AbortController();
  /** Models that this page has verified: once is enough. */
  readonly #verified = new Map<string, number>();

  private constructor(name: string, db: Database, environment: Environment, tuning: StoreTuning) {
    this.#name = name;
    this.#db = db;
    this.#environment = environment;
    this.#tuning = tuning;
  }

  static async open(
    name: string,
    environment: Environment,
    tuning: StoreTuning = { chunkBytes: CHUNK_BYTES, policy: RETRY_POLICY },
  ): Promise<IndexedDbStore> {
    return new IndexedDbStore(name, await Database.open(name), environment, tuning);
  }

  async get(model: ModelSource, options: LongOptions = {}): Promise<Blob[]> {
    check(model);
    const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(signals);
    const report = options.onProgress ?? (() => undefined);
    try {
      return await withTabLock(
        this.#lock(model.id),
        this.#environment,
        signal,
        report,
        async (tell) => {
          const record = await this.#record(model, signal);
          const meter = new Meter(total(record.files), this.#environment.now, tell);
          const { policy } = this.#tuning;
          const job: Job = {
            db: this.#db,
            record,
            environment: this.#environment,
            policy,
            meter,
            signal,
          };
          await this.#complete(job);
          return await this.#blobs(job.record);
        },
      );
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
    await this.#environment.locks.request(this.#lock(id), { signal }, () => this.#db.remove(id));
  }

  async persist(): Promise<boolean> {
    const { storage } = this.#environment;
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  }

  async estimate(): Promise<{ usage: number; quota: number } | undefined> {
    const { usage, quota } =
      (await this.#environment.storage?.estimate?.().catch(() => null)) ?? {};
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
    const kept = old && rebase(old, model, this.#tuning.chunkBytes);
    if (kept) return kept;
    const retrier = new Retrier(this.#tuning.policy, this.#environment, signal, () => undefined);
    const files = await sized(model.files, this.#environment, retrier);
    if (old) await this.#db.remove(model.id);
    return newRecord(model, files, this.#tuning.chunkBytes, Date.now());
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
